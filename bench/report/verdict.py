"""The report's sentences, as plain text: what to pick, what it costs, and how far the numbers can be trusted."""

from collections.abc import Collection, Sequence
from typing import Any, cast

import pandas as pd

from bench.config import Weights
from bench.metrics import PEAK_RSS, RTFX, WER
from bench.records import Status
from bench.report.accuracy import Accuracy
from bench.report.frontier import WITHIN_WER, Picks, Recommendation
from bench.report.tables import WARMUP, Block, differences

NOISE = 0.02
"""Speeds and memory that differ by no more than this share are told as alike: a single run repeats no better."""

# Ratios such as 10.2 / 10.0 must not fall beyond the limit they lie on.
_ROUNDING = 1e-9
_NEAR = f"within {100 * NOISE:g} % of each other"

_PEAKS = {
    "vmhwm": "the kernel's peak of the run's process after the model was loaded: audio decoding, warm-up and inference",
    "vmhwm_since_start": "the kernel's peak since the run's process began: it could not be reset after loading, so the"
    " peak of loading may stand for it",
    "sampled": "the highest sample taken of the run's process after the model was loaded, a lower bound of its peak",
}


def headline(block: Block, recommendation: Recommendation) -> str:
    """Say which setting to pick and its figures, in one sentence; or why none can be picked."""
    picks = recommendation.picks
    if picks is None:
        return _sentence(recommendation.reason or "nothing can be compared")
    row = block.row(picks.recommended)
    told = f"{row['label']} ({_figures(row, picks)})"
    if recommendation.compared > 1:
        return f"Recommended: {told}, {_standing(_comparable(block, recommendation), row)}."
    return f"Only one setting can be judged: {told}."


def set_aside(recommendation: Recommendation) -> list[str]:
    """Say how many settings were set aside since they break a constraint; nothing where the headline is about that."""
    count = len(recommendation.broken)
    if not count or recommendation.picks is None:
        return []
    who = "1 setting was set aside: it breaks" if count == 1 else f"{count} settings were set aside: they break"
    return [f"{who} a constraint, or {'has' if count == 1 else 'have'} no value for it (search.constraints)."]


def ties(block: Block, recommendation: Recommendation, found: Accuracy) -> list[str]:
    """Say how many settings cannot be told from the recommended one by their WER, and what they are better in.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        found: What their errors tell; nothing is said where they were not tested.
    """
    picks, others = recommendation.picks, len(found.against) - 1
    if picks is None or others < 1:
        return []
    count = len(found.tied) - 1
    level = f"at the 5 % level{'' if others == 1 else ', over all together'}; {found.units}"
    if others == 1:
        return [f"The other setting {'cannot' if count else 'can'} be told from it by its WER ({level})."]
    if not count:
        return [f"All {others} other settings can be told from it by their WER ({level})."]
    which = f"None of the {others} other settings can" if count == others else f"{count} of the {others} others cannot"
    told = [f"{which} be told from it by {'its' if count == others else 'their'} WER ({level})."]
    best, fastest = block.row(picks.recommended), block.row(found.fastest_tied(block) or picks.recommended)
    # Of those that a sentence of their own is about, that one says it.
    own = (picks.fastest, picks.fastest_within)
    if fastest.name not in own and not _alike(fastest[RTFX.column], best[RTFX.column]):
        told.append(f"The fastest of these within {100 * WITHIN_WER:g} point, {_trade(fastest, best)}")
    lost = block.table.loc[list(found.tied), WER.column].max() - best[WER.column]
    if lost > WITHIN_WER:
        needed = found.too_few_units
        may = "more speech may tell them apart."
        if needed is not None:
            may = f"{found.units} are too few to tell {others + 1} settings apart, which takes {needed} or more."
        told.append(
            f"That is no proof that they are as good: their WER is up to {100 * lost:.1f} points higher, and {may}"
        )
    return told


def costs(block: Block, recommendation: Recommendation, tied: Collection[str] = ()) -> list[str]:
    """Say what other choices would cost and gain against the recommended setting.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        tied: Those whose WER cannot be told from the best's.
    """
    picks = recommendation.picks
    if picks is None:
        return []
    if recommendation.compared == 1:
        return ["There is no other setting to compare it with."]
    table, best = _comparable(block, recommendation), block.row(picks.recommended)
    fastest = block.row(picks.fastest)
    if _alike(fastest[RTFX.column], best[RTFX.column]):
        return [*_no_faster(table), *_memory(table, picks)]
    near = int(_alike(table[RTFX.column], fastest[RTFX.column]).sum())
    which = "The fastest setting of all" if near == 1 else f"One of the {near} fastest settings ({_NEAR})"
    told = [f"{which}, {_trade(fastest, best, picks.fastest in tied)}"]
    # Without a WER the fastest is the one recommended, which ended this above.
    within = block.row(picks.fastest_within or picks.fastest)
    if picks.fastest_within != picks.fastest and not _alike(within[RTFX.column], best[RTFX.column]):
        told.append(f"Within {100 * WITHIN_WER:g} point of its WER, {_trade(within, best, within.name in tied)}")
    return [*told, *_memory(table, picks)]


