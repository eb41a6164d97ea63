"""The same weights under several engines, side by side: speed, memory, accuracy, and how far their texts agree."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.config import Engine, Parity
from bench.metrics import PEAK_GPU, PEAK_RSS, RTFX, WER
from bench.printable import clean
from bench.readings import PHASES
from bench.records import Status
from bench.report.accuracy import Accuracy
from bench.report.comparison import notes
from bench.report.engine_agreement import Between, Texts, compare_texts
from bench.report.engine_versions import latest_versions
from bench.report.labels import name_of, plain, setting_label
from bench.report.pairs import Pair, pairs
from bench.report.sheet import sheet
from bench.report.tables import Block, levels
from bench.score.interval import Interval

ENGINE, _DTYPE, _PARITY = "engine", "model.dtype", "decode.parity"

# Settings that name an engine's variant; whatever else varies, variants are compared under the same.
_OF_A_VARIANT = (ENGINE, _DTYPE, _PARITY)
_FULL = "float32"
_LEVEL = 0.05
_MOST_ROWS = 60
_MOST_COMPARED = 8
_DASH = "\N{EN DASH}"

# How a refusal begins of an engine that is not installed (bench.search.points).
_ABSENT = " is not there: "


@dataclass(frozen=True, eq=False)
class Variant:
    """A setting, told by what executed it.

    Attributes:
        trial_id: Its trial.
        engine: Its engine.
        name: The engine, with the numeric type where that varies, and whether it decoded by defaults of its own.
        rest: The other settings that vary, as a phrase; empty where none does.
        native: Whether it decoded by defaults of its own.
        row: Its row of the settings table.
    """

    trial_id: str
    engine: str
    name: str
    rest: str
    native: bool
    row: "pd.Series[Any]"

    @property
    def ended_well(self) -> bool:
        """Whether any run of it did."""
        return bool(self.row["runs_ok"])


@dataclass(frozen=True, eq=False)
class Engines:
    """The engines of a block.

    Attributes:
        block: The block.
        variants: All settings, those alike but for the engine together.
        compared: Those whose texts are compared, alike but for the engine.
        texts: What they heard; null where fewer than two have a text.
        skipped: Points that did not run, as the study's description lists them: engine and reason of each.
    """

    block: Block
    variants: tuple[Variant, ...]
    compared: tuple[Variant, ...]
    texts: Texts | None
    skipped: tuple[tuple[str, str], ...]

    @property
    def absent(self) -> list[str]:
        """Engines that were asked for, and of which no run was begun."""
        there = {one.engine for one in self.variants}
        return list(dict.fromkeys(name for name, _ in self.skipped if name not in there))


def engines(block: Block, utterances: pd.DataFrame, skipped: Sequence[Mapping[str, Any]] = ()) -> Engines | None:
    """Set the engines of a block side by side; null where there is one only, and no other was asked for.

    Args:
        block: The settings.
        utterances: The study's utterances.
        skipped: Points that did not run, as the study's description lists them.
    """
    every = _variants(block)
    points = [(one.get("settings") or {}, str(one.get("reason") or "")) for one in skipped]
    refused = tuple(
        (clean(str(point[ENGINE])), clean(why).removesuffix(".")) for point, why in points if ENGINE in point
    )
    if len({one.engine for one in every} | {name for name, _ in refused}) < 2:
        return None
    chosen = _compared(every)
    if len(chosen) < 2:
        return Engines(block, tuple(every), (), None, refused)
    good = block.runs.loc[block.runs["status"] == Status.ok.value, "run_id"]
    texts = compare_texts(
        {one.trial_id: one.name for one in chosen},
        {one.trial_id: str(one.row["typical_run"]) for one in chosen},
        utterances[utterances["run_id"].isin(good) & utterances["trial_id"].isin([one.trial_id for one in chosen])],
        str(block.factors["score.normalizer"]),
    )
    return Engines(block, tuple(every), tuple(chosen), texts, refused)


def engine_section(found: Engines, accuracy: Accuracy) -> dict[str, Any]:
    """Tell of the engines of a block, in the shape the templates want.

    Args:
        found: The engines.
        accuracy: What the errors of the block's settings tell.

    Returns:
        A :func:`sheet` of figures with ``title``, ``missing`` (engines without a result, each with its reason),
        ``phases`` and ``agreement`` (further sheets), ``differing`` (utterances) and ``notes``.
    """
    block, shown = found.block, found.variants[:_MOST_ROWS]
    against = _against(block)
    names = ["Engine", "Setting"]
    metrics = [RTFX, *(metric for metric in (PEAK_RSS, PEAK_GPU) if block.table[metric.column].notna().any())]
    heads = ["WER", "95 %", "Against the best", RTFX.label, *(head for head, _ in against)]
    heads += [metric.label for metric in metrics[1:]]
    rows = []
    for one in shown:
        speed = RTFX.show(one.row[RTFX.column]) if one.ended_well else str(one.row["status"])
        faster = [known.get(one.trial_id) for _, known in against]
        paired = ["baseline" if pair is None else pair.cell for pair in faster]
        cells = [WER.show(one.row["wer"]), accuracy.interval(one.trial_id), accuracy.standing(one.trial_id)]
        memory = [metric.show(one.row[metric.column]) for metric in metrics[1:]]
        rows.append([one.name, one.rest, *cells, speed, *paired, *memory])
    dashes = [_DASH] * len(heads)
    rows += [[name, "", *dashes[:3], "not run", *dashes[4:]] for name in found.absent]
    told = _filled(names + heads, rows, words=2)
    return told | {
        "title": block.title,
        "missing": _missing(found),
        "phases": _phases(shown),
        "agreement": _agreement(found.texts),
        "differing": found.texts.differing if found.texts else [],
        "compared": found.compared[0].rest if found.compared else "",
        "notes": _notes(found, against),
    }


def _variants(block: Block) -> list[Variant]:
    """List the settings, those alike but for the engine together, in the order of the engine's names."""
    told = [name for name in (_DTYPE,) if name in block.table]
    rest = [name for name in block.varied if name not in _OF_A_VARIANT]
    first = block.runs.drop_duplicates("trial_id").set_index("trial_id")
    found = []
    for trial, row in block.table.iterrows():
        native, engine = bool(first.at[trial, _PARITY] == Parity.native), str(first.at[trial, ENGINE])
        words = [engine, *(str(plain(row[name])) for name in told), *(["native"] if native else [])]
        others = setting_label({name: plain(row[name]) for name in rest}) if rest and not native else ""
        found.append(Variant(str(trial), engine, clean(", ".join(words)), others, native, row))
    order = {label: at for at, label in enumerate(dict.fromkeys(one.rest for one in found))}
    return sorted(found, key=lambda one: (order[one.rest], one.name, one.trial_id))


