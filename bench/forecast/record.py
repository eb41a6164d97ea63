"""A forecast on disk, and beside what really happened.

``forecast.json`` in the study's folder holds the latest one. Reading and comparing it takes pandas and Arrow alone.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.errors import StoreError
from bench.storage import Place, place, require_file, write_atomically

FORECAST_VERSION = 1
"""Version of the file's form. 1: first."""

_FILE = "forecast.json"


@dataclass(frozen=True)
class TrialForecast:
    """What a run of a trial is going to take.

    Attributes:
        settings: What is particular to the trial.
        runs: Its runs.
        to_go: Those of them without a result.
        predicted_s: Seconds of a run, as ``wall_s`` counts them; null where that is unknown.
        predicted_peak_rss_mib: Peak memory, as the column ``peak_rss_mib`` has it.
        predicted_peak_gpu_mib: Likewise ``peak_gpu_reserved_mib``.
        predicted_cost: Cost of a run at ``measure.price_per_hour``; null without a price.
        unknown: Why nothing is predicted; null where something is.
    """

    trial_id: str
    settings: Mapping[str, Any]
    runs: int
    to_go: int
    predicted_s: float | None
    predicted_peak_rss_mib: float | None
    predicted_peak_gpu_mib: float | None
    predicted_cost: float | None
    unknown: str | None = None


@dataclass(frozen=True)
class Totals:
    """What a whole grid is going to take; runs about which nothing is known count nothing.

    Attributes:
        runs: All runs of the grid.
        done_before: Those that need not be run.
        to_go: Those that are to be run.
        unknown: Those of them about which nothing is known.
        skipped: Points of the grid that cannot be.
        predicted_s: Seconds of the runs to go.
        predicted_all_s: Seconds of all runs, those done before too.
        predicted_cost: Cost of the runs to go; null where one of them has no price.
        predicted_peak_rss_mib: The highest of all runs to go.
        predicted_peak_gpu_mib: Likewise on a GPU.
        audio_decode_s: Seconds more, once, for recordings that were never decoded; in none of the others.
        probes_s: Seconds that the probes took.
        within_budget: Runs to go that fit into ``search.budget_s`` and ``search.budget_cost``; null without either.
    """

    runs: int
    done_before: int
    to_go: int
    unknown: int
    skipped: int
    predicted_s: float
    predicted_all_s: float
    predicted_cost: float | None
    predicted_peak_rss_mib: float | None
    predicted_peak_gpu_mib: float | None
    audio_decode_s: float
    probes_s: float
    within_budget: int | None


@dataclass(frozen=True)
class ProbeRecord:
    """A short run that was made for a forecast.

    Attributes:
        settings: What is particular to the trial that was tried.
        why: What it was for.
        audio_s: Seconds of audio it transcribed.
        windows: Windows it decoded.
        wall_s: Seconds it took.
    """

    settings: Mapping[str, Any]
    why: str
    status: str
    reason: str | None
    audio_s: float
    windows: float
    wall_s: float


@dataclass(frozen=True)
class Forecast:
    """What a study is going to take.

    Attributes:
        made_at: UTC time in ISO 8601.
        command: The command line that asked for it.
        measured: Settings that runs have to share with it to be compared.
        notes: What its data will tell of a WER, and what it takes for granted, as sentences.
    """

    made_at: str
    command: str
    study: str
    measured: Mapping[str, Any]
    trials: tuple[TrialForecast, ...]
    totals: Totals
    probes: tuple[ProbeRecord, ...]
    notes: tuple[str, ...] = ()
    forecast_version: int = FORECAST_VERSION


