"""Parquet files of the store's tables: written from rows, read by a schema."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
from pyarrow import fs

from bench.errors import StoreError
from bench.schema import SCHEMA_VERSION
from bench.storage import Place, require_file, write_atomically

_FILES_AT_ONCE = 100
"""Files read as one. pyarrow keeps what it knows of all files of a dataset, a mebibyte a run (pyarrow 26)."""

MADE_ANEW = "move it out of the study's folder and start the study again, which makes anew what is missing"
"""What to do about a file of runs that is not as it was written."""

_CHECKED = pyarrow.dataset.ParquetFileFormat(
    default_fragment_scan_options=pyarrow.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
)
"""Parquet whose pages are compared with their checksums, where they have such."""


class Gone(Exception):  # noqa: N818 - no fault: the file was there when its folder was listed
    """A file is not there any more; its rows are in another one by now."""


def write_table(path: Place, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    """Write rows as a file, which is seen whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, write_page_checksum=True)
    write_atomically(path, sink.getvalue())


def read_files(paths: Sequence[Place], schema: pa.Schema, rows: pc.Expression | None = None) -> pa.Table:
    """Read files as one table.

    Args:
        paths: The files.
        schema: The columns wanted; one that a file does not have is null there.
        rows: Which rows are wanted; null wants all.

    Raises:
        Gone: One of the files is not there.
        StoreError: One of them cannot be read, or is of a later version.
    """
    table = _read_at_once(paths, schema, rows)
    if table is None:
        table = pa.concat_tables([schema.empty_table(), *(read_file(path, schema, rows=rows) for path in paths)])
    return table


def read_file(path: Place, schema: pa.Schema, cure: str | None = None, rows: pc.Expression | None = None) -> pa.Table:
    """Read a file.

    Args:
        path: The file.
        schema: The columns wanted.
        cure: What to do about a file that cannot be read.
        rows: Which rows are wanted; null wants all.

    Raises:
        Gone: The file is not there.
        StoreError: It cannot be read, or is of a later version.
    """
    require_file(path)
    try:
        filesystem, within = _opened(path)
        present = set(pq.read_schema(within, filesystem=filesystem).names)
        names = [name for name in schema.names if name in present]
        table = pq.read_table(
            within, columns=names, filesystem=filesystem, filters=rows, page_checksum_verification=True
        )
        version = max((row for row in table["schema_version"].to_pylist() if row is not None), default=SCHEMA_VERSION)
        if version > SCHEMA_VERSION:
            raise StoreError(f"{path} has schema version {version}, this one reads {SCHEMA_VERSION}; upgrade asr-sweep")
        # A column that a later version added is null in an earlier row.
        columns = [
            table[column.name].cast(column.type)
            if column.name in table.column_names
            else pa.nulls(table.num_rows, column.type)
            for column in schema
        ]
    except (OSError, KeyError, pa.ArrowException) as error:
        if not path.exists():
            raise Gone(path) from None
        reason = " ".join(str(error).split())
        raise StoreError(f"{path} cannot be read ({reason}); {cure or MADE_ANEW}") from None
    return pa.Table.from_arrays(columns, schema=schema)


def read_footer(path: Place) -> pq.FileMetaData:
    """Read what a file says of itself, without its rows.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        filesystem, within = _opened(path)
        return pq.read_metadata(within, filesystem=filesystem)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({' '.join(str(error).split())}); restore it from a copy") from None


def _opened(path: Place) -> tuple[fs.FileSystem, str]:
    return (fs.LocalFileSystem(), str(path)) if isinstance(path, Path) else (path.filesystem, path.path)


def _read_at_once(paths: Sequence[Place], schema: pa.Schema, rows: pc.Expression | None) -> pa.Table | None:
    """Read files as one table, in a fifth of the time; null where one of them has something to be told of."""
    tables = [schema.empty_table()]
    try:
        for first in range(0, len(paths), _FILES_AT_ONCE):
            opened = [_opened(path) for path in paths[first : first + _FILES_AT_ONCE]]
            part = pa.dataset.dataset(
                [within for _, within in opened], schema=schema, format=_CHECKED, filesystem=opened[0][0]
            )
            tables.append(part.to_table(filter=rows).combine_chunks())
    except (OSError, pa.ArrowException):
        return None
    table = pa.concat_tables(tables)
    versions = table["schema_version"]
    latest = pc.max(versions).as_py()
    return table if versions.null_count == 0 and (latest is None or latest <= SCHEMA_VERSION) else None
