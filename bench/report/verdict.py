"""The report's sentences, as plain text: what to pick, what it costs, and how far the numbers can be trusted."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.metrics import RTFX, WER
from bench.report.frontier import WITHIN_WER, Picks, Recommendation
from bench.report.tables import Block, differences


def headline(block: Block, recommendation: Recommendation) -> str:
    """Say which setting to pick and its figures, in one sentence; or why none can be picked."""
    picks = recommendation.picks
    if picks is None:
        return _sentence(recommendation.reason or "nothing can be compared")
    row = block.row(picks.most_accurate)
    told = f"{row['label']} ({_figures(row, picks)})"
    if recommendation.compared > 1:
        return f"Recommended: {told}, the most accurate of {recommendation.compared} settings."
    return f"Only one setting can be judged: {told}."


def costs(block: Block, recommendation: Recommendation) -> list[str]:
    """Say what other choices would cost and gain against the recommended setting."""
    picks = recommendation.picks
    if picks is None:
        return []
    best = block.row(picks.most_accurate)
    if recommendation.compared == 1:
        return ["There is no other setting to compare it with."]
    if picks.fastest == picks.most_accurate:
        told = ["It is also the fastest setting of all."]
    else:
        told = [f"The fastest setting of all, {_trade(block.row(picks.fastest), best)}"]
        if picks.fastest_within not in (picks.most_accurate, picks.fastest):
            told.append(
                f"Within {100 * WITHIN_WER:g} point of its WER, {_trade(block.row(picks.fastest_within), best)}"
            )
    if picks.least_memory == picks.most_accurate:
        told.append("It also needs the least memory.")
    elif picks.least_memory is not None:
        row, column = block.row(picks.least_memory), picks.memory.column
        saved = f"{picks.memory.show(row[column])} against {picks.memory.show(best[column])}"
        told.append(f"Least memory: {row['label']}, {saved}, {_points(row, best)}.")
    return told


def recommended_rows(block: Block, recommendation: Recommendation) -> list[tuple[str, "pd.Series[Any]"]]:
    """List the recommended settings, each with the role it was picked for."""
    picks = recommendation.picks
    if picks is None:
        return []
    roles = {
        "Most accurate": picks.most_accurate,
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
    words, audio_s = good["words_scored"].max(), good["audio_s"].max()
    scored = f" with {words:.0f} reference words" if words > 0 else ""
    passes = _span(good["repeats"], "timed pass", "timed passes")
    spans = _span(good["utterances"], "utterance")
    told = [
        f"Each run transcribed {spans}{scored}, {audio_s:.0f} s of audio, in {passes}.",
        f"Each setting had {_span(good['runs_ok'], 'run')}.",
    ]
    if words > 0:
        told.append(f"One word more or less moves WER by {100 / words:.2g} points; WER carries no interval here.")
    if good["runs_ok"].min() == 1:
        told.append("With a single run of a setting, differences of a few percent in speed or memory may be noise.")
    told.append(
        "RTFx is seconds of audio divided by the median wall seconds of a pass (features, encode, decode, merge);"
        " loading the model and decoding the audio files are not part of it."
    )
    told.append("Peak RAM is that of the run's process after the model was loaded, including pages shared with others.")
    failed = good["utterances_failed"].max()
    if failed > 0:
        told.append(
            f"In at least one setting {failed:.0f} utterance(s) could not be transcribed and are in no WER; settings"
            " that scored fewer words than others are not recommended."
        )
    return told


def _figures(row: "pd.Series[Any]", picks: Picks) -> str:
    memory = picks.memory
    shown = f"WER {WER.show(row[WER.column])}, RTFx {RTFX.show(row[RTFX.column])}"
    return f"{shown}, {memory.label[:1].lower()}{memory.label[1:]} {memory.show(row[memory.column])}"


def _trade(row: "pd.Series[Any]", best: "pd.Series[Any]") -> str:
    faster = row[RTFX.column] / best[RTFX.column]
    return f"{row['label']}, is {faster:.2f} times as fast (RTFx {RTFX.show(row[RTFX.column])}), {_points(row, best)}."


def _points(row: "pd.Series[Any]", best: "pd.Series[Any]") -> str:
    """Write what a setting costs in WER; it is never less than the best, which is the most accurate."""
    lost = 100 * (row[WER.column] - best[WER.column])
    if lost == 0:
        return "at the same WER"
    return f"at {lost:.2f} points more WER ({WER.show(row[WER.column])} against {WER.show(best[WER.column])})"


def _span(values: "pd.Series[Any]", one: str, many: str = "") -> str:
    low, high = values.min(), values.max()
    count = f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
    return f"{count} {one if high == 1 else many or one + 's'}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".") + "."
