"""Models and settings by their WER on each data set, as public leaderboards have it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa

from bench.exports.tables import Table
from bench.metrics import RTFX, WER
from bench.report.frontier import recommend
from bench.report.labels import name_of, plain, setting_label, value_of
from bench.report.selection import Selection, load_blocks, trial_of
from bench.report.tables import Block
from bench.schema import SETTINGS

# What a row is: everything that decides its text or its speed, but not the data.
_LEFT_OUT = ("data.", "measure.", "executor.", "search.", "finetune.folds.", "study", "task")
_IDENTITY = tuple(name for name in SETTINGS if not name.startswith(_LEFT_OUT))
_MACHINE = ("env.cpu_model", "env.gpu")
_USUAL = ("decode.strategy", "decode.chunk_length_s", "decode.stride_length_s", "decode.batch_size")


@dataclass(frozen=True)
class _Entry:
    """A setting: its values, the machine it ran on, and its WER, audio and time on each data set."""

    settings: Mapping[str, object]
    machine: str
    wer: dict[str, float] = field(default_factory=dict)
    audio_s: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def leaderboard(studies: Sequence[Selection]) -> Table:
    """Gather a row a setting over studies: those that a report recommends for any data set, or that are named.

    The average is the mean of the WERs of all data sets, each weighing the same, as on the Open ASR Leaderboard; RTFx
    is all audio by all time. Both are null where a setting lacks a data set.

    Args:
        studies: Studies, each standing for what its report recommends, or settings.

    Raises:
        StoreError: There is no such study or setting.
    """
    found = [(chosen, load_blocks(chosen)) for chosen in studies]
    entries: dict[tuple[object, ...], _Entry] = {}
    wanted: set[tuple[object, ...]] = set()
    for chosen, blocks in found:
        named = None if chosen.trial is None else trial_of(blocks, chosen)[1]
        for block in reversed(blocks):  # what ran last counts
            recommendation = recommend(block)
            best = recommendation.picks and recommendation.picks.recommended
            for trial, row in block.table.iterrows():
                if row["runs_ok"]:
                    key = _add(entries, block, str(trial), row)
                    if trial == (best if named is None else named):
                        wanted.add(key)
    return _table([entry for key, entry in entries.items() if key in wanted])


def _add(
    entries: dict[tuple[object, ...], _Entry], block: Block, trial: str, row: "pd.Series[Any]"
) -> tuple[object, ...]:
    """Note what a block says of a setting; returns what tells it from others."""
    run = block.runs[block.runs["trial_id"] == trial].iloc[-1]
    settings = {name: plain(run[name]) for name in _IDENTITY}
    machine = " + ".join(value_of(run[name], name) for name in _MACHINE if plain(run[name]) is not None)
    key = (machine, *settings.values())
    entry = entries.setdefault(key, _Entry(settings, machine))
    data = value_of(block.factors["data.name"], "data.name")
    for column, into in ((WER.column, entry.wer), ("audio_s", entry.audio_s)):
        if (value := plain(row[column])) is not None:
            into[data] = float(str(value))
    if (rtfx := plain(row[RTFX.column])) is not None and data in entry.audio_s:
        entry.seconds[data] = entry.audio_s[data] / float(str(rtfx))
    return key


def _table(entries: Sequence[_Entry]) -> Table:
    sets = sorted({data for entry in entries for data in (*entry.wer, *entry.seconds)})
    varied = [name for name in _IDENTITY if len({entry.settings[name] for entry in entries}) > 1]
    named = [name for name in varied if name not in ("model.name", "device")] or list(_USUAL)
    rows: list[dict[str, Any]] = [
        {
            "model": value_of(entry.settings["model.name"], "model.name"),
            "setting": setting_label({name: entry.settings[name] for name in named}),
            "device": value_of(entry.settings["device"], "device"),
            "machine": entry.machine,
            "normalizer": value_of(entry.settings["score.normalizer"]),
            **{f"wer {data}": entry.wer.get(data) for data in sets},
            "wer average": sum(entry.wer.values()) / len(sets) if sets and len(entry.wer) == len(sets) else None,
            "rtfx": _rtfx(entry, sets),
        }
        for entry in entries
    ]
    rows.sort(key=lambda row: (row["wer average"] is None, row["wer average"] or 0.0, str(row)))
    rates = [*(f"wer {data}" for data in sets), "wer average"]
    words = ("model", "setting", "device", "machine", "normalizer")
    schema = pa.schema([*((name, pa.string()) for name in words), *((name, pa.float64()) for name in (*rates, "rtfx"))])
    shown = tuple(
        (*(str(row[name]) for name in words), *(WER.show(row[name]) for name in rates), RTFX.show(row["rtfx"]))
        for row in rows
    )
    heads = (*map(name_of, words), *(f"WER {data}" for data in sets), "WER average", RTFX.label)
    return Table(pa.Table.from_pylist(rows, schema=schema), heads, shown, words=len(words))


def _rtfx(entry: _Entry, sets: Sequence[str]) -> float | None:
    seconds = sum(entry.seconds.values())
    return (
        sum(entry.audio_s[data] for data in entry.seconds) / seconds
        if len(entry.seconds) == len(sets) and seconds
        else None
    )