def recommended_rows(
    block: Block, recommendation: Recommendation, fastest_tied: str | None = None
) -> list[tuple[str, "pd.Series[Any]"]]:
    """List the recommended settings, each with the role it was picked for.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        fastest_tied: The fastest of those that cannot be told from the most accurate; null where nothing was tested.
    """
    picks = recommendation.picks
    if picks is None:
        return []
    roles = {
        "Most accurate": picks.most_accurate,
        f"Fastest that cannot be told from it, within {100 * WITHIN_WER:g} point": fastest_tied,
        f"Fastest within {100 * WITHIN_WER:g} point of WER": picks.fastest_within,
        "Least memory": picks.least_memory,
        "Fastest of all": picks.fastest,
    }
    return [(role, block.row(trial)) for role, trial in roles.items() if trial is not None]


def not_compared(blocks: Sequence[Block]) -> list[str]:
    """Say what sets the blocks apart, with every value; nothing for a single block."""
    if len(blocks) < 2:
        return []
    told = [f"This study has {len(blocks)} blocks of runs. Settings are compared within a block, never across blocks."]
    for name, values in differences(blocks).items():
        told.append(f"{name}: " + "; ".join(f"{value} in block {number}" for number, value in enumerate(values, 1)))
    return told


def caveats(block: Block) -> list[str]:
    """Say what the block's numbers rest on, and what they do not include."""
    table = block.table
    good = table[table["runs_ok"] > 0]
    if good.empty:
        return []
    words = good["words_scored"].max()
    told = [_measured(block, good), f"Each setting had {_span(good['runs_ok'], 'run')}."]
    if words > 0:
        told.append(f"One word more or less moves WER by {100 / words:.2g} points.")
    if good[WER.column].isna().all():
        told.append(_unscored(block))
    if good["runs_ok"].min() == 1:
        told.append("With a single run of a setting, differences of a few percent in speed or memory may be noise.")
    told.append(
        "RTFx is seconds of audio divided by the median wall seconds of a pass (finding silences, features, encode,"
        " decode, word times, merge); loading the model and decoding the audio files are not part of it."
    )
    told.extend(_peaks(block))
    failed = good["utterances_failed"].max()
    if failed > 0:
        told.append(
            f"In at least one setting {failed:.0f} utterance(s) could not be transcribed and are in no WER; settings"
            " that scored fewer words than others are not recommended."
        )
    return told


def _comparable(block: Block, recommendation: Recommendation) -> pd.DataFrame:
    return block.table.drop(index=list(recommendation.excluded))


def _alike(one: Any, other: Any) -> Any:
    """Tell whether two values, or each of a column and a value, differ by no more than noise."""
    return (one <= other * (1 + NOISE) + _ROUNDING) & (other <= one * (1 + NOISE) + _ROUNDING)


def _standing(table: pd.DataFrame, best: "pd.Series[Any]") -> str:
    """Say what sets the recommended setting apart from the others; where several share its WER, it is their speed."""
    if pd.isna(best[WER.column]):
        return f"{_fastest(table, best, f'{len(table)} settings')}; no setting has a WER"
    shared = table[table[WER.column] == best[WER.column]]
    if len(shared) == 1:
        return f"the most accurate of {len(table)} settings"
    among = f"{len(shared)} settings that share the lowest WER"
    among += f" ({len(table)} were compared)" if len(shared) < len(table) else ""
    return _fastest(shared, best, among)


def _fastest(table: pd.DataFrame, best: "pd.Series[Any]", among: str) -> str:
    """Say that a setting is the fastest of a table's, or one of those that are alike."""
    near = int(_alike(table[RTFX.column], best[RTFX.column]).sum())
    if near == 1:
        return f"the fastest of {among}"
    if near == len(table):
        return f"one of {among}; their speeds are {_NEAR}"
    return f"one of the {near} fastest ({_NEAR}) of {among}"


def _no_faster(table: pd.DataFrame) -> list[str]:
    """Say how the recommended setting's speed compares where no other is faster by more than noise."""
    speeds = table[RTFX.column].sort_values(ascending=False)
    near = int(_alike(speeds, speeds.iloc[0]).sum())
    told = table[WER.column].nunique() <= 1  # then the headline speaks of the speed of all
    if near == 1:
        margin = f"{speeds.iloc[0] / speeds.iloc[1]:.2f} times as fast as the next"
        return [f"It is {margin}." if told else f"It is also the fastest setting of all, {margin}."]
    if told:
        return []
    if near == len(table):
        return [f"The speeds of {'both' if near == 2 else f'all {near}'} settings are {_NEAR}."]
    return [f"It is also one of the {near} fastest settings, whose speeds are {_NEAR}."]


