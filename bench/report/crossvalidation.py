"""What cross-validation says of the settings of a training: their scores by fold, and which cannot be told apart."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.config import Task
from bench.printable import clean
from bench.records import Status
from bench.report.labels import plain, setting_label
from bench.report.tables import varied_settings
from bench.score.resampled import AgainstBest, against_best
from bench.storage import Place
from bench.store import load_folds, load_runs, load_utterances


@dataclass(frozen=True)
class FoldScore:
    """A setting in one fold.

    Attributes:
        repeat: Which division of the data, from 0.
        fold: Which of its folds, from 0.
        wer: Word error rate of the fold's utterances; null where the run did not end well.
        status: How the run ended.
        reason: Why, where not well.
    """

    repeat: int
    fold: int
    wer: float | None
    status: str
    reason: str | None


@dataclass(frozen=True)
class Setting:
    """A setting of the training.

    Attributes:
        trial_id: Its trial.
        label: What is particular to it, as a phrase.
        point: The same as settings and values.
        folds: Its scores, in order.
        mean: Mean of the folds' WER; null unless it has all of them.
        spread: Their standard deviation; null for fewer than two.
        pooled: WER over all utterances, each scored by a model that was not trained on it; null likewise.
        against_best: How it compares with the best; null unless it has all folds.
    """

    trial_id: str
    label: str
    point: Mapping[str, object]
    folds: tuple[FoldScore, ...]
    mean: float | None
    spread: float | None
    pooled: float | None
    against_best: AgainstBest | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it was scored in all folds."""
        return self.pooled is not None

    @property
    def is_tied(self) -> bool:
        """Whether it is the best, or cannot be told from it."""
        return self.against_best is not None and self.against_best.tied


@dataclass(frozen=True)
class CrossValidation:
    """The settings of a fine-tuning study.

    Attributes:
        settings: The best first, those that lack folds last.
        folds: Folds a setting has.
        data_name: Short name of the data.
    """

    settings: tuple[Setting, ...]
    folds: int
    data_name: str

    @property
    def best(self) -> Setting | None:
        """The setting of lowest WER of those that have all folds; null where none has."""
        first = self.settings[0] if self.settings else None
        return first if first is not None and first.is_complete else None

    @property
    def tied(self) -> tuple[Setting, ...]:
        """Those that cannot be told from the best, without it."""
        return tuple(one for one in self.settings if one.is_tied and one is not self.best)


def cross_validated(study_dir: Place) -> CrossValidation | None:
    """Sum up the latest data set's folds of a fine-tuning study; null where there are none.

    Raises:
        StoreError: There is no such study, or a file cannot be read.
    """
    runs = load_runs(study_dir)
    runs = runs[runs["task"].eq(Task.finetune.value) & runs["fold"].notna()]
    if runs.empty:
        return None
    latest = runs.sort_values("started_at").iloc[-1]
    runs = runs[runs["data.fingerprint"].eq(latest["data.fingerprint"])]
    varied = (*(("device",) if runs["device"].nunique() > 1 else ()), *varied_settings(runs))
    fingerprint = str(latest["data.fingerprint"])
    divided = load_folds(study_dir)
    divided = divided[divided["data.fingerprint"].eq(fingerprint)]
    # A study that was interrupted may lack folds of every setting.
    expected = max(int(runs.groupby("trial_id").size().max()), len(divided[["repeat", "fold"]].drop_duplicates()))
    scores = _scores(study_dir, fingerprint)
    settings = [_setting(str(trial), group, varied, expected, scores) for trial, group in runs.groupby("trial_id")]
    complete = sorted((one for one in settings if one.is_complete), key=lambda one: (one.pooled or 0.0, one.label))
    rest = sorted((one for one in settings if not one.is_complete), key=lambda one: one.label)
    return CrossValidation((*_compared(complete, runs, scores), *rest), expected, str(latest["data.name"]))


def _scores(study_dir: Place, fingerprint: str) -> pd.DataFrame:
    """The scored utterances of all runs, with the group of each."""
    folds = load_folds(study_dir)
    groups = folds[folds["data.fingerprint"].eq(fingerprint)].drop_duplicates("utterance_id")
    utterances = load_utterances(study_dir)
    utterances = utterances[utterances["error"].isna() & utterances["reference_words"].notna()]
    return utterances.merge(groups[["utterance_id", "group"]], on="utterance_id", how="inner")


def _setting(trial_id: str, runs: pd.DataFrame, varied: Sequence[str], expected: int, scores: pd.DataFrame) -> Setting:
    runs = runs.sort_values("replicate")
    folds = tuple(_fold(row) for row in runs.to_dict("records"))
    found = [one.wer for one in folds if one.wer is not None]
    whole = len(found) == expected
    mine = scores[scores["trial_id"].eq(trial_id)]
    words = float(mine["reference_words"].sum())
    settings: dict[str, object] = {column: plain(runs[column].iloc[0]) for column in varied}
    return Setting(
        trial_id=trial_id,
        label=setting_label(settings) if settings else "the only setting",
        point=json.loads(runs["point"].iloc[0] or "{}"),
        folds=folds,
        mean=statistics.fmean(found) if whole else None,
        spread=statistics.stdev(found) if whole and len(found) > 1 else None,
        pooled=float(_errors(mine).sum()) / words if whole and words else None,
    )


def _fold(row: Mapping[Any, Any]) -> FoldScore:
    ok = row["status"] == Status.ok.value
    wer, reason = plain(row["wer"]), plain(row["status_reason"])
    return FoldScore(
        repeat=int(row["repeat"]),
        fold=int(row["fold"]),
        wer=float(str(wer)) if ok and wer is not None else None,
        status=str(row["status"]),
        reason=None if reason is None else clean(str(reason)),
    )


def _errors(scores: pd.DataFrame) -> "pd.Series[float]":
    return scores[["substitutions", "deletions", "insertions"]].sum(axis=1).astype(float)


def _compared(complete: Sequence[Setting], runs: pd.DataFrame, scores: pd.DataFrame) -> list[Setting]:
    """Compare each with the best, over the utterances that all of them have."""
    if not complete:
        return []
    place = runs.set_index("run_id")[["repeat", "fold"]]
    columns = {}
    for one in complete:
        mine = scores[scores["trial_id"].eq(one.trial_id)].join(place, on="run_id")
        keyed = mine.assign(errors=_errors(mine)).set_index(["repeat", "utterance_id"])
        columns[one.trial_id] = keyed["errors"]
        shape = keyed[["reference_words", "group", "fold"]]
    errors = pd.DataFrame(columns).dropna()
    shape = shape.loc[errors.index]
    repeats = errors.index.get_level_values("repeat").to_numpy(dtype=int)
    folds = shape["fold"].to_numpy(dtype=int) + repeats * (int(shape["fold"].max()) + 1)
    found = against_best(
        errors.T.to_numpy(dtype=float),
        shape["reference_words"].to_numpy(dtype=float),
        shape["group"].to_numpy(dtype=int),
        folds,
        repeats,
    )
    return [replace(one, against_best=against) for one, against in zip(complete, found, strict=True)]
