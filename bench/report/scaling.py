"""How speed follows a number, threads above all: a line a combination of the other settings, and what is too many."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from bench.metrics import RTFX
from bench.records import Status
from bench.report.comparison import notes
from bench.report.labels import axis_of, name_of, plain, setting_label, value_of
from bench.report.pairs import DEVICE, Pair, Side, pairs, sides
from bench.report.sheet import sheet
from bench.report.style import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    legend_below,
    stack,
    styled,
    wrap,
)
from bench.report.tables import THREADS, Block, blocks, levels

THREAD_SETTING = "threads"
_NO_QUANTITY = ("seed",)
_MOST_LINES = 6
_LOOKS = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "D"), (PURPLE, "^"), (ORANGE, "v"), (SKY, "P"))


def scaled_settings(found: Sequence[Block]) -> list[str]:
    """Name the numbers whose effect on speed is worth a line: ``threads``, and any that varies alone."""
    named: dict[str, None] = {}
    for block in found:
        varied = [name for name in block.varied if len(levels(block.table[name])) > 1]
        if THREAD_SETTING in varied:
            named[THREAD_SETTING] = None
        if len(varied) == 1 and varied[0] not in _NO_QUANTITY and _is_number(block.table[varied[0]]):
            named[varied[0]] = None
    return list(named)


def scaling_sections(found: Sequence[Block]) -> list[dict[str, Any]]:
    """Gather a table for each such number: speed, and how many times as fast as with the smallest."""
    return [_section(found, setting) for setting in scaled_settings(found)]


def oversubscribed(block: Block) -> list[str]:
    """Warn of runs with more threads than the processors they may use, a sentence a number of threads."""
    good = block.runs[block.runs["status"] == Status.ok.value]
    return [f"{said}; threads then wait for each other." for said in dict.fromkeys(map(_excess, _rows(good))) if said]


@styled
def scaling(runs: pd.DataFrame, setting: str = THREAD_SETTING) -> Figure | None:
    """Draw RTFx against a number, one part a block: a line for each combination of what else varies.

    Whiskers are the 95 % interval of the speed-up over the line's first point, from four runs of each on. For threads a
    dashed line shows what the first point would become if every thread helped as much.

    Args:
        runs: Rows of the runs table; may hold several blocks.
        setting: The number.

    Returns:
        The figure; null where no block has two points of a line.
    """
    found = blocks(runs)
    drawn = [(block, lines) for block, lines in zip(found, _lines(found, setting), strict=True) if lines]
    if not drawn:
        return None
    titles = [f"Speed by {name_of(setting)}: {block.title}" for block, _ in drawn]
    titles = [
        title + (f", the first {_MOST_LINES} of {len(lines)} lines" if len(lines) > _MOST_LINES else "")
        for title, (_, lines) in zip(titles, drawn, strict=True)
    ]
    figure, parts = stack(titles, [3.7 + 0.2 * min(len(lines), _MOST_LINES) for _, lines in drawn])
    for part, (_, lines) in zip(parts, drawn, strict=True):
        axis = part.subplots()
        handles = _draw(axis, dict(list(lines.items())[:_MOST_LINES]), setting)
        legend_below(part, handles, columns=1)
    return figure


def _draw(axis: Axes, lines: dict[str, list[tuple[float, Side, Pair | None]]], setting: str) -> list[Line2D]:
    handles, ticks = [], set()
    whiskers = False
    for (label, points), (colour, marker) in zip(lines.items(), _LOOKS, strict=False):
        places = [at for at, _, _ in points]
        speeds = [side.rtfx or 0.0 for _, side, _ in points]
        ticks.update(places)
        axis.plot(places, speeds, color=colour, marker=marker, linewidth=1.5)
        handles.append(Line2D([], [], color=colour, marker=marker, label=wrap(label or RTFX.label, 100)))
        for at, _, pair in points[1:]:
            seen = pair.comparison if pair is not None else None
            if seen is not None and seen.low is not None and seen.high is not None:
                ends = [speeds[0] * seen.low, speeds[0] * seen.high]
                axis.plot([at, at], ends, color=colour, linewidth=1.2, marker="_", markersize=9)
                whiskers = True
        if setting == THREAD_SETTING:
            ideal = [speeds[0] * at / places[0] for at in places]
            axis.plot(places, ideal, color=colour, linewidth=1.0, linestyle="--", alpha=0.6)
    highest = max(side.rtfx or 0.0 for points in lines.values() for _, side, _ in points)
    if setting == THREAD_SETTING:
        handles.append(Line2D([], [], color=MUTED, linestyle="--", label="if every thread helped like the first"))
    if whiskers:
        told = "95 % interval of the speed-up over the first point"
        handles.append(Line2D([], [], color=MUTED, marker="_", linewidth=1.2, label=told))
    axis.set_ylim(0, 1.25 * highest)
    axis.set_xticks(sorted(ticks), [f"{at:g}" for at in sorted(ticks)])
    axis.set_xlabel(axis_of(setting))
    axis.set_ylabel(RTFX.axis)
    axis.grid(True)
    return handles


def _lines(found: Sequence[Block], setting: str) -> list[dict[str, list[tuple[float, Side, Pair | None]]]]:
    """List each block's lines, by what is the same along each; a point is its place, the side, and its pair."""
    pair_of = _pairs_of(found, setting)
    lines: list[dict[str, list[tuple[float, Side, Pair | None]]]] = [{} for _ in found]
    for side in sides(found):
        at = _place(side, setting)
        if at is not None and side.rtfx:
            label = _others(side, setting, DEVICE)
            point = (at, side, pair_of.get((side.block, side.trial_id)))
            lines[side.block - 1].setdefault(label, []).append(point)
    return [
        {label: sorted(points, key=lambda point: point[0]) for label, points in block.items() if len(points) > 1}
        for block in lines
    ]


