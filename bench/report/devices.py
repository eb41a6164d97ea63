"""The same work on every device there is: what each is worth, in speed, memory, energy and money."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.metrics import COST, ENERGY, PEAK_GPU, PEAK_RSS, RTFX, WER
from bench.printable import clean
from bench.records import Status
from bench.report.comparison import notes
from bench.report.labels import plain, setting_label, value_of
from bench.report.latency import energy_notes, energy_of
from bench.report.pairs import DEVICE, Pair, pairs
from bench.report.sheet import sheet
from bench.report.tables import Block, levels

DTYPE = "model.dtype"
_CPU, _FULL = "cpu", "float32"
_MOST_ROWS = 60
_TAKEN = (PEAK_RSS.label, PEAK_GPU.label, "GPU use in inference", ENERGY.label, COST.label)
_DASH = "\N{EN DASH}"


def devices(
    found: Sequence[Block], samples: pd.DataFrame, skipped: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Gather the comparison of devices, side by side: the one place where blocks are compared.

    Args:
        found: The blocks of a study.
        samples: Rows of the timeline table.
        skipped: Points that did not run, as the study's description lists them.

    Returns:
        A :func:`sheet` of speeds with ``title``, ``missing`` (devices that were asked for and are not there), ``taken``
        (a table of memory, energy and cost) and ``notes``; null where there is one device only,
        and no other was asked for.
    """
    present = _by_name({str(plain(block.factors[DEVICE])) for block in found})
    missing = _missing(skipped, present)
    if len(present) < 2 and not missing:
        return None
    title = "CPU against GPU" if _CPU in present or len(present) < 2 else "Devices compared"
    if len(present) < 2:
        only = f"Everything ran on {present[0]}; there is no other device to compare it with." if present else ""
        return sheet([], [], title=title, missing=[only, *missing] if only else missing, notes=[], taken=sheet([], []))
    return _compared(found, samples, present) | {"title": title, "missing": missing}


def _compared(found: Sequence[Block], samples: pd.DataFrame, present: list[str]) -> dict[str, Any]:
    baseline: dict[str, object] = {DEVICE: present[0]}
    dtypes = levels(pd.concat([block.runs[DTYPE] for block in found]))
    same = pairs(found, baseline)
    against = [(f"Times as fast as {present[0]}", _by_side(same))]
    full: list[Pair] = []
    if len(dtypes) > 1 and _FULL in dtypes:
        full = pairs(found, {**baseline, DTYPE: _FULL})
        against.append((f"Times as fast as {present[0]}, {_FULL}", _by_side(full)))
    several_data = len({block.factors["data.fingerprint"] for block in found}) > 1
    rest = [name for name in found[0].varied if name != DTYPE or len(dtypes) == 1]
    rows = []
    for number, block in enumerate(found, 1):
        device = str(plain(block.factors[DEVICE]))
        for trial, row in block.table.iterrows():
            label = setting_label({name: plain(row[name]) for name in rest}) if rest else ""
            data = value_of(block.factors["data.name"]) if several_data else ""
            dtype = plain(row[DTYPE]) if DTYPE in block.table else None
            setting = ", ".join(filter(None, (data, label)))
            words = [device, str(dtype) if len(dtypes) > 1 else "", setting]
            paired = [column.get((number, str(trial))) for _, column in against]
            speed = RTFX.show(row["rtfx"]) if pd.notna(row["rtfx"]) else str(row["status"])
            speeds = [speed, *("baseline" if pair is None else pair.cell for pair in paired), WER.show(row["wer"])]
            place = (setting, present.index(device), _dtype_order(dtype), number)
            rows.append((place, words, [str(number), *speeds], _taken(block, str(trial), row, samples)))
    rows.sort(key=lambda row: row[0])
    shown = rows[:_MOST_ROWS]
    names = ["Device", "dtype", "Setting"]
    heads = ["Block", "RTFx", *(name for name, _ in against), "WER"]
    told = list(dict.fromkeys([*notes(same, full), *_remarks(found)]))
    if len(rows) > len(shown):
        told.append(f"{len(rows) - len(shown)} more settings are in the tables of their blocks.")
    unsure = [pair for pair in (*same, *full) if pair.comparison and not pair.decidable]
    if unsure:
        told.append(f"Where runs are too few to tell: give measure.replicates={max(one.replicates for one in unsure)}.")
    taken = _filled(names, _TAKEN, [(words, cells) for _, words, _, cells in shown])
    return _filled(names, heads, [(words, cells) for _, words, cells, _ in shown]) | {"taken": taken, "notes": told}


def _taken(block: Block, trial: str, row: "pd.Series[Any]", samples: pd.DataFrame) -> list[str]:
    """List what a setting takes besides time, in the order of ``_TAKEN``."""
    runs = block.runs[(block.runs["trial_id"] == trial) & (block.runs["status"] == Status.ok.value)]
    memory = [metric.show(row[metric.column]) for metric in (PEAK_RSS, PEAK_GPU)]
    return [*memory, _gpu_use(samples, row["typical_run"]), energy_of(runs), COST.show(row[COST.column])]


def _filled(names: Sequence[str], heads: Sequence[str], rows: Sequence[tuple[list[str], list[str]]]) -> dict[str, Any]:
    """Make a table of the columns in which anything stands."""
    texts = [[*words, *cells] for words, cells in rows]
    kept = [at for at in range(len(names) + len(heads)) if any(row[at] not in ("", _DASH) for row in texts)]
    titles = [*names, *heads]
    words = sum(at < len(names) for at in kept)
    return sheet([titles[at] for at in kept], [[row[at] for at in kept] for row in texts], words=words)


def _remarks(found: Sequence[Block]) -> list[str]:
    told = ["Everything here is the same work: the same data and settings, but for the device and its number format."]
    runs = pd.concat([block.runs[block.runs["status"] == Status.ok.value] for block in found])
    told.extend(energy_notes(runs))
    if runs[COST.column].isna().all():
        told.append(
            "Cost is unknown; give prices with measure.price_per_hour.cpu=... and measure.price_per_hour.cuda=..."
        )
    return told


def _gpu_use(samples: pd.DataFrame, run_id: object) -> str:
    """Mean share of the time of timed passes in which the GPU executed anything."""
    mine = samples[(samples["run_id"] == run_id) & (samples["phase"] == "inference")]["gpu_util_pct"].dropna()
    return _DASH if mine.empty else f"{mine.mean():.0f} %"


def _missing(skipped: Sequence[Mapping[str, Any]], present: Sequence[str]) -> list[str]:
    """Say which devices were asked for and are not there, each once with its reason."""
    told: dict[str, tuple[str, int]] = {}
    for one in skipped:
        reason = clean(str(one.get("reason") or ""))
        if not (found := re.match(r"device=([\w:.]+)(?: is not there:)? (.*)", reason)) or found[1] in present:
            continue
        first, count = told.get(found[1], (found[2].removesuffix("."), 0))
        told[found[1]] = (first, count + 1)
    return [
        f"{device} is missing, so that {count} point{'s' if count > 1 else ''} did not run: {why}."
        for device, (why, count) in told.items()
    ]


def _by_side(found: Sequence[Pair]) -> dict[tuple[int, str], Pair]:
    return {(pair.side.block, pair.side.trial_id): pair for pair in found}


def _by_name(names: set[str]) -> list[str]:
    """Sort devices, the CPU first."""
    return sorted(names, key=lambda name: (name != _CPU, name))


def _dtype_order(dtype: object) -> tuple[bool, str]:
    return (dtype != _FULL, str(dtype))
