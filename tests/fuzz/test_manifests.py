"""Manifests that chance makes up: read, or refused in words; and no path leaves the data root."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.config import DataConfig, DataSource
from bench.data.dataset import load_dataset
from bench.errors import BenchError
from tests.fuzz.conftest import in_time

pytestmark = pytest.mark.faults

_ENDINGS = (".csv", ".tsv", ".jsonl", ".json", "")
_COLUMNS = ["path", "text", "speaker", "start_s", "duration_s", "audio_filepath", "offset", "duration", "sentence", "x"]
_PATHS = st.sampled_from(
    [
        "a.wav", "sub/b.wav", "sub/../a.wav",
        "./a.wav", "sub//b.wav", "a.wav/", "sub", ".", "..", "", " ", "~",
        "../outside.wav", "../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "sub/../../outside.wav",
        "out.wav", "out/outside.wav", "out/../outside.wav", "loop", "loop/a.wav", "..\\outside.wav", "C:\\a.wav",
        "%2e%2e/outside.wav", "....//outside.wav", "file:///etc/passwd", "http://localhost/a.wav", "concat:/etc/passwd",
        "a\n.wav", "a\0.wav", "\ud800.wav", "\u202egnp.wav", "مرحبا.wav", "🎙.wav", "-i", "x" * 300, "'; rm -rf /; '",
        "<img src=x onerror=alert(1)>.wav", "=cmd|' /C calc'!A0", "a.wav#2", "a.wav@1+2", "/dev/zero", "/proc/self/mem",
    ]
)  # fmt: skip
_VALUES: st.SearchStrategy[Any] = st.one_of(
    _PATHS,
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.sampled_from(["1e999", "-1", "nan", "0", "0.5", "٣", "1_0", "0x1"]),
    st.recursive(
        st.none(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
)
_ROWS = st.lists(st.dictionaries(st.sampled_from(_COLUMNS), _VALUES, max_size=6), max_size=5)


def _plain(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _written(rows: list[dict[str, Any]], ending: str) -> bytes:
    if ending in (".jsonl", ".json"):
        return "\n".join(map(json.dumps, rows)).encode()
    sink = io.StringIO()
    tabs = ending == ".tsv"
    table = csv.writer(
        sink,
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        escapechar="\\" if tabs else None,
    )
    names = list(dict.fromkeys(["path", "text", *(name for row in rows for name in row)]))
    table.writerow(names)
    table.writerows([_plain(row.get(name, "")) for name in names] for row in rows)
    return sink.getvalue().encode()


@st.composite
def _manifests(draw: st.DrawFn) -> tuple[str, bytes]:
    """An ending, and a content: rows, rows that were damaged, or anything."""
    ending = draw(st.sampled_from(_ENDINGS))
    if draw(st.integers(0, 9)) == 0:
        return ending, draw(st.binary(max_size=200))
    content = _written(draw(_ROWS), ending)
    for place, piece in draw(st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=3)), max_size=2)):
        at = place % (len(content) + 1)
        content = content[:at] + piece + content[at + draw(st.integers(0, 3)) :]
    return ending, content


@pytest.fixture
def root(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """A data root, with links that leave it, and a recording outside."""
    folder = tmp_path / "root"
    write_wav(folder / "a.wav", 0.1)
    write_wav(folder / "sub" / "b.wav", 0.1)
    write_wav(tmp_path / "outside.wav", 0.1)
    (folder / "out.wav").symlink_to(tmp_path / "outside.wav")
    (folder / "out").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    return folder


@pytest.mark.parametrize("examples", [400, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_every_manifest_is_read_or_refused_and_stays_in_its_root(root: Path, examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(_manifests())
    def check(manifest: tuple[str, bytes]) -> None:
        ending, content = manifest
        path = root / f"manifest{ending}"
        path.write_bytes(content)
        with in_time():
            try:
                data = load_dataset(DataConfig(DataSource.manifest, str(path)))
            except BenchError as error:
                said = str(error)
                data = None
            path.unlink()
        if data is None:
            assert str(path) in said
            return
        names = [one.utterance_id for one in data.utterances]
        assert len(set(names)) == len(names)
        for one in data.utterances:
            if one.error is None:
                assert f"{os.path.realpath(one.path)}{os.sep}".startswith(f"{os.path.realpath(root)}{os.sep}"), content

    check()
