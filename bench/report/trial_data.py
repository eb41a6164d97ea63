"""The table of settings as data: what the page shows plainly, and what its script sorts, filters and opens."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe
import pandas as pd

from bench.metrics import ALL, METRICS
from bench.report.heard import Heard
from bench.report.labels import axis_of, plain, value_of
from bench.report.tables import Block

MOST_PLAIN = 200
"""Rows of a table that stand in the page itself; its script knows all of them."""

# What the script's JSON may not hold as it stands, for it lies within HTML; the last two are line ends to old scripts.
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})

_COUNTS = {
    "substitutions": ("S", "substitutions"),
    "deletions": ("D", "deletions"),
    "insertions": ("I", "insertions"),
    "reference_words": ("Words", "reference words"),
}
_DASH = "\N{EN DASH}"
_INTERVAL = "95 % interval of the WER"
_STANDING = "tied: its WER cannot be told from the best's; different: it can (5 % level over all settings together)"
_DEGENERATE = "utterances that loop / that have text in silence / that are in the wrong language"


def trials_table(
    study: str,
    block: Block,
    trials: Sequence[Mapping[str, Any]],
    memory: Sequence[str],
    heard: Mapping[str, Heard],
) -> dict[str, Any]:
    """Make the table of a block's settings as the template wants it.

    Args:
        study: The study's name.
        block: The settings.
        trials: Its rows as text, with ``trial``, in the order they are shown.
        memory: Columns of the metrics of memory that are shown.
        heard: What some of them heard, by trial.

    Returns:
        ``columns`` (see :func:`_columns`), the first ``rows``, how many more are ``left_out``, and the ``data`` of all.
    """
    columns = _columns(block, trials, memory)
    rows = [{"front": row["front"], "bad": is_bad(row)} for row in trials[:MOST_PLAIN]]
    data = embedded(
        {
            "study": shlex.quote(study),
            "trials": [row["trial"] for row in trials],
            "front": [int(row["front"]) for row in trials],
            "bad": [int(is_bad(row)) for row in trials],
            "columns": columns,
            "heard": {trial: {"rows": one.rows, "more": one.left_out} for trial, one in heard.items()},
        }
    )
    return {"columns": columns, "rows": rows, "left_out": len(trials) - len(rows), "data": data}


def _columns(block: Block, trials: Sequence[Mapping[str, Any]], memory: Sequence[str]) -> list[dict[str, Any]]:
    """Lay out the table, a mapping a column.

    Returns:
        Of each column: ``head``; ``title`` (the head in full, or empty); ``text`` (a cell each); ``key`` (what it is
        sorted by: a number, a text, or null, which comes last); ``number``, whether it is aligned as one; ``shown``,
        whether it is in the table or only in the opened setting; ``varies``, whether it is a setting that varies.
    """
    table = block.table.loc[[row["trial"] for row in trials]]
    columns = [_label(table, trials, block.varied)]
    # With one setting that varies, its column would say what the label says.
    columns += [_setting(table, name, shown=len(block.varied) > 1) for name in block.varied]
    columns.append(_measured(table, trials, "wer", "WER"))
    if any(row["standing"] != _DASH for row in trials):
        intervals = [str(row["interval"]) for row in trials]
        columns.append(_column("WER, 95 %", intervals, _keys(table, "wer"), title=_INTERVAL, number=True))
        columns.append(_texts("Against the best", [row["standing"] for row in trials], title=_STANDING))
    columns += [_measured(table, trials, name, head, title) for name, (head, title) in _COUNTS.items()]
    if any(row["degenerate"].strip("0 /\N{EN DASH}") for row in trials):
        columns.append(_texts("Degenerate", [row["degenerate"] for row in trials], title=_DEGENERATE, number=True))
    columns.append(_measured(table, trials, "rtfx", "RTFx"))
    columns.append(_measured(table, trials, "inference_s", "Inference [s]"))
    columns += [_measured(table, trials, name, ALL[name].label) for name in memory]
    columns.append(_measured(table, trials, "runs", "Runs"))
    columns.append(_texts("Status", [_status(row) for row in trials]))
    told = {metric.column for metric in METRICS}
    return columns + [_metric(table, name) for name in ALL if name not in told and _is_known(table, name)]


def embedded(data: object) -> markupsafe.Markup:
    """Write data as JSON for a ``<script type="application/json">``, which nothing in them can end.

    Raises:
        ValueError: A number is infinite or none, which JSON does not have.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # All that could end the element, or begin a comment within it, is escaped; what is left is JSON.
    return markupsafe.Markup(text.translate(_ESCAPED))  # noqa: S704


def is_bad(row: Mapping[str, Any]) -> bool:
    """Tell whether something speaks against a setting's figures."""
    return bool(row["failed"] or row["doubt"] or row["breaks"])


def _status(row: Mapping[str, Any]) -> str:
    return "; ".join(str(part) for part in (row["status"], row["breaks"], row["doubt"]) if part)


def _label(table: pd.DataFrame, trials: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> dict[str, Any]:
    """Lay out the settings as a phrase, sorted by their values in turn and not by how these are spelt."""
    labels = [str(row["label"]) for row in trials]
    ordered = table.assign(at=range(len(table))).sort_values([*varied, "label"], na_position="last", kind="stable")
    ranks = {int(at): rank for rank, at in enumerate(ordered["at"])}
    return _column("Setting", labels, [ranks[at] for at in range(len(labels))])


def _setting(table: pd.DataFrame, name: str, *, shown: bool) -> dict[str, Any]:
    values = [plain(value) for value in table[name]]
    numeric = all(value is None or isinstance(value, int | float) for value in values)
    keys = [_rounded(value) if isinstance(value, int | float) else value and str(value) for value in values]
    texts = [value_of(value, name) for value in values]
    return _column(axis_of(name).partition(" [")[0], texts, keys, number=numeric, shown=shown, varies=True)


def _measured(
    table: pd.DataFrame, trials: Sequence[Mapping[str, Any]], name: str, head: str, title: str = ""
) -> dict[str, Any]:
    return _column(head, [str(row[name]) for row in trials], _keys(table, name), title=title, number=True)


def _metric(table: pd.DataFrame, name: str) -> dict[str, Any]:
    """Lay out a metric that only an opened setting shows."""
    return _column(ALL[name].label, [ALL[name].show(value) for value in table[name]], [], number=True, shown=False)


def _texts(head: str, texts: list[str], *, title: str = "", number: bool = False) -> dict[str, Any]:
    return _column(head, texts, list(texts), title=title, number=number)


def _column(
    head: str, texts: list[str], keys: Sequence[object], *, title: str = "", number: bool = False,
    shown: bool = True, varies: bool = False,
) -> dict[str, Any]:  # fmt: skip
    return {
        "head": head,
        "title": title,
        "text": texts,
        "key": list(keys),
        "number": number,
        "shown": shown,
        "varies": varies,
    }


def _keys(table: pd.DataFrame, name: str) -> list[float | None]:
    return [_rounded(value) for value in table[name]]


def _rounded(value: object) -> float | None:
    """Keep as many digits of a number as order it; a null has none."""
    value = plain(value)
    return None if value is None else float(f"{float(str(value)):.9g}")


def _is_known(table: pd.DataFrame, name: str) -> bool:
    return name in table and bool(table[name].notna().any())