def _compared(every: Sequence[Variant]) -> list[Variant]:
    """Choose the variants whose texts are compared: of those alike otherwise the most, at best with the lowest WER."""
    groups: dict[str, list[Variant]] = {}
    for one in every:
        if one.ended_well and pd.notna(one.row["wer"]):
            groups.setdefault(one.rest, []).append(one)
    native = [one for one in groups.get("", []) if one.native]
    kept = {rest: [*some, *(native if rest else [])] for rest, some in groups.items()}
    if not kept:
        return []
    chosen = max(kept.values(), key=lambda some: (len(some), -min(one.row["wer"] for one in some)))
    return chosen[:_MOST_COMPARED]


def _against(block: Block) -> list[tuple[str, dict[str, Pair]]]:
    """Compare the speed of each setting with transformers', or else the first engine's; by what, and by trial."""
    if ENGINE not in block.table:
        return []
    there = [str(level) for level in levels(block.table[ENGINE])]
    base = Engine.transformers.value if Engine.transformers in there else there[0]
    kinds: list[tuple[str, dict[str, object]]] = [(f"Times as fast as {base}", {ENGINE: base})]
    if _DTYPE in block.table and _FULL in levels(block.table[_DTYPE]):
        kinds.append((f"Times as fast as {base}, {_FULL}", {ENGINE: base, _DTYPE: _FULL}))
    return [(head, {pair.side.trial_id: pair for pair in pairs([block], baseline)}) for head, baseline in kinds]


