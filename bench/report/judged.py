"""The end of a fine-tuning study: the model as it was and as it became, on the same test data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.config import Task
from bench.errors import StoreError
from bench.records import Status
from bench.report.labels import plain
from bench.score.gain import LEVEL, Gain, gain
from bench.score.interval import Interval
from bench.storage import Place, workspace
from bench.store import load_runs, load_utterances

FOLDER = "final"
"""Folder within the study's: a study of its own, of two runs, and the trained model."""

MODEL = "model"

_ABOUT_TRAINING = ("train.", "data.fingerprint", "device", "status")
_FEWEST_SPEAKERS = 10  # of fewer, resamples say nothing


@dataclass(frozen=True)
class Change:
    """An utterance of the test data, before and after.

    Attributes:
        errors_before: Word errors of the model as it was.
        errors_after: Those of the trained one.
    """

    utterance_id: str
    reference: str
    before: str
    after: str
    errors_before: int
    errors_after: int


@dataclass(frozen=True)
class Judged:
    """The outcome.

    Attributes:
        model: The model as it was.
        data_name: Short name of the test data.
        utterances: Utterances that both runs scored.
        clustered_by: What the intervals draw anew: ``speakers``, ``recordings`` or ``utterances``.
        changes: Every utterance, those that got most better first.
        folder: Of the trained model.
        training: The columns of the training's run.
    """

    model: str
    data_name: str
    utterances: int
    gain: Gain
    clustered_by: str
    changes: tuple[Change, ...]
    folder: Path
    training: Mapping[str, object]

    @property
    def better(self) -> int:
        """Utterances with fewer errors than before."""
        return sum(one.errors_after < one.errors_before for one in self.changes)

    @property
    def worse(self) -> int:
        """Utterances with more."""
        return sum(one.errors_after > one.errors_before for one in self.changes)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The outcome for people."""
        before, after, difference = self.gain.before, self.gain.after, self.gain.difference
        how = "better" if difference.value < 0 else "worse"
        certain = difference.excludes_zero and self.gain.p_value <= LEVEL
        sure = f"the model got {how}" if certain else "no difference is certain"
        return (
            f"WER on {self.data_name}: {_rate(before)} as it was, {_rate(after)} fine-tuned",
            f"difference {_points(difference.value)} points ({_ends(difference, _points)},"
            f" p = {self.gain.p_value:.2g}, over {self.gain.clusters}"
            f" {self.clustered_by}): {sure}",
            f"of {self.utterances} utterances {self.better} got better, {self.worse} worse",
        )


def judged(study_dir: Place) -> Judged | None:
    """Read the outcome of a fine-tuning study; null where it was not judged, or not to the end.

    Raises:
        StoreError: A file cannot be read.
    """
    folder = study_dir / FOLDER
    if not (folder / "study.yaml").exists():
        return None
    runs = load_runs(folder)
    good = runs[runs["status"].eq(Status.ok.value)]
    trained = good[good["task"].eq(Task.finetune.value)]
    as_it_was = good[good["task"].eq(Task.transcribe.value)]
    if trained.empty or as_it_was.empty:
        return None
    before, after = as_it_was.iloc[-1], trained.iloc[-1]
    if before["data.fingerprint"] != after["data.fingerprint"]:
        raise StoreError(f"{folder}: its two runs are over different data; delete it and judge the study anew")
    pairs = _pairs(load_utterances(folder), str(before["run_id"]), str(after["run_id"]))
    speakers = pairs["speaker_before"]
    clustered_by = "utterances" if pairs["path_before"].is_unique else "recordings"
    clusters = pairs["path_before"] if clustered_by == "recordings" else pairs["utterance_id"]
    if speakers.notna().all() and speakers.nunique() >= _FEWEST_SPEAKERS:
        clustered_by, clusters = "speakers", speakers
    outcome = gain(
        pairs["errors_before"], pairs["errors_after"], pairs["reference_words_before"], pd.factorize(clusters)[0]
    )
    changes = [_change(row) for row in pairs.to_dict("records")]
    changes.sort(key=lambda one: (one.errors_after - one.errors_before, one.utterance_id))
    return Judged(
        model=str(before["model.name"]),
        data_name=str(before["data.name"]),
        utterances=len(pairs),
        gain=outcome,
        clustered_by=clustered_by,
        changes=tuple(changes),
        folder=workspace(folder) / MODEL,
        training={name: plain(after[name]) for name in after.index if name.startswith(_ABOUT_TRAINING)},
    )


def _pairs(utterances: pd.DataFrame, before: str, after: str) -> pd.DataFrame:
    """Pair the utterances that both runs scored."""
    scored = utterances[utterances["error"].isna() & utterances["reference_words"].notna()].copy()
    scored["errors"] = scored[["substitutions", "deletions", "insertions"]].sum(axis=1)
    one, other = (scored[scored["run_id"].eq(run)] for run in (before, after))
    return one.merge(other, on="utterance_id", suffixes=("_before", "_after"))


def _change(row: Mapping[Any, Any]) -> Change:
    return Change(
        utterance_id=str(row["utterance_id"]),
        reference=str(row["reference_before"]),
        before=str(row["hypothesis_before"]),
        after=str(row["hypothesis_after"]),
        errors_before=int(row["errors_before"]),
        errors_after=int(row["errors_after"]),
    )


def _rate(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} % ({_ends(interval, lambda end: f'{100 * end:.1f}')})"


def _ends(interval: Interval, write: Callable[[float], str]) -> str:
    if interval.low is None or interval.high is None:
        return "no interval, errors in too few parts"
    return f"95 % from {write(interval.low)} to {write(interval.high)}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
