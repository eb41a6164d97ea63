"""What a fine-tuning study has found so far, gathered from its records."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.config import Task
from bench.records import Status
from bench.report.crossvalidation import CrossValidation, cross_validated
from bench.report.description import description
from bench.report.judged import FOLDER, Judged, judged
from bench.report.tables import Block, blocks, searched
from bench.storage import Place
from bench.store import load_curves, load_runs


@dataclass(frozen=True, eq=False)
class Finetuning:
    """What a fine-tuning study has found so far.

    Attributes:
        name: The study.
        runs: Its runs.
        found: Its blocks; they tell what differed between runs.
        told: Its own description; any part may be missing.
        validation: Its settings by their folds; null where there are none.
        outcome: The model before and after, over the test data; null where that was not judged.
        final: The description of the judging, likewise.
        curves: How its trainings went.
    """

    name: str
    runs: pd.DataFrame
    found: list[Block]
    told: Mapping[str, Any]
    validation: CrossValidation | None
    outcome: Judged | None
    final: Mapping[str, Any]
    curves: pd.DataFrame

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the latest start."""
        return self.told.get("config") or {}

    @cached_property
    def labels(self) -> dict[str, str]:
        """What is particular to each trial, as a phrase."""
        blocked = {str(trial): str(row["label"]) for block in self.found for trial, row in block.table.iterrows()}
        settings = self.validation.settings if self.validation else ()
        return blocked | {one.trial_id: one.label for one in settings}

    @property
    def without_folds(self) -> pd.DataFrame:
        """Runs that were trained on all the data and judged on the test data; those of the lowest WER first."""
        return self.runs[self.runs["fold"].isna()].sort_values("wer", kind="stable", na_position="last")

    @property
    def shown(self) -> dict[str, str]:
        """The trials whose curves are shown, by what they are: the best setting and the worst that has all folds."""
        if self.validation is None:
            ended = self.without_folds.dropna(subset=["train.steps"]).drop_duplicates("trial_id")
            some = dict.fromkeys([*ended["trial_id"].head(1), *ended["trial_id"].tail(1)])
            return {self.labels[trial]: trial for trial in some}
        complete = [one for one in self.validation.settings if one.is_complete]
        if len(complete) < 2:
            return {one.label: one.trial_id for one in complete}
        return {
            f"Best: {complete[0].label}": complete[0].trial_id,
            f"Worst: {complete[-1].label}": complete[-1].trial_id,
        }

    @property
    def typical_run(self) -> Mapping[Any, Any] | None:
        """The run whose course is shown: the first that ended well of the best setting; null where none did."""
        good = self.runs[self.runs["status"].eq(Status.ok.value)].sort_values("replicate", kind="stable")
        best = next(iter(self.shown.values()), None)
        mine = good[good["trial_id"].eq(best)] if best is not None else good
        return None if mine.empty else mine.to_dict("records")[0]


def trains(runs: pd.DataFrame, config: Mapping[str, Any]) -> bool:
    """Tell whether a study fine-tunes; a study has one task."""
    tasks = set(runs["task"].dropna()) or {config.get("task")}
    return Task.finetune.value in tasks


def read_finetuning(study_dir: Place) -> Finetuning:
    """Gather what a fine-tuning study has found.

    Raises:
        StoreError: There is no such study, or a file cannot be read.
    """
    runs = searched(load_runs(study_dir))
    outcome = judged(study_dir)
    return Finetuning(
        name=study_dir.resolve().name,
        runs=runs,
        found=blocks(runs),
        told=description(study_dir),
        validation=cross_validated(study_dir),
        outcome=outcome,
        final=description(study_dir / FOLDER) if outcome else {},
        curves=load_curves(study_dir),
    )
