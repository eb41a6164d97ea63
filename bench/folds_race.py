"""Ending a setting of a training after some of its folds, where another is better beyond doubt."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.holdout import Part
from bench.jobs import JobMaker
from bench.ledger import Ledger
from bench.races import how_beaten
from bench.readings import Environment
from bench.records import Job, RunResult, Status
from bench.score.normalize import normalizer
from bench.score.racing import beyond_doubt
from bench.score.wer import count_words


class FoldsRace:
    """Compares a setting's folds so far with the best setting that has all of them.

    What is compared are the word errors of the utterances outside the folds that were trained on, summed by group (see
    :mod:`bench.finetune.groups`), by the test of :mod:`bench.score.racing`: it may look after each fold. Folds are
    drawn at random, so their groups come in random order, as it supposes. Means over three folds could refute nothing.

    Args:
        ledger: What the study has on disk.
        maker: Knows how the data is divided.
    """

    def __init__(self, ledger: Ledger, maker: JobMaker) -> None:
        self._ledger = ledger
        self._maker = maker

    def ended(self, job: Job, jobs: Sequence[Job], environment: Environment) -> RunResult | None:
        """End a run before it begins; null where its setting may yet be the best.

        Args:
            job: The run, of a fold that its setting has not been trained for.
            jobs: All runs of the study.
            environment: The machine.
        """
        rows = self._rows(job)
        best = self._best(job, jobs)
        if not rows or best is None:
            return None
        ours, theirs = _aligned(self._errors(rows, job), self._errors(best, job))
        search = job.config.search
        if not beyond_doubt(ours, theirs, search.racing_level, search.racing_margin):
            return None
        rival = best[0]["trial_number"]
        return RunResult(
            job=job,
            status=Status.pruned,
            status_reason=(
                f"{how_beaten(search.racing_margin)} trial {rival} beyond doubt after {len(rows)} of {len(best)} folds"
                " (search.racing)"
            ),
            retryable=False,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            wall_s=0.0,
            outcome=None,
            timeline=(),
            environment=environment,
        )

    def _rows(self, job: Job) -> list[Mapping[str, Any]]:
        """The setting's finished folds, in order."""
        rows = [row for row in self._ledger.rows(Part.search) if row["trial_id"] == job.trial_id]
        return sorted((row for row in rows if row["status"] == Status.ok), key=lambda row: row["replicate"])

    def _best(self, job: Job, jobs: Sequence[Job]) -> list[Mapping[str, Any]] | None:
        """The folds of the best other setting on the same data that has all of them."""
        others = {
            one.trial_id: one
            for one in jobs
            if one.trial_id != job.trial_id and one.data_fingerprint == job.data_fingerprint
        }
        folds = sum(one.trial_id == job.trial_id for one in jobs)
        whole = [rows for one in others.values() if len(rows := self._rows(one)) == folds]
        return min(whole, key=lambda rows: float(np.mean([row["wer"] for row in rows])), default=None)

    def _errors(self, rows: Sequence[Mapping[str, Any]], job: Job) -> dict[tuple[int, int], int]:
        """Word errors of each group that was transcribed, by repeat and group, fold by fold."""
        normalize = normalizer(job.config.score.normalizer)
        utterances = self._maker.sets(job.config).training.utterances
        folds = self._maker.folds(job.config)
        group_of = {item.utterance_id: group for item, group in zip(utterances, folds.groups, strict=True)}
        errors: dict[tuple[int, int], int] = {}
        for row in rows:
            for text in self._ledger.texts(row["run_id"]):
                if text["error"] is not None:
                    continue
                counts = count_words(normalize(text["reference"]), normalize(text["hypothesis"]))
                key = row["repeat"], group_of[text["utterance_id"]]
                wrong = counts.substitutions + counts.deletions + counts.insertions
                errors[key] = errors.get(key, 0) + wrong
        return errors


def _aligned(
    ours: Mapping[tuple[int, int], int], theirs: Mapping[tuple[int, int], int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Put the groups in one order, ours first: a setting may lack a fold that failed, and have a later one."""
    first = [key for key in ours if key in theirs]
    rest = [key for key in theirs if key not in ours]
    return (
        np.array([ours[key] for key in first], dtype=np.float64),
        np.array([theirs[key] for key in [*first, *rest]], dtype=np.float64),
    )
