"""A table as CSV, parquet, Markdown or LaTeX."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

import pyarrow as pa
import pyarrow.parquet as pq

from bench.exports.tables import Table
from bench.printable import clean
from bench.report.passage import markdown_table
from bench.spreadsheet import as_text


class TableFormat(StrEnum):
    """What a table is written as."""

    csv = "csv"
    parquet = "parquet"
    md = "md"
    latex = "latex"


# LaTeX's ten special characters (The Not So Short Introduction to LaTeX, 2.4), and those its older fonts lack.
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{mark: f"\\{mark}" for mark in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "\N{EN DASH}": "--",
    }
)


def written(table: Table, form: TableFormat) -> bytes:
    """Write a table.

    Args:
        table: What to write.
        form: CSV and parquet hold every column as it is stored; Markdown and LaTeX what people are shown.
    """
    return _WRITERS[form](table)


def _csv(table: Table) -> bytes:
    r"""Write CSV as RFC 4180 has it, in UTF-8; lists and mappings as JSON, null as nothing.

    A text that a spreadsheet would run as a formula gets an apostrophe before it, numbers never do.
    """
    sink = io.StringIO()
    rows = csv.writer(sink, lineterminator="\r\n")
    rows.writerow(as_text(name) for name in table.data.column_names)
    rows.writerows(_rows(table.data, _cell))
    return sink.getvalue().encode()


def _parquet(table: Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.data, sink)
    return bytes(sink.getvalue())


def _markdown(table: Table) -> bytes:
    heads, rows, words = _shown(table)
    return f"{markdown_table(heads, rows, words)}\n".encode()


def _latex(table: Table) -> bytes:
    heads, rows, words = _shown(table)
    columns = "".join("l" if at < words else "r" for at in range(len(heads)))
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _latex_row(heads),
        "\\midrule",
        *map(_latex_row, rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return ("\n".join(lines) + "\n").encode()


_WRITERS: Mapping[TableFormat, Callable[[Table], bytes]] = {
    TableFormat.csv: _csv,
    TableFormat.parquet: _parquet,
    TableFormat.md: _markdown,
    TableFormat.latex: _latex,
}


def _latex_row(cells: Iterable[str]) -> str:
    row = " & ".join(clean(cell).translate(_LATEX) for cell in cells) + r" \\"
    # Behind a rule or the end of a row, these would be its argument.
    return "{}" + row if row.startswith(("[", "*")) else row


def _shown(table: Table) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], int]:
    """Return what people are shown: of a stored table all columns that hold anything."""
    if table.heads:
        return table.heads, table.rows, table.words
    filled = [name for name in table.data.column_names if table.data[name].null_count < table.data.num_rows]
    data = table.data.select(filled or table.data.column_names)
    return tuple(data.column_names), tuple(_rows(data, lambda value: str(_plain(value)))), len(data.column_names)


def _rows(data: pa.Table, cell: Callable[[object], str]) -> Iterable[tuple[str, ...]]:
    """Write the rows of a table, a part at a time."""
    for batch in data.to_batches(max_chunksize=1000):
        columns = [[cell(value) for value in column.to_pylist()] for column in batch.columns]
        yield from zip(*columns, strict=True)


def _cell(value: object) -> str:
    return as_text(value) if isinstance(value, str) else str(_plain(value))


def _plain(value: object) -> object:
    """Write what CSV has no word for: nothing for null, JSON for lists."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
