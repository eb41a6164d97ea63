"""Two settings over the same utterances, paired: what each got wrong, part by part, and what cannot be paired."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.config import NormalizerName
from bench.errors import StoreError
from bench.printable import clean
from bench.report.parts import ERRORS, parts_of
from bench.score.interval import Interval, difference, rate
from bench.score.noninferiority import Excess, excess
from bench.score.normalize import Normalizer, normalizer
from bench.score.precision import BLOCK_WORDS, FEWEST_UNITS
from bench.score.tied import exchange_p_value

_SIDES = ("first", "second")
_SAME_LENGTH_S = 0.1


@dataclass(frozen=True)
class Change:
    """An utterance under both settings.

    Attributes:
        words: Its reference words.
        before: Word errors under the first setting, a mean over its runs.
        after: Those under the second.
    """

    utterance_id: str
    words: int
    before: float
    after: float

    @property
    def more(self) -> float:
        """Errors that the second setting makes more."""
        return self.after - self.before


@dataclass(frozen=True)
class Unpaired:
    """Utterances that are compared with nothing, by their ids.

    Attributes:
        first_only: Those the second setting was not given.
        second_only: Those the first was not given.
        first_failed: Those that the first could not transcribe and the second did.
        second_failed: Those that the second could not transcribe and the first did.
        other_audio: Paired, but not equally long under both, so that their sound may not be the same.
    """

    first_only: tuple[str, ...] = ()
    second_only: tuple[str, ...] = ()
    first_failed: tuple[str, ...] = ()
    second_failed: tuple[str, ...] = ()
    other_audio: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rates:
    """The word error rates of two settings over what both transcribed.

    Attributes:
        before: Of the first setting.
        after: Of the second.
        difference: The second less the first, pair by pair: above 0, the second is worse.
        p_value: Probability of so large a difference between equal settings; null where there are too few units.
    """

    before: Interval
    after: Interval
    difference: Interval
    p_value: float | None


@dataclass(frozen=True, eq=False)
class Paired:
    """Two settings, utterance by utterance.

    Attributes:
        changes: Utterances that both transcribed, in the first setting's order.
        unpaired: The others.
        before: Errors of each unit under the first setting, shape ``(units,)``; a unit is what is taken as independent
            of all others.
        after: Those under the second.
        words: Reference words of each unit.
        noun: What the units are, in the plural.
        origin: Where the utterances come from: "by 5 speakers".
    """

    changes: tuple[Change, ...]
    unpaired: Unpaired
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    words: NDArray[np.float64]
    noun: str
    origin: str

    @property
    def has_units(self) -> bool:
        """Whether there are so many units that an interval can be told."""
        return len(self.words) >= FEWEST_UNITS

    @cached_property
    def rates(self) -> Rates | None:
        """Both rates and their difference; null where there are no words."""
        if not self.words.sum():
            return None
        return Rates(
            rate(self.before, self.words),
            rate(self.after, self.words),
            difference(self.after, self.before, self.words),
            exchange_p_value(self.after - self.before) if self.has_units else None,
        )

    def excess(self, factor: float = 1.0) -> Excess | None:
        """Bound the errors in excess of so many times the first setting's; null where there are too few units."""
        return excess(self.before, self.after, self.words, factor) if self.has_units else None


def paired(first: pd.DataFrame, second: pd.DataFrame, normalizer_name: str, names: tuple[str, str]) -> Paired:
    """Pair two settings.

    Args:
        first: Rows of the utterances table, of all runs of one setting that ended well.
        second: Those of the other.
        normalizer_name: What both were scored under.
        names: What the two are called, for messages.

    Raises:
        StoreError: An utterance has another reference on either side.
    """
    one, other = _by_utterance(first), _by_utterance(second)
    shared = [name for name in one.index if name in other.index]
    _refuse_other_references(one.loc[shared], other.loc[shared], names)
    done = [name for name in shared if one.at[name, "done"] and other.at[name, "done"]]
    unpaired = Unpaired(
        first_only=tuple(name for name in one.index if name not in other.index),
        second_only=tuple(name for name in other.index if name not in one.index),
        first_failed=tuple(name for name in shared if other.at[name, "done"] and not one.at[name, "done"]),
        second_failed=tuple(name for name in shared if one.at[name, "done"] and not other.at[name, "done"]),
        other_audio=tuple(one.loc[done].index[_differ(one.loc[done, "audio_s"], other.loc[done, "audio_s"])]),
    )
    counts = one.loc[done, ["words", "errors"]].join(other.loc[done, "errors"].rename("after"))
    changes = tuple(Change(str(name), int(words), *errors) for name, words, *errors in counts.itertuples())
    both = pd.concat([rows.assign(trial_id=side) for side, rows in zip(_SIDES, (first, second), strict=True)])
    scored = both[both["utterance_id"].isin(done)].reset_index(drop=True)
    return _in_units(scored, changes, unpaired, normalizer(NormalizerName(normalizer_name)))


def _by_utterance(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum up a setting's runs: a row an utterance, in the order they were met."""
    rows = rows.assign(errors=rows[ERRORS].sum(axis=1, min_count=1), failed=rows["hypothesis"].isna())
    found = rows.groupby("utterance_id", sort=False).agg(
        reference=("reference", "first"),
        failed=("failed", "any"),
        errors=("errors", "mean"),
        words=("reference_words", "first"),
        audio_s=("audio_s", "first"),
    )
    return found.assign(done=~found["failed"] & found["errors"].notna())


def _refuse_other_references(one: pd.DataFrame, other: pd.DataFrame, names: tuple[str, str]) -> None:
    unlike = one.index[one["reference"].to_numpy() != other["reference"].to_numpy()]
    if len(unlike):
        texts = " and ".join(f"{clean(str(side.at[unlike[0], 'reference']))[:60]!r}" for side in (one, other))
        raise StoreError(
            f"{names[0]} and {names[1]} have different references for {len(unlike)} of {len(one)} utterances"
            f" ({clean(str(unlike[0]))}: {texts}), so their errors cannot be paired; compare studies over the same data"
        )


def _differ(one: "pd.Series[float]", other: "pd.Series[float]") -> "pd.Series[bool]":
    return (one - other).abs() > _SAME_LENGTH_S


def _in_units(rows: pd.DataFrame, changes: tuple[Change, ...], unpaired: Unpaired, normalize: Normalizer) -> Paired:
    """Sum errors up by what is taken as independent.

    Args:
        rows: Both settings' utterances that count; the column ``trial_id`` tells the sides apart.
        changes: What there is to compare.
        unpaired: The rest.
        normalize: What both were scored under.
    """
    parts = parts_of(_SIDES, rows, normalize)
    if len(parts.trials) < len(_SIDES):  # there are no parts without words, and no more than can be aligned at once
        before, after, words = (
            np.array([float(sum(getattr(one, name) for one in changes))]) for name in ("before", "after", "words")
        )
        return Paired(changes, unpaired, before, after, words, noun="recordings", origin=parts.clusters.origin)
    runs = [max(1, rows.loc[rows["trial_id"] == side, "run_id"].nunique()) for side in _SIDES]
    before, after = (parts.of_units(parts.errors[[at]])[0] / runs[at] for at in (0, 1))
    noun = parts.clusters.noun if parts.by_cluster else "utterances"
    return Paired(
        changes=changes,
        unpaired=unpaired,
        before=before,
        after=after,
        words=parts.of_units(parts.words[[0]])[0] / runs[0],
        noun=f"parts of recordings, of up to {BLOCK_WORDS} words" if parts.in_blocks else noun,
        origin=parts.clusters.origin,
    )