def _missing(found: Engines) -> list[str]:
    """Say which variants have no result, and which points did not run since their engine is absent, or refused them."""
    told = [
        f"{one.name}{f' ({one.rest})' if one.rest else ''} has no result: {one.row['status']}, {one.row['reason']}"
        for one in found.variants
        if not one.ended_well
    ]
    there = {one.engine for one in found.variants if one.ended_well}
    # Installed since.
    refused = Counter((name, why) for name, why in found.skipped if not (name in there and _ABSENT in why))
    return told + [
        f"{name} did not run {count} point{'s' if count > 1 else ''}: {why}." for (name, why), count in refused.items()
    ]


def _phases(shown: Sequence[Variant]) -> dict[str, Any]:
    """Write where the time of each variant's typical run goes, in seconds."""
    names = ("load_s", *PHASES, "inference_s")
    rows = [
        [one.name, one.rest, *(_DASH if pd.isna(one.row[name]) else f"{one.row[name]:.2f}" for name in names)]
        for one in shown
        if one.ended_well
    ]
    return _filled(["Engine", "Setting", *(f"{name_of(name).capitalize()} [s]" for name in names)], rows, words=2)


def _agreement(texts: Texts | None) -> dict[str, Any]:
    heads = ["First", "Second", "Words that agree", "95 %", "Difference in WER [points]", "By the paired test"]
    rows = [
        [*one.names, _percent(one.interval), _ends(one.interval), _difference(one), _verdict(one)]
        for one in (texts.between if texts else ())
    ]
    return sheet(heads, rows, words=2)


def _percent(found: Interval | None) -> str:
    return _DASH if found is None else f"{100 * found.value:.2f} %"


def _ends(found: Interval | None) -> str:
    if found is None or found.low is None or found.high is None:
        return _DASH
    return f"{100 * found.low:.2f} to {100 * found.high:.2f} %"


def _difference(one: Between) -> str:
    if one.rates is None:
        return _DASH
    seen = one.rates.difference
    ends = "" if seen.low is None or seen.high is None else f" ({100 * seen.low:+.2f} to {100 * seen.high:+.2f})"
    return f"{100 * seen.value:+.2f}{ends}"


def _verdict(one: Between) -> str:
    if one.p_adjusted is None:
        return "too little data to test"
    different = one.p_adjusted <= _LEVEL
    return f"{'different' if different else 'tied'} (p = {one.p_adjusted:.2g})"


def _notes(found: Engines, against: Sequence[tuple[str, dict[str, Pair]]]) -> list[str]:
    told = [
        f"{name}: {version}."
        for name, version in sorted(latest_versions(found.block.runs).items())
        if name in {one.engine for one in found.variants}
    ]
    if any(one.native for one in found.variants):
        told.append(
            "Native: the engine decoded whole recordings by defaults of its own (decode.parity=native), as its users"
            " do. Such a row tells what users get; it is no comparison of engines alone."
        )
    if found.texts:
        told.append(
            "Words that agree stand beside an equal word in the other text, when the two are aligned so that as many"
            " as possible do; the share is of all words of both (ROUGE-L with equal weights, Lin 2004). A difference"
            " in WER is the second engine's less the first's, over the same utterances; the test flips the sign of"
            " each unit's difference, and p-values are Holm's over all pairs."
        )
        if found.texts.shown < found.texts.count:
            told.append(f"{found.texts.shown:,} of {found.texts.count:,} utterances were aligned, evenly chosen.")
    if len(found.variants) > _MOST_ROWS:
        told.append(f"{len(found.variants) - _MOST_ROWS} more settings are in the table of settings.")
    seen = [list(known.values()) for _, known in against]
    told += notes(*seen)
    unsure = [pair for some in seen for pair in some if pair.comparison and not pair.decidable]
    if unsure:
        told.append(f"Where runs are too few to tell: give measure.replicates={max(one.replicates for one in unsure)}.")
    return list(dict.fromkeys(told))


def _filled(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> dict[str, Any]:
    """Make a table of the columns in which anything stands."""
    kept = [at for at in range(len(heads)) if any(row[at] not in ("", _DASH) for row in rows)]
    return sheet([heads[at] for at in kept], [[row[at] for at in kept] for row in rows], sum(at < words for at in kept))
