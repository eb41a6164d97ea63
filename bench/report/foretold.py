"""A dry run's forecast beside what the runs really took."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.errors import StoreError
from bench.forecast.record import Compared, compared, read_forecast
from bench.metrics import PEAK_RSS
from bench.report.sheet import sheet
from bench.report.tables import Block
from bench.storage import Place

_MOST_ROWS = 20
_NUMBERS = ["predicted_s", "wall_s", "predicted_peak_rss_mib", "peak_rss_mib"]


def foretold(study_dir: Place, runs: pd.DataFrame, found: Sequence[Block]) -> dict[str, Any] | None:
    """Gather the section "Predicted against real".

    Args:
        study_dir: The study's folder.
        runs: Its runs, without those over data kept aside.
        found: Their blocks.

    Returns:
        A :func:`sheet` with ``told`` and ``notes``, a row a setting, the furthest off first; null without a forecast,
        or where no run can be compared with it. One that cannot be read takes nothing from a report, but is told.
    """
    try:
        forecast = read_forecast(study_dir)
    except StoreError as error:
        return sheet([], [], told=f"{error}.", notes=[])
    outcome = None if forecast is None else compared(forecast, runs)
    if forecast is None or outcome is None:
        return None
    labels = {str(trial): str(row["label"]) for block in found for trial, row in block.table.iterrows()}
    table = outcome.frame.groupby("trial_id")[_NUMBERS].median()
    ratios = table["predicted_s"] / table["wall_s"]
    off = ratios.where(ratios >= 1, 1 / ratios).sort_values(ascending=False, kind="stable")
    rows = [
        [
            labels.get(str(trial), str(trial)),
            *(f"{table.loc[trial, name]:.1f} s" for name in _NUMBERS[:2]),
            f"{ratios[trial]:.2f}",
            *(PEAK_RSS.show(float(table.loc[trial, name])) for name in _NUMBERS[2:]),
        ]
        for trial in off.index[:_MOST_ROWS]
    ]
    heads = ["Setting", "A run predicted", "Took", "Ratio", f"{PEAK_RSS.label} predicted", "Real"]
    left_out = len(off) - len(rows)
    notes = [f"{left_out} more settings were closer to what was predicted."] if left_out else []
    return sheet(heads, rows, told=_told(outcome, forecast.made_at), notes=notes)


def _told(outcome: Compared, made_at: str) -> str:
    told = (
        f"A dry run ({made_at}) predicted {outcome.predicted_s:.0f} s for the {outcome.runs} runs that ended well; they"
        f" took {outcome.real_s:.0f} s (ratio {outcome.ratio:.2f})."
    )
    if outcome.memory_ratio is not None:
        predicted, real = (
            PEAK_RSS.show(value) for value in (outcome.predicted_peak_rss_mib, outcome.real_peak_rss_mib)
        )
        told += f" The highest memory was predicted at {predicted} and was {real} (ratio {outcome.memory_ratio:.2f})."
    return told
