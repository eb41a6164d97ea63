"""A study's tables: those it stores, and the settings of its report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from bench.metrics import METRICS
from bench.report.labels import value_of
from bench.report.selection import Selection, load_blocks, trial_of
from bench.report.tables import Block
from bench.schema import CURVE_SCHEMA, RUN_SCHEMA, TIMELINE_SCHEMA, UTTERANCE_SCHEMA
from bench.storage import Place
from bench.store import SCORE_SCHEMA, load_curves, load_runs, load_scores, load_timeline, load_utterances

STORED: Mapping[str, tuple[Callable[[Place], pd.DataFrame], pa.Schema]] = {
    "runs": (load_runs, RUN_SCHEMA),
    "utterances": (load_utterances, UTTERANCE_SCHEMA),
    "timeline": (load_timeline, TIMELINE_SCHEMA),
    "curves": (load_curves, CURVE_SCHEMA),
    "scores": (load_scores, SCORE_SCHEMA),
}
"""Tables that a study stores: how to load each, and its columns."""

SETTINGS = "settings"
"""The table of a row a setting."""

_KEYS = ("study", "block", "data.name", "device", "trial_id", "label")


@dataclass(frozen=True, eq=False)
class Table:
    """A table.

    Attributes:
        data: Its columns, typed.
        heads: Names of what people are shown of it; none shows the columns as they are.
        rows: A text a head.
        words: How many heads, from the first, are of words.
    """

    data: pa.Table
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    words: int = 1


def study_table(chosen: Selection, name: str) -> Table:
    """Gather a table of a study, or of one setting of it.

    Args:
        chosen: The study; with a trial, rows of that setting alone.
        name: One of :data:`STORED`, or :data:`SETTINGS`.

    Raises:
        StoreError: There is no such study or setting, or a file cannot be read.
    """
    if name == SETTINGS:
        return _settings(chosen)
    load, schema = STORED[name]
    frame = load(chosen.study_dir)
    if chosen.trial is not None:
        _, trial = trial_of(load_blocks(chosen), chosen)
        frame = frame[frame["trial_id"] == trial]
    return Table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))


def _settings(chosen: Selection) -> Table:
    """Gather the settings of all blocks, the block that ran last first, the most accurate of each first."""
    found = load_blocks(chosen)
    only = None if chosen.trial is None else trial_of(found, chosen)[1]
    parts, rows = [], []
    for number, block in enumerate(found, 1):
        table = block.table if only is None else block.table[block.table.index == only]
        parts.append(_with_keys(block, table, number, chosen.study))
        for _, row in table.iterrows():
            shown = (metric.show(row[metric.column]) for metric in METRICS)
            rows.append((block.title, str(row["label"]), str(row["status"]), *shown))
    data = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False).replace_schema_metadata()
    heads = ("data", "setting", "status", *(metric.label for metric in METRICS))
    return Table(data, heads, tuple(rows), words=3)


def _with_keys(block: Block, table: pd.DataFrame, number: int, study: str) -> pd.DataFrame:
    keys: dict[str, str | int] = {"study": study, "block": number}
    keys |= {name: value_of(block.factors[name], name) for name in _KEYS[2:4]}
    full = table.reset_index().assign(**keys)
    return full[[*_KEYS, *(name for name in full.columns if name not in _KEYS)]]