def _memory(table: pd.DataFrame, picks: Picks) -> list[str]:
    """Say which setting needs the least memory; nothing where the difference is noise, or none was measured."""
    if picks.least_memory is None:
        return []
    column, show = picks.memory.column, picks.memory.show
    best, least = (cast("pd.Series[Any]", table.loc[trial]) for trial in (picks.recommended, picks.least_memory))
    needed = table[column].dropna()
    near = int((_alike(needed, least[column]) | (needed.map(show) == show(least[column]))).sum())
    if _alike(best[column], least[column]) or show(best[column]) == show(least[column]):
        if near == len(needed):
            return []
        least_of_all = "It also needs the least memory."
        return [least_of_all if near == 1 else f"It is also one of the {near} settings that need the least memory."]
    saved = f"{show(least[column])} against {show(best[column])}"
    return [f"Least memory: {least['label']}, {saved}, {_points(least, best)}."]


def _measured(block: Block, good: pd.DataFrame) -> str:
    """Say how much a run transcribed, and in how many passes."""
    runs = block.runs[block.runs["status"] == Status.ok.value]
    spans = _span(runs["utterances"] - runs["utterances_failed"], "utterance")
    words = runs["reference_words"]
    scored = f" with {_span(words, 'reference word')}" if words.max() > 0 else ""
    repeats = good["repeats"].dropna()
    passes = _span(repeats, "timed pass", "timed passes") if len(repeats) else "passes without a valid timing"
    count = block.factors[WARMUP]
    warmup = f"after {count} warm-up {'pass' if count == 1 else 'passes'} over the first batch"
    passes += f" {warmup}" if count else " without a warm-up"
    return f"Each run transcribed {spans}{scored}, {_span(runs['audio_s'], 's', 's')} of audio, in {passes}."


def _unscored(block: Block) -> str:
    """Say why no setting has a WER."""
    if (block.runs["model.weights"] == Weights.random.value).all():
        return "The weights are random, so the text means nothing and has no WER; speed and memory are real."
    return "Nothing with a reference transcript was transcribed, so there is no WER."


def _peaks(block: Block) -> list[str]:
    """Say what the peaks of RAM are, by where they come from."""
    runs = block.runs[block.runs["status"] == Status.ok.value].dropna(subset=[PEAK_RSS.column])
    counts = {source: int((runs["peak_rss_source"] == source).sum()) for source in _PEAKS}
    found = [source for source, count in counts.items() if count]
    shared = "It includes pages shared with other processes."
    if len(found) == 1:
        return [f"Peak RAM is {_PEAKS[found[0]]}. {shared}"]
    told = [f"Peak RAM of {counts[source]} of {len(runs)} runs is {_PEAKS[source]}." for source in found]
    return [*told, f"Peaks of different origin are no like for like. {shared}"] if found else []


def _figures(row: "pd.Series[Any]", picks: Picks) -> str:
    memory = picks.memory
    wer = "" if pd.isna(row[WER.column]) else f"WER {WER.show(row[WER.column])}, "
    shown = f"{wer}RTFx {RTFX.show(row[RTFX.column])}"
    return f"{shown}, {memory.label[:1].lower()}{memory.label[1:]} {memory.show(row[memory.column])}"


def _trade(row: "pd.Series[Any]", best: "pd.Series[Any]", tied: bool = False) -> str:
    faster = row[RTFX.column] / best[RTFX.column]
    told = f"{row['label']}, is {faster:.2f} times as fast (RTFx {RTFX.show(row[RTFX.column])}), {_points(row, best)}"
    return told + (", which cannot be told from the best's." if tied and row[WER.column] != best[WER.column] else ".")


def _points(row: "pd.Series[Any]", best: "pd.Series[Any]") -> str:
    """Write what a setting costs in WER, never less than the best, which is the most accurate; else in speed."""
    if pd.isna(best[WER.column]):
        return "at RTFx " + " against ".join(RTFX.show(one[RTFX.column]) for one in (row, best))
    lost = 100 * (row[WER.column] - best[WER.column])
    if lost == 0:
        return "at the same WER"
    shown = [WER.show(one[WER.column]) for one in (row, best)]
    return f"at {lost:.2f} points more WER" + (f" ({shown[0]} against {shown[1]})" if shown[0] != shown[1] else "")


def _span(values: "pd.Series[Any]", one: str, many: str = "") -> str:
    low, high = f"{values.min():.0f}", f"{values.max():.0f}"
    count = low if low == high else f"{low} to {high}"
    return f"{count} {one if high == '1' else many or one + 's'}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".") + "."
