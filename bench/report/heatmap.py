"""A metric over two settings: the map that shows where the good region lies, and what failed or could not be."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from bench.metrics import Metric
from bench.records import Status
from bench.report.frontier import recommend
from bench.report.labels import axis_of, name_of, plain, setting_label, value_of
from bench.report.style import BLUE, INK, MUTED, PALE, VERMILION, legend_below, row_height, stack, styled, wrap
from bench.report.tables import Block, blocks, levels
from bench.search.objectives import Constraint

_PREFERRED = ("decode.chunk_length_s", "decode.stride_length_s")
_MOST_PANELS = 4
_MOST_DOTS = 30
# Below this share of cells with a trial, as after a random search, a map would be mostly holes.
_LEAST_FILLED = 0.34

_PRUNED: Any = {"facecolor": "white", "edgecolor": MUTED, "hatch": "--", "linewidth": 0.0}
_FAILED: Any = {"facecolor": PALE, "edgecolor": MUTED, "hatch": "////", "linewidth": 0.0}
_IMPOSSIBLE: Any = {"facecolor": "#F6F6F6", "edgecolor": "none"}
_APART: Any = {"facecolor": "white", "edgecolor": MUTED, "hatch": "....", "linewidth": 0.0}
_APART_TOLD = {
    False: "not comparable: failed in part, or scored fewer words",
    True: "not comparable: failed in part, scored fewer words, or breaks a constraint",
}
_BEST: Any = {"facecolor": "none", "edgecolor": VERMILION, "linewidth": 2.4}
# On white, so that dashes show on any shade and in grey.
_TIED: Any = {"facecolor": "none", "edgecolor": VERMILION, "linewidth": 1.6, "linestyle": (0, (3, 2))}
_TIED_BELOW: Any = {"facecolor": "none", "edgecolor": "white", "linewidth": 3.2}
# As many cells across leave room for a dot, not for numbers and names.
_MOST_NUMBERED = 24
_TIED_DOT: Any = {
    "marker": "o", "markersize": 3.5, "markerfacecolor": VERMILION, "markeredgecolor": "white", "markeredgewidth": 0.8,
    "linestyle": "none",
}  # fmt: skip
_TIED_TOLD = "WER cannot be told from the best's"


_Cell: TypeAlias = tuple[object, object]  # of y, of x


@dataclass(frozen=True, eq=False)
class _Panel:
    """One map.

    Attributes:
        title: What its trials have in common.
        values: The value of each cell that can be compared, as shown (rows are y).
        apart: The value of each cell that has one, but none to compare.
        words: The word that stands in a cell without a value.
        limited: Whether there are constraints to break.
        tied: Cells whose setting shown cannot be told from the most accurate one.
    """

    title: str
    values: pd.DataFrame
    apart: Mapping[_Cell, float]
    words: Mapping[_Cell, str]
    limited: bool = False
    tied: frozenset[_Cell] = frozenset()


@styled
def heatmap(
    runs: pd.DataFrame,
    metric: Metric,
    skipped: Sequence[Mapping[str, Any]] = (),
    constraints: Sequence[Constraint] = (),
    tied: Mapping[str, Collection[str]] | None = None,
) -> Figure | None:
    """Draw a metric over two varied settings, one part a block.

    Chunk and stride are preferred, then other numeric settings. What else varies gets a panel for each combination, or,
    where there are many, each cell shows the best of them. Where two settings do not span a map, values are drawn as
    dots by setting instead. Trials that could not be recommended (some runs failed, fewer words were scored, or
    a constraint is broken) are shown, but apart: an easier task must not look like the best region.

    Args:
        runs: Rows of the runs table; may hold several blocks.
        metric: What to show.
        skipped: Points that no run can honour, as the study's description lists them: ``settings`` and ``reason``.
        constraints: What a setting has to keep to be recommended.
        tied: Trials whose WER cannot be told from the best's, by the block's title; they are marked.

    Returns:
        The figure; null where fewer than two settings were tried, or none has a value that can be compared.
    """
    drawn = [block for block in blocks(runs, constraints) if len(block.table) > 1 and _any_comparable(block, metric)]
    if not drawn:
        return None
    known = [frozenset((tied or {}).get(block.title, ())) for block in drawn]
    maps = [_panels(block, metric, skipped, alike) for block, alike in zip(drawn, known, strict=True)]
    heights = [_height(block, panels) for block, panels in zip(drawn, maps, strict=True)]
    figure, parts = stack([f"{metric.label}: {block.title}" for block in drawn], heights)
    for part, block, panels, alike in zip(parts, drawn, maps, known, strict=True):
        if panels:
            _draw_maps(part, panels, metric, _axes(block))
        else:
            _draw_dots(part.subplots(), block, metric, alike)
    return figure


def _any_comparable(block: Block, metric: Metric) -> bool:
    return bool(block.table.drop(index=list(recommend(block).excluded))[metric.column].notna().any())


def _height(block: Block, panels: Sequence[_Panel]) -> float:
    if panels:
        return 2.0 + 0.42 * len(panels[0].values)
    return 1.1 + row_height(block.table["label"]) * min(len(block.table), _MOST_DOTS)


def _axes(block: Block) -> tuple[str, str] | None:
    """Choose the settings of the x and the y axis: chunk and stride, then numbers, then names."""
    varied = [name for name in block.varied if len(levels(block.table[name])) > 1]
    types = block.table.dtypes
    numeric = [name for name in varied if is_numeric_dtype(types[name]) and not is_bool_dtype(types[name])]
    order = list(dict.fromkeys([*(name for name in _PREFERRED if name in varied), *numeric, *varied]))
    return (order[0], order[1]) if len(order) > 1 else None


def _panels(block: Block, metric: Metric, skipped: Sequence[Mapping[str, Any]], tied: frozenset[str]) -> list[_Panel]:
    """Lay a block's trials out as maps; none where two settings do not span one."""
    axes = _axes(block)
    if axes is None:
        return []
    x, y = axes
    columns, index = levels(block.table[x]), levels(block.table[y])
    comparable = ~block.table.index.isin(recommend(block).excluded)
    trials: list[dict[str, Any]] = [
        {str(key): plain(value) for key, value in row.items()}
        for row in block.table.assign(comparable=comparable, tied=block.table.index.isin(tied)).to_dict("records")
    ]
    if len({(trial[x], trial[y]) for trial in trials}) < _LEAST_FILLED * len(columns) * len(index):
        return []
    rest = [name for name in block.varied if name not in axes and len(levels(block.table[name])) > 1]
    known = {name: levels(block.table[name]) for name in rest}
    trials.sort(key=lambda trial: [known[name].index(trial[name]) for name in rest])
    groups: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        groups.setdefault(setting_label({name: trial[name] for name in rest}) if rest else "", []).append(trial)
    if len(groups) > _MOST_PANELS:
        names = ", ".join(map(name_of, rest))
        groups = {f"each cell the best of {len(groups)} combinations of {names}": trials}
        rest = []
    panels = []
    for title, members in groups.items():
        fixed = {name: members[0][name] for name in rest}
        cells = {(b, a): [one for one in members if one[x] == a and one[y] == b] for a in columns for b in index}
        fit = {cell: [one for one in found if one["comparable"]] for cell, found in cells.items()}
        values = {cell: _best(found, metric) for cell, found in fit.items()}
        # Of objects, since null may be among them: what an engine's own defaults leave unset.
        heads = pd.Index(index, dtype=object), pd.Index(columns, dtype=object)
        frame = pd.DataFrame([[values[b, a] for a in columns] for b in index], *heads, dtype=float)
        empty = [cell for cell, value in values.items() if value is None]
        apart = {cell: value for cell in empty if (value := _best(cells[cell], metric)) is not None}
        words = {
            cell: _word(cells[cell], {**fixed, y: cell[0], x: cell[1]}, skipped) for cell in empty if cell not in apart
        }
        alike = frozenset(cell for cell, found in fit.items() if _shown_is_tied(found, metric))
        panels.append(_Panel(title, frame, apart, words, bool(block.constraints), alike))
    return panels


