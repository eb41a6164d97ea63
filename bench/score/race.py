"""A race: a run against finished ones, ended early where it is worse beyond doubt.

What is compared are units of the data, the same for every run: utterances, in an order that a seed shuffles; or, where
there are few of them, blocks of the recordings' references, in that order of the recordings and along each. How many
blocks of a recording a run is past is told by its own text and, so that one that leaves out most of what was said does
not seem to be slow, by how far the rivals were when they had transcribed as much.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.races import Race, Rival, Standing
from bench.records import Utterance
from bench.score.blocks import block_errors, leading_block_errors, words_reached
from bench.score.normalize import Normalizer
from bench.score.racing import beyond_doubt
from bench.score.wer import count_words

STAGES = 20
"""How often a run is looked at, at most."""

BLOCK_WORDS = 15
"""Reference words of a block: longer than most bursts of errors, which the test supposes; see :mod:`.racing`."""

FEWEST_UTTERANCES = 20
"""Utterances from which on they are the units."""

JUDGED = ("wer", "rtfx", "rtf", "peak_rss_mib", "peak_gpu_reserved_mib", "peak_gpu_allocated_mib")
"""Columns of the runs table that can be judged before a run has ended."""

# Peaks of memory differ by this share between runs of the same setting.
_NOISE = 0.02


def _words_so_far(texts: Sequence[tuple[str, str]], complete: int) -> int:
    """Tell how many reference words what was transcribed has come to, the utterance that is under way among them."""
    count = sum(len(reference.split()) for reference, _ in texts[:complete])
    if complete < len(texts):
        reference, said = texts[complete]
        count += words_reached(reference.split(), said.split())
    return count


class Beaten(Exception):  # noqa: N818 - the end of a run, no fault
    """A run is worse than a rival, or not better by the margin, beyond doubt."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing)
        self.standing = standing


def order_of(utterances: Sequence[Utterance], seed: int) -> list[int]:
    """Shuffle utterances, in the same way for every run of a study; returns their numbers."""
    names = [hashlib.sha256(f"{seed}:{item.utterance_id}".encode()).hexdigest() for item in utterances]
    return sorted(range(len(names)), key=names.__getitem__)


def unit_errors(texts: Sequence[tuple[str, str]], complete: int | None = None, spoken: int = 0) -> NDArray[np.float64]:
    """Count the word errors of the units that are complete.

    Args:
        texts: Normalised reference and hypothesis of every utterance, in the order of the race.
        complete: How many of the first utterances were transcribed to their end, the next one in part; null is all.
        spoken: Reference words, of all utterances together, that what was transcribed is known to hold.

    Returns:
        Errors of each unit from the first on, shape ``(units so far,)``.
    """
    whole = texts[:complete]
    if len(texts) >= FEWEST_UTTERANCES:
        counts = [count_words(reference, hypothesis) for reference, hypothesis in whole]
        return np.array([one.substitutions + one.deletions + one.insertions for one in counts], dtype=np.float64)
    errors = [block_errors(reference.split(), said.split(), BLOCK_WORDS) for reference, said in whole]
    if complete is not None and complete < len(texts):
        reference, said = texts[complete]
        here = spoken - sum(len(before.split()) for before, _ in whole)
        errors.append(leading_block_errors(reference.split(), said.split(), BLOCK_WORDS, max(0, here)))
    return np.concatenate(errors, dtype=np.float64) if errors else np.zeros(0)


