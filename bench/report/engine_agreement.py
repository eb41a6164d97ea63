"""How far the texts of engines agree, two by two: in words, in word error rate, and where they differ most."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bench.config import NormalizerName
from bench.report.errors import evenly
from bench.report.heard import versions_of
from bench.report.paired import Rates, paired
from bench.report.parts import ERRORS
from bench.score.agreement import Agreement, agreement
from bench.score.holm import holm
from bench.score.interval import Interval, measured
from bench.score.normalize import normalizer
from bench.score.testset import clusters_of

_MOST_WORDS = 150_000
"""Reference words, over all texts, that are normalised anew: some 15 s of a processor of 2020."""

_MOST_DIFFERING = 8


@dataclass(frozen=True, eq=False)
class Between:
    """Two settings against each other.

    Attributes:
        names: What they are called.
        words: How far their texts agree.
        interval: The share of words that agree, with its 95 % interval; null where neither said a word.
        rates: Their word error rates and the difference; null where nothing was scored.
        p_adjusted: Holm's p-value of that difference over all pairs; null where there are too few units to test.
    """

    names: tuple[str, str]
    words: Agreement
    interval: Interval | None
    rates: Rates | None
    p_adjusted: float | None = None


@dataclass(frozen=True, eq=False)
class Texts:
    """What settings heard of the same utterances, in a run each.

    Attributes:
        between: Every two of them.
        differing: The utterances whose texts are farthest apart, as :func:`bench.report.heard.versions_of` has them,
            with ``range``.
        shown: Utterances that were compared.
        count: Utterances that all of them transcribed.
    """

    between: tuple[Between, ...]
    differing: list[dict[str, Any]]
    shown: int
    count: int


def compare_texts(trials: Mapping[str, str], typical: Mapping[str, str], rows: pd.DataFrame, scored_by: str) -> Texts:
    """Compare what settings heard.

    Args:
        trials: What to call each trial.
        typical: The run of each whose texts are compared.
        rows: Rows of the utterances table, of the runs of these trials that ended well.
        scored_by: Name of the normaliser.
    """
    normalize = normalizer(NormalizerName(scored_by))
    mine = rows[rows["run_id"].isin(typical.values()) & rows["hypothesis"].notna() & rows["reference_words"].notna()]
    shared = mine["utterance_id"].value_counts()
    everyone = mine[mine["utterance_id"].isin(shared.index[shared == len(trials)])]
    of_first = everyone[everyone["run_id"] == next(iter(typical.values()), None)]
    shown = evenly(of_first, _MOST_WORDS // max(1, len(trials))) if len(of_first) else of_first
    names = list(shown["utterance_id"])
    heard = {
        trial: [
            normalize(str(text)).split()
            for text in everyone[everyone["run_id"] == run].set_index("utterance_id").loc[names, "hypothesis"]
        ]
        for trial, run in typical.items()
    }
    speakers = [None if pd.isna(one) else str(one) for one in shown["speaker"]]
    clusters = clusters_of(speakers, shown["path"].tolist()).numbers
    found: list[Between] = []
    farthest: dict[str, tuple[int, int, tuple[str, str]]] = {}
    for first, second in itertools.combinations(trials, 2):
        each = [agreement(one, other) for one, other in zip(heard[first], heard[second], strict=True)]
        called = (trials[first], trials[second])
        for name, words in zip(names, each, strict=True):
            seen = (words.differing, words.words, called)
            farthest[name] = max(farthest.get(name, seen), seen, key=lambda one: one[0])
        sides = [rows[rows["trial_id"] == trial] for trial in (first, second)]
        found.append(
            Between(
                called,
                sum(each, Agreement()),
                _share(each, clusters),
                paired(sides[0], sides[1], scored_by, called).rates,
            )
        )
    widest = sorted(farthest, key=lambda name: (-farthest[name][0], name))[:_MOST_DIFFERING]
    labels = {run: trials[trial] for trial, run in typical.items()}
    counted = everyone.assign(errors=everyone[ERRORS].sum(axis=1))
    differing = [
        versions_of(counted[counted["utterance_id"] == name], labels, normalize) | {"range": _apart(*farthest[name])}
        for name in widest
        if farthest[name][0]
    ]
    return Texts(tuple(_adjusted(found)), differing, len(shown), len(of_first))


def _share(each: Sequence[Agreement], clusters: Any) -> Interval | None:
    """Share of words that agree, and its interval: that of the words that do not, which are counted as errors are."""
    words = sum(each, Agreement())
    if words.share is None:
        return None
    differing = np.array([one.differing for one in each], dtype=np.float64)
    told = measured(differing, np.array([one.words for one in each], dtype=np.float64), clusters)
    if told is None:
        return Interval(words.share, None, None)
    low, high = told.ends
    return Interval(words.share, max(0.0, 1 - high), 1 - low)


def _adjusted(found: Sequence[Between]) -> list[Between]:
    """Correct the p-values of all pairs for their number, after Holm (1979)."""
    tested = [
        (at, one.rates.p_value)
        for at, one in enumerate(found)
        if one.rates is not None and one.rates.p_value is not None
    ]
    values = dict(zip((at for at, _ in tested), holm([value for _, value in tested]), strict=True))
    return [replace(one, p_adjusted=values.get(at)) for at, one in enumerate(found)]


def _apart(differing: int, words: int, names: tuple[str, str]) -> str:
    return f"{differing} of {words} words differ between {names[0]} and {names[1]}"