def _best(trials: Sequence[Mapping[str, Any]], metric: Metric) -> float | None:
    known = [one[metric.column] * metric.scale for one in trials if one[metric.column] is not None]
    return (min(known) if metric.smaller_is_better else max(known)) if known else None


def _shown_is_tied(trials: Sequence[Mapping[str, Any]], metric: Metric) -> bool:
    """Whether a trial whose value a cell shows cannot be told from the most accurate one."""
    value = _best(trials, metric)
    return value is not None and any(
        one["tied"] and one[metric.column] is not None and one[metric.column] * metric.scale == value for one in trials
    )


def _word(found: Sequence[Mapping[str, Any]], point: Mapping[str, object], skipped: Sequence[Mapping[str, Any]]) -> str:
    """Say why a cell has no value: how its trial ended, ``impossible``, or nothing where nothing ran."""
    failed = [str(one["status"]) for one in found if one["status"] != Status.ok.value]
    if found:
        return failed[0] if failed else "no value"
    settings = [one.get("settings") or {} for one in skipped]
    impossible = any(
        all(name in one for name in point) and all(plain(one[name]) == value for name, value in point.items())
        for one in settings
    )
    return "impossible" if impossible else ""


def _draw_maps(part: SubFigure, panels: Sequence[_Panel], metric: Metric, axes: tuple[str, str] | None) -> None:
    x, y = axes or ("", "")
    grid = part.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    every = np.concatenate([panel.values.to_numpy().ravel() for panel in panels])
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    # Darker is always better, and a map of equal values is not drawn as if they were extremes.
    shades = sns.color_palette("crest_r" if metric.smaller_is_better else "crest", as_cmap=True)
    spread = (high - low) or max(abs(high), 1.0)
    limits = {"vmin": low, "vmax": low + spread}
    best = low if metric.smaller_is_better else high
    cells = sum(len(panel.values.columns) for panel in panels)
    narrow = cells > _MOST_NUMBERED
    size = 9.0 if cells <= 10 else 7.0 if cells <= 16 else 5.5
    step = 1 + (cells - 1) // _MOST_NUMBERED
    for axis, panel in zip(grid, panels, strict=True):
        sns.heatmap(
            panel.values, ax=axis, cmap=shades, annot=not narrow, fmt=f".{metric.decimals}f",
            annot_kws={"size": size}, linewidths=0.3 if narrow else 1.5, linecolor="white", cbar=False,
            xticklabels=False, yticklabels=False, **limits,
        )  # fmt: skip
        _mark_cells(axis, panel, best, None if narrow else size, metric.decimals)
        axis.invert_yaxis()
        axis.set_title(wrap(panel.title, 96 // len(panels)) if panel.title else "", fontsize=9, fontweight="normal")
        names = [wrap(_level(value, x), max(6, 90 // cells)) for value in panel.values.columns]
        places = np.arange(len(names)) + 0.5
        axis.set_xticks(places[::step], names[::step], rotation=0 if cells <= 16 else 90)
        rows = [wrap(_level(value, y), 24) for value in panel.values.index]
        axis.set_yticks(np.arange(len(rows)) + 0.5, rows, rotation=0)
        axis.set_xlabel(axis_of(x))
        axis.set_ylabel(axis_of(y) if axis is grid[0] else "")
        axis.tick_params(length=0)
    bar = part.colorbar(grid[0].collections[0], ax=list(grid), pad=0.02, aspect=15)
    bar.outline.set_visible(False)
    bar.set_label(metric.axis)
    legend_below(part, _legend(panels, narrow), columns=2 if any(panel.apart for panel in panels) else 4)


def _level(value: object, setting: str) -> str:
    """Write a setting's value without its unit, which the axis has."""
    return value_of(value, setting) if plain(value) is None else value_of(value)


def _mark_cells(axis: Axes, panel: _Panel, best: float, size: float | None, decimals: int) -> None:
    """Mark what colour cannot say: the best cells, those apart, the failed, the impossible; the rest stays blank.

    Without a size of letters, where cells are too narrow for any, the legend alone says what a mark means.
    """
    columns: list[Any] = panel.values.columns.tolist()
    index: list[Any] = panel.values.index.tolist()
    shown = {cell: f"{value:.{decimals}f}" for cell, value in panel.apart.items()}
    for (b, a), word in [*panel.words.items(), *shown.items()]:
        corner = (columns.index(a), index.index(b))
        middle = (corner[0] + 0.5, corner[1] + 0.5)
        if word == "impossible":
            axis.add_patch(Rectangle(corner, 1, 1, **_IMPOSSIBLE))
            axis.plot(*middle, marker="x", color=MUTED, markersize=size or 3.0)
        elif word:
            look = _APART if (b, a) in shown else _PRUNED if word == Status.pruned.value else _FAILED
            axis.add_patch(Rectangle(corner, 1, 1, **look))
            if size is not None:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
                axis.text(*middle, word, ha="center", va="center", fontsize=size, bbox=box)
    for b, a in panel.tied:
        if size is None:
            axis.plot(columns.index(a) + 0.5, index.index(b) + 0.5, **_TIED_DOT)
            continue
        inset = 0.08
        within, side = (columns.index(a) + inset, index.index(b) + inset), 1 - 2 * inset
        for look in (_TIED_BELOW, _TIED):
            axis.add_patch(Rectangle(within, side, side, **look, zorder=3))
    for row, column in np.argwhere(panel.values.to_numpy() == best):
        inset = 0.02
        axis.add_patch(Rectangle((column + inset, row + inset), 1 - 2 * inset, 1 - 2 * inset, **_BEST, zorder=3))


def _legend(panels: Sequence[_Panel], narrow: bool) -> list[Patch | Line2D]:
    words = {word for panel in panels for word in panel.words.values()}
    entries: list[Patch | Line2D] = [Patch(label="best", **_BEST)]
    if any(panel.tied for panel in panels):
        entries.append(Line2D([], [], label=_TIED_TOLD, **_TIED_DOT) if narrow else Patch(label=_TIED_TOLD, **_TIED))
    if any(panel.apart for panel in panels):
        entries.append(Patch(label=_APART_TOLD[any(panel.limited for panel in panels)], **_APART))
    if Status.pruned.value in words:
        entries.append(Patch(label="ended early by racing", **_PRUNED))
    if failed := sorted(words - {"impossible", "", Status.pruned.value}):
        entries.append(Patch(label=f"no result ({', '.join(failed)})", **_FAILED))
    if "impossible" in words:
        cross: Any = {"marker": "x", "color": MUTED, "linestyle": "none"}
        entries.append(Line2D([], [], label="impossible settings", **cross))
    if "" in words:
        entries.append(Patch(label="blank: not run", facecolor="white", edgecolor=PALE))
    return entries


def _draw_dots(axis: Axes, block: Block, metric: Metric, tied: frozenset[str]) -> None:
    """Draw a value a setting, in the order of the settings: what is left where there is no plane to draw on."""
    apart = block.table.index.isin(recommend(block).excluded)
    ranked = block.table.assign(apart=apart).sort_values(
        ["apart", metric.column], ascending=[True, metric.smaller_is_better], kind="stable"
    )
    shown = ranked.head(_MOST_DOTS)
    if len(shown) == len(ranked) and block.varied:
        shown = shown.sort_values(list(block.varied), kind="stable")
    if len(shown) < len(ranked):
        axis.set_title(f"the best {len(shown)} of {len(ranked)} settings", fontsize=9, fontweight="normal")
    values = (shown[metric.column] * metric.scale).to_numpy()
    best = ranked[metric.column].iloc[0] * metric.scale
    places = np.arange(len(shown))
    colours = np.where(shown["apart"], MUTED, np.where(values == best, VERMILION, BLUE)).tolist()
    faces = np.where(shown["apart"], "white", colours).tolist()
    axis.scatter(values, places, s=45, facecolors=faces, edgecolors=colours, zorder=2)
    known = values[~np.isnan(values)]
    alike = shown.index.isin(tied) & (len(tied) > 1)
    for place, value, status, out, same in zip(places, values, shown["status"], shown["apart"], alike, strict=True):
        failed = np.isnan(value)
        told = f"{value:.{metric.decimals}f}" + (", not comparable" if out else ", tied with the best" if same else "")
        none = "ended early by racing" if status == Status.pruned.value else f"no result ({status})"
        note, colour = (none if failed else told), (MUTED if failed or out else INK)
        at, offset = (float(known.min()), -4) if failed else (float(value), 8)
        axis.annotate(note, (at, place), (offset, 0), textcoords="offset points", va="center", fontsize=8, color=colour)
    axis.set_yticks(places, [wrap(str(label)) for label in shown["label"]])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.margins(x=0.12)
    axis.grid(axis="x")
    axis.set_xlabel(metric.axis)