@dataclass(frozen=True)
class Compared:
    """A forecast beside the runs that ended well, all of them together.

    Ratios are of predicted to real: below 1, more was taken than foretold.

    Attributes:
        runs: Runs that are compared.
        predicted_s: Seconds they were to take.
        real_s: Seconds they took (``wall_s``).
        ratio: The first of these by the second.
        predicted_peak_rss_mib: Highest peak of memory that was foretold; null where none was, or none was measured.
        real_peak_rss_mib: The highest there was.
        memory_ratio: The first of these by the second.
        frame: A row a run: ``run_id``, ``trial_id``, ``predicted_s``, ``wall_s``, ``ratio``,
            ``predicted_peak_rss_mib``, ``peak_rss_mib``, ``memory_ratio``.
    """

    runs: int
    predicted_s: float
    real_s: float
    ratio: float
    predicted_peak_rss_mib: float | None
    real_peak_rss_mib: float | None
    memory_ratio: float | None
    frame: pd.DataFrame = field(compare=False, repr=False)


def write_forecast(study_dir: Place, forecast: Forecast) -> None:
    """Write a forecast so that a reader, or a crash, sees the whole of it or the one before."""
    content = json.dumps(dataclasses.asdict(forecast), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(study_dir / _FILE, content.encode())


def read_forecast(study_dir: str | Place) -> Forecast | None:
    """Read a study's forecast; null where none was made.

    Raises:
        StoreError: The file is not what :func:`write_forecast` writes, or of a later version.
    """
    path = place(study_dir) / _FILE
    if not path.exists():
        return None
    require_file(path)
    cure = "delete it, or have it made anew with search.dry_run=true"
    try:
        read = json.loads(path.read_bytes())
        if read["forecast_version"] > FORECAST_VERSION:
            raise StoreError(
                f"{path} has version {read['forecast_version']}, this one reads {FORECAST_VERSION}; upgrade asr-sweep"
            )
        return Forecast(
            **{
                **read,
                "trials": tuple(TrialForecast(**trial) for trial in read["trials"]),
                "totals": Totals(**read["totals"]),
                "probes": tuple(ProbeRecord(**probe) for probe in read["probes"]),
                "notes": tuple(read["notes"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} is not what a dry run writes ({type(error).__name__}: {error}); {cure}") from None


def compared(forecast: Forecast, runs: pd.DataFrame) -> Compared | None:
    """Set a forecast beside what runs took.

    Only runs that ended well are compared: what was broken off was never to take its full time.

    Args:
        forecast: What was foretold.
        runs: The study's runs, as :func:`bench.load_runs` loads them.

    Returns:
        The comparison; null where no run can be compared, or they were measured in another way than foretold.
    """
    foretold = pd.DataFrame(
        [
            (trial.trial_id, trial.predicted_s, trial.predicted_peak_rss_mib)
            for trial in forecast.trials
            if trial.predicted_s is not None
        ],
        columns=["trial_id", "predicted_s", "predicted_peak_rss_mib"],
    )
    alike = runs[runs["status"] == "ok"]
    for name, value in forecast.measured.items():
        alike = alike[alike[name] == value]
    frame = alike[["run_id", "trial_id", "wall_s", "peak_rss_mib"]].merge(foretold, on="trial_id")
    if frame.empty:
        return None
    frame["ratio"] = frame["predicted_s"] / frame["wall_s"]
    frame["predicted_peak_rss_mib"] = frame["predicted_peak_rss_mib"].astype(float)
    frame["memory_ratio"] = frame["predicted_peak_rss_mib"] / frame["peak_rss_mib"].astype(float)
    both = frame.dropna(subset=["memory_ratio"])
    foretold_mib = None if both.empty else float(both["predicted_peak_rss_mib"].max())
    real_mib = None if both.empty else float(both["peak_rss_mib"].max())
    predicted_s, real_s = float(frame["predicted_s"].sum()), float(frame["wall_s"].sum())
    return Compared(
        runs=len(frame),
        predicted_s=predicted_s,
        real_s=real_s,
        ratio=predicted_s / real_s,
        predicted_peak_rss_mib=foretold_mib,
        real_peak_rss_mib=real_mib,
        memory_ratio=foretold_mib / real_mib if foretold_mib and real_mib else None,
        frame=frame.reset_index(drop=True),
    )