def _section(found: Sequence[Block], setting: str) -> dict[str, Any]:
    pair_of = _pairs_of(found, setting)
    smallest = _smallest(found, setting)
    rows = []
    on_threads = setting == THREAD_SETTING
    listed = [side for side in sides(found) if setting in side.settings]
    for side in sorted(listed, key=lambda side: (_others(side, setting), _order(side.settings[setting]), side.block)):
        pair = pair_of.get((side.block, side.trial_id))
        efficiency = "\N{EN DASH}"
        if on_threads and pair is not None and pair.comparison is not None and smallest and side.settings[setting]:
            share = pair.comparison.ratio * float(str(smallest)) / float(str(side.settings[setting]))
            efficiency = f"{100 * share:.0f} %"
        runs = found[side.block - 1].runs
        mine = runs[runs["trial_id"] == side.trial_id]
        excess = next((text for text in map(_excess, _rows(mine)) if text), "") if on_threads else ""
        same = [_others(side, setting)] if any(_others(one, setting) for one in listed) else []
        cells = [value_of(side.settings[setting], setting), *same]
        cells += [excess.partition(" is ")[2]] if on_threads else []
        speed = RTFX.show(side.rtfx)
        against = "baseline" if pair is None else pair.cell
        rows.append([*cells, speed, against, *([efficiency] if on_threads else [])])
    others = ["Other settings"] if any(_others(one, setting) for one in listed) else []
    name = name_of(setting)
    words = [name[:1].upper() + name[1:], *others, *(["Warning"] if on_threads else [])]
    numbers = ["RTFx", f"Times as fast as with {value_of(smallest, setting)}", *(["Efficiency"] if on_threads else [])]
    told = notes([pair for pair in pair_of.values() if setting in pair.changed])
    if on_threads:
        told.append("Efficiency is the speed-up over that for which every further thread would help like the first.")
    return sheet([*words, *numbers], rows, words=len(words), title=f"Speed by {name}", notes=told)


def _pairs_of(found: Sequence[Block], setting: str) -> dict[tuple[int, str], Pair]:
    smallest = _smallest(found, setting)
    return {(pair.side.block, pair.side.trial_id): pair for pair in pairs(found, {setting: smallest})}


def _smallest(found: Sequence[Block], setting: str) -> object:
    every = pd.concat([block.runs[[setting]] for block in found], ignore_index=True)[setting] if found else None
    return None if every is None else levels(every)[0]


def _place(side: Side, setting: str) -> float | None:
    """Where a setting stands on the axis; null for what is no number."""
    value = side.settings.get(setting)
    return float(value) if isinstance(value, int | float) else None


def _others(side: Side, *unsaid: str) -> str:
    rest = {name: value for name, value in side.settings.items() if name not in unsaid}
    return setting_label(rest) if rest else ""


def _order(value: object) -> tuple[bool, float]:
    return (False, float(value)) if isinstance(value, int | float) else (True, 0.0)


def _rows(runs: pd.DataFrame) -> Iterator[dict[str, object]]:
    names = (THREAD_SETTING, THREADS, "env.cpu_usable", "env.cpu_quota")
    for values in runs[list(names)].itertuples(index=False, name=None):
        yield dict(zip(names, map(plain, values), strict=True))


def _excess(row: dict[str, object]) -> str:
    """Say that a run had more threads than processors; empty where it had not."""
    asked, taken = row[THREAD_SETTING], row[THREADS]
    threads = asked if asked is not None else taken
    usable = [float(str(row[name])) for name in ("env.cpu_usable", "env.cpu_quota") if row[name] is not None]
    if threads is None or not usable or float(str(threads)) <= min(usable):
        return ""
    said = f"threads={asked}" if asked is not None else f"torch's own number of threads, {taken},"
    few = min(usable)
    return f"{said} is more than the {few:g} processor{'' if few == 1 else 's'} this run may use"


def _is_number(values: "pd.Series[Any]") -> bool:
    return is_numeric_dtype(values.dtype) and not is_bool_dtype(values.dtype)