class Referee:
    """Looks at a run again and again, and ends it once a rival is better beyond doubt in all objectives.

    Args:
        race: The terms.
        utterances: What is transcribed.
        normalize: Normaliser of the texts.
        seed: Seeds the order.
        peaks_mib: Reads the run's peaks of memory so far, by column.

    Attributes:
        order: The numbers of the utterances, in the order to transcribe them.
        standing: How the run stood at the last look; null before the first.
    """

    def __init__(
        self,
        race: Race,
        utterances: Sequence[Utterance],
        normalize: Normalizer,
        seed: int,
        peaks_mib: Callable[[], Mapping[str, float | None]],
    ) -> None:
        self._race = race
        self._normalize = normalize
        self._peaks_mib = peaks_mib
        self.standing: Standing | None = None
        self.order = order_of(utterances, seed)
        self._references = [normalize(utterances[number].text) for number in self.order]
        self._shares: list[float] = []
        self._stage_s: list[float] = []
        self._stage_words: list[int] = []

    def look(self, share: float, seconds: float, audio_s: float, texts: Sequence[str], complete: int) -> None:
        """Judge a run by what it has done so far.

        Args:
            share: Share of the audio that is transcribed.
            seconds: Inference seconds since the look before.
            audio_s: Seconds of all audio.
            texts: Hypotheses of all utterances, in the order of the race; those not reached are empty.
            complete: How many of the first of them are transcribed to their end.

        Raises:
            Beaten: A rival is better in all objectives.
        """
        self._shares.append(share)
        self._stage_s.append(seconds)
        pairs = list(zip(self._references, map(self._normalize, texts), strict=True))
        self._stage_words.append(_words_so_far(pairs, complete))
        errors = unit_errors(pairs, None if share >= 1 else complete, self._spoken(share))
        words = self._words()[: len(errors)].sum()
        self.standing = Standing(
            share=share,
            stage_share=tuple(self._shares),
            stage_s=tuple(self._stage_s),
            stage_words=tuple(self._stage_words),
            wer=float(errors.sum() / words) if words else None,
            rtfx=share * audio_s / sum(self._stage_s),
            peaks_mib=self._peaks_mib(),
        )
        if share < 1:
            for rival in self._race.rivals:
                if all(self._is_worse(objective, rival, errors) for objective in self._race.objectives):
                    raise Beaten(dataclasses.replace(self.standing, beaten_by=rival.run_id))

    def _is_worse(self, objective: str, rival: Rival, errors: NDArray[np.float64]) -> bool:
        level, margin = self._race.level / len(self._race.rivals), self._race.margin
        if objective == "wer":
            theirs = np.array(rival.errors, dtype=np.float64)
            return len(theirs) == len(self._words()) and beyond_doubt(errors, theirs, level, margin)
        if objective in ("rtfx", "rtf"):
            return beyond_doubt(*self._seconds_beside(rival), level, margin)
        ours, theirs_mib = self._peaks_mib().get(objective), rival.peaks_mib.get(objective)
        return ours is not None and theirs_mib is not None and ours > theirs_mib * (1 - margin) * (1 + _NOISE)

    def _spoken(self, share: float) -> int:
        """Tell how many reference words all rivals had come to by then: a run that lacks them has left them out."""
        reached = [
            max(
                (words for at, words in zip(rival.stage_share, rival.stage_words, strict=True) if at <= share),
                default=0,
            )
            for rival in self._race.rivals
            if rival.stage_words
        ]
        return min(reached, default=0)

    def _seconds_beside(self, rival: Rival) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Divide this run's seconds so far at the rival's stages, which may lie elsewhere: batches differ."""
        borders = np.array([0.0, *rival.stage_share])
        reached = borders[borders <= self._shares[-1]]
        ours = np.interp(reached, [0.0, *self._shares], np.cumsum([0.0, *self._stage_s]))
        return np.diff(ours), np.array(rival.stage_s)

    def _words(self) -> NDArray[np.int64]:
        """Reference words of each unit."""
        counts = [len(reference.split()) for reference in self._references]
        if len(counts) >= FEWEST_UTTERANCES:
            return np.array(counts)
        return np.array([size for count in counts for size in _block_sizes(count)])


def _block_sizes(words: int) -> list[int]:
    """Sizes of the blocks of a reference; one without words is a block as well."""
    return [min(BLOCK_WORDS, words - start) for start in range(0, max(words, 1), BLOCK_WORDS)]
