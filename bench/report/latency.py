"""What a setting takes besides its time: latencies, the first call, energy and money."""

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from bench.metrics import COLD, COST, COSTS, ENERGY, UTTERANCE_LATENCIES, WINDOW_LATENCIES, Metric
from bench.printable import clean
from bench.records import Status
from bench.report.sheet import sheet
from bench.report.tables import Block

# Percentiles share a column, so that the table is no wider than a page.
_COLUMNS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    ("Window latency p50 / p90 / p99", WINDOW_LATENCIES),
    ("Utterance latency p50 / p90 / p99", UTTERANCE_LATENCIES),
    *((metric.label, (metric,)) for metric in (COLD, ENERGY, COST)),
)


def latency(block: Block) -> dict[str, Any]:
    """Gather the table "Latency, energy and cost" of a block: columns of which any value exists, and a row a setting.

    Returns:
        A :func:`sheet` with ``notes``.
    """
    good = block.runs[block.runs["status"] == Status.ok.value]
    known = {metric for metric in COSTS if good[metric.column].notna().any()}
    columns = [(head, metrics) for head, metrics in _COLUMNS if known.intersection(metrics)]
    rows = []
    wanted = good[["trial_id", "energy_scope", *(metric.column for metric in COSTS)]]
    by_trial = {str(trial): runs for trial, runs in wanted.groupby("trial_id")}
    for trial, row in block.table.iterrows():
        mine = by_trial.get(str(trial))
        if mine is not None and any(mine[metric.column].notna().any() for metric in known):
            rows.append([str(row["label"]), *(_cell(metrics, row, mine) for _, metrics in columns)])
    notes = [*_notes(known), *energy_notes(good)]
    return sheet(["Setting", *(head for head, _ in columns)], rows, notes=notes)


def energy_of(runs: pd.DataFrame) -> str:
    """Write the energy that runs need an hour of audio, medians, apart by what was measured."""
    known = runs.dropna(subset=[ENERGY.column, "energy_scope"])
    parts = [
        f"{ENERGY.show(float(part.median()))} ({clean(str(scope))})"
        for scope, part in known.groupby("energy_scope", sort=True)[ENERGY.column]
    ]
    return "; ".join(parts) or "\N{EN DASH}"


def energy_notes(runs: pd.DataFrame) -> list[str]:
    """Say what energies cover, that different scopes do not compare, and why some are unknown."""
    scopes = sorted(str(scope) for scope in runs.dropna(subset=[ENERGY.column])["energy_scope"].dropna().unique())
    told = []
    if scopes:
        told.append(f"Energy is that of the parts in brackets ({'; '.join(scopes)}), of all that ran on them.")
    if len(scopes) > 1:
        told.append("Energies of different parts are no like for like: only those with the same brackets compare.")
    missing = runs["energy_missing"].dropna().astype(str).unique()
    told += [f"Energy is unknown in full or in part: {clean(why)}." for why in sorted(missing)]
    return told


def _cell(metrics: Sequence[Metric], row: "pd.Series[Any]", runs: pd.DataFrame) -> str:
    """Write one metric, or several as "1.450 / 1.810 / 1.900 s"."""
    if ENERGY in metrics:
        return energy_of(runs)
    if all(pd.isna(row[metric.column]) for metric in metrics):
        return "\N{EN DASH}"
    *first, last = [metric.show(row[metric.column]) for metric in metrics]
    return " / ".join([*(text.removesuffix(f" {metrics[0].unit}") for text in first), last])


def _notes(shown: Collection[Metric]) -> list[str]:
    told = []
    if not set(WINDOW_LATENCIES).isdisjoint(shown):
        told.append(
            "Window latency is what a window's batch takes, from samples to tokens, over all timed passes;"
            " features that a GPU's run makes ahead count only as far as they were waited for."
        )
    if not set(UTTERANCE_LATENCIES).isdisjoint(shown):
        told.append("Utterance latency is of utterances transcribed one at a time, with nothing else going on.")
    if COLD in shown:
        told.append("The cold first call is the first warm-up pass, over one batch; it is in no other number.")
    if COST in shown:
        told.append("Cost is the device's price an hour (measure.price_per_hour) for the time an hour of audio takes.")
    return [*told, "Values are medians over a setting's runs."] if told else []
