"""The error rate of a setting by kind of utterance: how long, by whom, how fast and how noisy it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics import WER
from bench.printable import clean
from bench.report.reading import Reading
from bench.report.sheet import sheet
from bench.score.blocks import block_errors
from bench.score.interval import Interval, rate, unit_numbers
from bench.score.precision import BLOCK_WORDS
from bench.score.testset import clusters_of

_Blocks: TypeAlias = list[tuple[float, float]]
"""Word errors and reference words of each block of an utterance."""

_ERRORS = ["substitutions", "deletions", "insertions"]
_FEWEST = 15
"""Utterances that are divided by what they measure: fewer make groups that tell nothing."""

_MANY = 40
"""Utterances from which on there are four groups, not three."""

_MOST_SPEAKERS = 12


@dataclass(frozen=True)
class Kind:
    """Utterances of one kind.

    Attributes:
        factor: What they are divided by.
        name: Which of its groups this is.
        utterances: How many there are.
        words: Their reference words.
        rate: Their word error rate, as a fraction.
    """

    factor: str
    name: str
    utterances: int
    words: int
    rate: Interval


def kinds(rows: pd.DataFrame, readings: Sequence[Reading]) -> dict[str, Any] | None:
    """Divide a setting's utterances by duration, speaker, speaking rate and signal-to-noise ratio.

    Args:
        rows: Scored rows of the utterances table, of one run.
        readings: Those that were aligned: long ones among them count in blocks.

    Returns:
        ``found`` (a :class:`Kind` each), ``table``, and ``told``, which says what makes a difference beyond doubt; null
        where there is nothing to divide.
    """
    words = rows["reference_words"].astype(float)
    per_second = words / rows["audio_s"].where(rows["audio_s"] > 0)
    blocks = {reading.utterance_id: _blocks(reading) for reading in readings if len(reading.said) > BLOCK_WORDS}
    found = [
        *_by_number(rows, rows["audio_s"], "Duration", "s", blocks),
        *_by_number(rows, per_second, "Speaking rate", "words/s", blocks),
        *_by_number(rows, rows["snr_db"], "Signal to noise", "dB", blocks),
        *_by_speaker(rows, blocks),
    ]
    if not found:
        return None
    heads = ["By", "Which", "Utterances", "Words", "WER", "95 % interval"]
    lines = [
        [kind.factor, kind.name, f"{kind.utterances:,}", f"{kind.words:,}", WER.show(kind.rate.value), _ends(kind.rate)]
        for kind in found
    ]
    return {"found": found, "table": sheet(heads, lines, 2), "told": _told(found)}


def _blocks(reading: Reading) -> _Blocks:
    """Count the errors and the words of each block of a long utterance."""
    errors = block_errors(reading.said, reading.heard, BLOCK_WORDS)
    starts = range(0, len(reading.said), BLOCK_WORDS)
    sizes = [min(BLOCK_WORDS, len(reading.said) - start) for start in starts]
    return [(float(wrong), float(size)) for wrong, size in zip(errors, sizes, strict=True)]


def _by_number(
    rows: pd.DataFrame, values: "pd.Series[Any]", factor: str, unit: str, blocks: Mapping[str, _Blocks]
) -> Iterator[Kind]:
    """Divide by a number into groups of equally many utterances."""
    known = rows[values.notna()]
    numbers = values[values.notna()].to_numpy(dtype=float)
    if len(known) < _FEWEST:
        return
    groups = 4 if len(known) >= _MANY else 3
    inner = np.quantile(numbers, np.linspace(0, 1, groups + 1)[1:-1])
    shown = [f"{edge:.3g}" for edge in inner]
    if len(set(shown)) < len(shown):  # as where all last the same
        return
    which = np.searchsorted(inner, numbers, side="left")
    names = [f"up to {shown[0]} {unit}"]
    names += [f"{low} to {high} {unit}" for low, high in pairwise(shown)]
    names.append(f"over {shown[-1]} {unit}")
    for number, name in enumerate(names):
        if (kind := _kind(known[which == number], factor, name, blocks)) is not None:
            yield kind


def _by_speaker(rows: pd.DataFrame, blocks: Mapping[str, _Blocks]) -> Iterator[Kind]:
    """Divide by speaker; of many, those who said most."""
    named = rows[rows["speaker"].notna()]
    said = named.groupby("speaker")["reference_words"].sum().sort_values(ascending=False, kind="stable")
    if len(said) < 2:
        return
    most = said.index[:_MOST_SPEAKERS]
    found = [_kind(named[named["speaker"] == who], "Speaker", clean(str(who)), blocks) for who in most]
    yield from sorted(filter(None, found), key=lambda kind: kind.rate.value)


def _kind(rows: pd.DataFrame, factor: str, name: str, blocks: Mapping[str, _Blocks]) -> Kind | None:
    """Count the errors of some utterances; null where nothing was said in any."""
    whole = zip(rows[_ERRORS].sum(axis=1).astype(float), rows["reference_words"].astype(float), strict=True)
    parts = [blocks.get(str(one), [counted]) for one, counted in zip(rows["utterance_id"], whole, strict=True)]
    wrong, words = np.array([part for some in parts for part in some], dtype=np.float64).T
    if not words.sum():
        return None
    clusters = np.repeat(_clusters(rows), [len(some) for some in parts])
    units = unit_numbers(words, clusters)
    interval = rate(np.bincount(units, wrong), np.bincount(units, words))
    return Kind(factor, name, len(rows), int(words.sum()), interval)


def _clusters(rows: pd.DataFrame) -> NDArray[np.int64]:
    speakers = [None if pd.isna(who) else str(who) for who in rows["speaker"]]
    return clusters_of(speakers, rows["path"].tolist()).numbers


def _ends(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "\N{EN DASH}"
    return f"{WER.show(interval.low)} to {WER.show(interval.high)}"


def _told(found: Sequence[Kind]) -> list[str]:
    """Say of each factor whether the intervals of its best and worst group lie apart."""
    told = []
    for factor in dict.fromkeys(kind.factor for kind in found):
        sure = [kind for kind in found if kind.factor == factor and kind.rate.low is not None]
        if len(sure) < 2:
            continue
        best, worst = (choose(sure, key=lambda kind: kind.rate.value) for choose in (min, max))
        if (best.rate.high or 0.0) < (worst.rate.low or 0.0):
            rates = f"{WER.show(best.rate.value)} ({best.name}) to {WER.show(worst.rate.value)} ({worst.name})"
            told.append(f"{factor}: the WER goes from {rates}, whose intervals lie apart.")
    return told
