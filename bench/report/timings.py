"""Leaving timings out that would tell nothing, while what was transcribed is kept."""

from typing import Any

import pandas as pd

from bench.metrics import COLD, COST, ENERGY, UTTERANCE_LATENCIES, WINDOW_LATENCIES
from bench.readings import PHASES, Doubt

# Everything that the timed passes, which the certificate judges, have gone into.
_TIMED = (
    "rtf",
    "rtfx",
    *PHASES,
    *(metric.column for metric in (*WINDOW_LATENCIES, *UTTERANCE_LATENCIES, ENERGY, COST)),
    "energy_j",
    "energy_cpu_j",
    "energy_gpu_j",
    "cpu_pct",
)
_LISTS = ("inference_s", "laps")
_BESIDE = ("load_s", "audio_decode_s", "files_s", "single_stream_s", COLD.column)


def without_invalid(runs: pd.DataFrame) -> pd.DataFrame:
    """Take the timings out of runs whose timing is known not to be valid."""
    return _without(runs, is_invalid(runs), _TIMED)


def without_shared(runs: pd.DataFrame) -> pd.DataFrame:
    """Take all timings out of runs that shared their machine with others (:attr:`bench.readings.Doubt.shared`).

    They were executed so because only their texts were wanted, and no report compares their speed.
    """
    shared = is_shared(runs)
    return _without(runs, shared, (*_TIMED, *_BESIDE)) if shared.any() else runs


def is_invalid(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which timings are known not to be valid."""
    return runs["valid"].eq(False)


def is_shared(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which runs shared their machine with others."""
    return runs["doubts"].map(_names_company).astype(bool)


def _without(runs: pd.DataFrame, left_out: "pd.Series[bool]", columns: tuple[str, ...]) -> pd.DataFrame:
    kept = runs.copy()
    for column in columns:
        kept[column] = kept[column].where(~left_out)
    for column in _LISTS:
        values = [None if out else value for out, value in zip(left_out, kept[column], strict=True)]
        kept[column] = pd.Series(values, index=kept.index, dtype=object)
    return kept


def _names_company(doubts: Any) -> bool:
    """Tell whether a column of lists, which is null for old rows, names other runs."""
    listed = [] if doubts is None or isinstance(doubts, float) else list(doubts)
    return any(one["doubt"] == Doubt.shared for one in listed)
