import csv
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.sources.entries import Utterances
from bench.data.sources.manifest import read_manifest
from bench.errors import DataError
from bench.records import Utterance


def read(path: Path, root: Path | None = None, *, allow_outside_root: bool = False) -> list[Utterance]:
    found = Utterances(root or path.parent, allow_outside_root=allow_outside_root)
    for entry in read_manifest(path):
        found.add(entry)
    return found.found


def manifest(folder: Path, content: str | bytes, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_with_every_column(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,text,speaker,start_s,duration_s\nsub/a.wav,hello there,Ann,1.5,2\n")
    assert read(path) == [
        Utterance("sub/a.wav@1.5+2", tmp_path.resolve() / "sub" / "a.wav", "hello there", "Ann", 1.5, 2.0)
    ]


def test_only_path_and_text_are_needed(tmp_path: Path) -> None:
    (found,) = read(manifest(tmp_path, "path,text\na.wav,hello\n"))
    assert found == Utterance("a.wav", tmp_path.resolve() / "a.wav", "hello", None, 0.0, None)


def test_jsonl_with_numbers_as_numbers_or_text(tmp_path: Path) -> None:
    lines = [
        {"path": "a.wav", "text": "one", "start_s": 0.5, "duration_s": 1, "more": {"ignored": True}},
        {"path": "b.wav", "text": "two", "start_s": "2", "speaker": None},
    ]
    content = "\n\n".join(json.dumps(line) for line in lines)  # empty lines are no rows
    for name in ("m.jsonl", "m.json", "M.JSONL"):
        first, second = read(manifest(tmp_path, content, name))
        assert (first.text, first.start_s, first.duration_s, first.speaker) == ("one", 0.5, 1.0, None)
        assert (second.text, second.start_s, second.duration_s) == ("two", 2.0, None)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", ["", "newline"], ids=["cut", "closed"])
def test_what_editors_and_spreadsheets_write(tmp_path: Path, mark: bytes, newline: str, last: str) -> None:
    rows = ["path,text", "a.wav,dŵr", "b.wav,two"]
    path = manifest(tmp_path, mark + (newline.join(rows) + (newline if last else "")).encode())
    assert [(item.utterance_id, item.text) for item in read(path)] == [("a.wav", "dŵr"), ("b.wav", "two")]
    objects = [json.dumps({"path": "a.wav", "text": "dŵr"}), json.dumps({"path": "b.wav", "text": "two"})]
    path = manifest(tmp_path, mark + (newline.join(objects) + (newline if last else "")).encode(), "m.jsonl")
    assert [item.text for item in read(path)] == ["dŵr", "two"]


def test_quoted_commas_quotes_and_newlines(tmp_path: Path) -> None:
    path = manifest(tmp_path, 'text,extra,path\n"one, ""two""\nthree",ignored,"a,b.wav"\n')
    (found,) = read(path)
    assert found.text == 'one, "two"\nthree'
    assert found.path.name == "a,b.wav"


def test_an_empty_transcript_is_read_as_it_is(tmp_path: Path) -> None:
    assert [item.text for item in read(manifest(tmp_path, "path,text\na.wav,\n"))] == [""]


def test_empty_numbers_mean_the_whole_file(tmp_path: Path) -> None:
    (found,) = read(manifest(tmp_path, "path,text,start_s,duration_s,speaker\na.wav,x,,,\n"))
    assert (found.start_s, found.duration_s, found.speaker) == (0.0, None, None)


def test_a_duration_alone_is_a_note_and_cuts_nothing(tmp_path: Path) -> None:
    (found,) = read(manifest(tmp_path, "path,text,duration_s\na.wav,x,12.5\n"))
    assert (found.utterance_id, found.start_s, found.duration_s) == ("a.wav", 0.0, None)


def test_a_span_from_the_start_is_a_span(tmp_path: Path) -> None:
    (found,) = read(manifest(tmp_path, "path,text,start_s,duration_s\na.wav,x,0,12.5\n"))
    assert (found.start_s, found.duration_s) == (0.0, 12.5)


def test_repeated_rows_get_ids_of_their_own_that_do_not_move(tmp_path: Path) -> None:
    rows = ["a.wav,x,", "a.wav,x,", "a.wav#2,x,", "a.wav,x,1", "a.wav,x,1", "b#2,x,", "b,x,", "b,x,", "b,x,"]
    path = manifest(tmp_path, "\n".join(["path,text,start_s", *rows]))
    ids = [item.utterance_id for item in read(path)]
    assert len(set(ids)) == len(rows)
    assert ids[0] == "a.wav"
    # A row that is added at the end leaves the others their names.
    longer = manifest(tmp_path, "\n".join(["path,text,start_s", *rows, "a.wav,x,", "c.wav,x,"]))
    assert [item.utterance_id for item in read(longer)][: len(ids)] == ids


@pytest.mark.parametrize("suffix", ["tsv", "TSV", "tab"])
def test_tabs_divide_and_quotes_are_characters(tmp_path: Path, suffix: str) -> None:
    lines = ["text\tpath\tspeaker", 'say "hi\ta.wav\tAnn', '"\tb.wav\t', "no, not this\tc.wav"]
    found = read(manifest(tmp_path, "\n".join(lines), f"m.{suffix}"))
    assert [(item.text, item.path.name, item.speaker) for item in found] == [
        ('say "hi', "a.wav", "Ann"),
        ('"', "b.wav", None),
        ("no, not this", "c.wav", None),
    ]


def test_speakers_may_be_numbered(tmp_path: Path) -> None:
    (found,) = read(manifest(tmp_path, '{"path": "a.wav", "text": "x", "speaker": 12}', "m.jsonl"))
    assert (found.speaker, found.error) == ("12", None)


def test_the_names_of_nemo(tmp_path: Path) -> None:
    lines = [
        {"audio_filepath": "a.wav", "text": "one", "duration": 3.5},
        {"audio_filepath": "a.wav", "text": "two", "duration": 1.5, "offset": 0.25, "speaker": "Ann"},
    ]
    whole, part = read(manifest(tmp_path, "\n".join(map(json.dumps, lines)), "m.json"))
    assert (whole.utterance_id, whole.start_s, whole.duration_s) == ("a.wav", 0.0, None)
    assert (part.utterance_id, part.start_s, part.duration_s, part.speaker) == ("a.wav@0.25+1.5", 0.25, 1.5, "Ann")


WRONG = [
    ("m.csv", "", "lacks the column path and text (found: none)"),
    ("m.csv", "file,text\na.wav,x\n", "lacks the column path (found: file,text)"),
    ("m.csv", "path;text\na.wav;x\n", "lacks the column path and text (found: path;text)"),
    ("m.tsv", "path,text\na.wav,x\n", "lacks the column path and text (found: path,text)"),
    ("m.csv", 'path,text\na.wav,"never closed\nb.wav,x\n', "is not readable CSV (unexpected end of data)"),
    ("m.csv", b"path,text\na.wav,caf\xe9\n", "is not UTF-8 text"),
    ("m.csv", "path,text\n".encode("utf-16"), "is not UTF-8 text"),
]


@pytest.mark.parametrize(("name", "content", "fault"), WRONG, ids=range(len(WRONG)))
def test_a_table_that_cannot_be_trusted_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, fault: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(manifest(tmp_path, content, name))
    message = str(caught.value)
    assert fault in message
    assert str(tmp_path) in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(("name", "content"), [("m.csv", "path,text\n"), ("m.jsonl", "\n\n")])
def test_a_table_without_rows_names_nothing(tmp_path: Path, name: str, content: str) -> None:
    assert read(manifest(tmp_path, content, name)) == []


WRONG_ROWS = [
    ("m.csv", "path,text\na.wav,x\n,x\n", "m.csv line 3 has no path"),
    ("m.csv", "path,text\n  ,x\n", "m.csv line 2 has no path"),
    ("m.csv", "path,text\na.wav\n", "m.csv line 2 has no text"),
    ("m.csv", "path,text,start_s\na.wav,x,soon\n", "start_s='soon' is no number of seconds"),
    ("m.csv", "path,text,start_s\na.wav,x,-1\n", "start_s='-1' is no number of seconds"),
    ("m.csv", "path,text,start_s\na.wav,x,nan\n", "start_s='nan' is no number of seconds"),
    ("m.csv", "path,text,start_s\na.wav,x,inf\n", "start_s='inf' is no number of seconds"),
    ("m.csv", "path,text,start_s,duration_s\na.wav,x,1,0\n", "duration_s='0' is no number of seconds"),
    ("m.csv", "path,text\na\0.wav,x\n", "path is 'a\\x00.wav', not text"),
    ("m.jsonl", "a.wav,x\n", "m.jsonl line 1 is not JSON"),
    ("m.jsonl", '{"path": "a.wav", "text": "x"}\n["a.wav", "x"]\n', "m.jsonl line 2 is no JSON object"),
    ("m.jsonl", "[" * 100_000, "m.jsonl line 1 is not JSON"),
    ("m.jsonl", '{"text": "x"}', "m.jsonl line 1 has no path"),
    ("m.jsonl", '{"path": "a.wav"}', "m.jsonl line 1 has no text"),
    ("m.jsonl", '{"path": "a.wav", "text": null}', "m.jsonl line 1 has no text"),
    ("m.jsonl", '{"path": "a.wav", "text": 5}', "text is 5, not text; give a string"),
    ("m.jsonl", '{"path": "a.wav", "text": "x", "speaker": 5.5}', "speaker is 5.5, not text; give a string"),
    ("m.jsonl", '{"path": "a.wav", "text": "x", "speaker": true}', "speaker is True, not text; give a string"),
    ("m.jsonl", '{"path": "\\ud800.wav", "text": "x"}', "path is '\\ud800.wav', not text"),
    ("m.jsonl", '{"path": "a.wav", "text": "\\udcff"}', "text is '\\udcff', not text"),
    ("m.jsonl", '{"path": "a.wav", "text": "x", "start_s": true}', "start_s=True is no number of seconds"),
    ("m.jsonl", '{"path": "a.wav", "text": "x", "start_s": [1]}', "start_s=[1] is no number of seconds"),
    ("m.jsonl", '{"path": "a.wav", "text": "x", "start_s": ' + "9" * 400 + "}", "is no number of seconds"),
]


@pytest.mark.parametrize(("name", "content", "fault"), WRONG_ROWS, ids=range(len(WRONG_ROWS)))
def test_a_wrong_row_is_an_unusable_utterance_and_the_next_one_is_read(
    tmp_path: Path, name: str, content: str, fault: str
) -> None:
    good = "good.wav,fine\n" if name.endswith("csv") else '{"path": "good.wav", "text": "fine"}'
    *_, wrong, after = read(manifest(tmp_path, f"{content.rstrip()}\n{good}", name))
    assert wrong.error is not None
    assert fault in wrong.error
    assert str(tmp_path) in wrong.error
    assert len(wrong.error.splitlines()) == 1
    assert wrong.path == tmp_path.resolve()  # nothing to open
    assert (after.error, after.path.name, after.text) == (None, "good.wav", "fine")


def test_a_missing_manifest_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(DataError, match=r"^no manifest at .*; give data\.path=FILE"):
            read(path)


def test_relative_paths_start_from_the_root(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,text\na.wav,x\nsub/../b.wav,x\n")
    root = tmp_path / "audio"
    root.mkdir()
    assert [item.path for item in read(path, root)] == [root.resolve() / "a.wav", root.resolve() / "b.wav"]


def leaving(folder: Path) -> list[str]:
    """Ways out of `folder/root`; the last two are links within it."""
    root = folder / "root"
    root.mkdir()
    (folder / "outside").mkdir()
    (folder / "outside" / "a.wav").write_bytes(b"")
    (root / "link.wav").symlink_to(folder / "outside" / "a.wav")
    (root / "linked").symlink_to(folder / "outside", target_is_directory=True)
    return ["../outside/a.wav", "x/../../outside/a.wav", str(folder / "outside" / "a.wav"), "link.wav", "linked/a.wav"]


def test_a_path_that_leaves_the_root_is_refused_unless_allowed(tmp_path: Path) -> None:
    target = tmp_path.resolve() / "outside" / "a.wav"
    for name in leaving(tmp_path):
        path = manifest(tmp_path / "root", json.dumps({"path": name, "text": "x"}), "m.jsonl")
        (refused,) = read(path)
        assert re.search(r"leaves the data root .* data\.allow_outside_root=true", str(refused.error))
        assert refused.path == (tmp_path / "root").resolve()
        (found,) = read(path, allow_outside_root=True)
        assert found.path == target


def test_a_sibling_whose_name_begins_like_the_root_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    path = manifest(tmp_path / "root", "path,text\n../root2/a.wav,x\n")
    (refused,) = read(path)
    assert "leaves the data root" in str(refused.error)


def test_a_root_behind_a_link_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    path = manifest(tmp_path / "link", "path,text\na.wav,x\n")
    (found,) = read(path)
    assert found.path == tmp_path.resolve() / "real" / "a.wav"


def test_a_loop_of_links_is_refused_or_left_for_the_run(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = manifest(tmp_path, "path,text\nloop,x\n")
    if sys.version_info < (3, 13):
        (refused,) = read(path)
        assert "line 2: loop cannot be followed" in str(refused.error)
    else:
        assert [item.path.name for item in read(path)] == ["loop"]


# No NUL (no file system takes it), no lone surrogates (no encoding takes them), no separators of path segments.
NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0\\"), min_size=1, max_size=12).filter(
    lambda name: name.strip() not in {"", ".", ".."}
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
SECONDS = st.floats(0, 1e6, exclude_min=True)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"path": st.lists(NAME, min_size=1, max_size=3).map("/".join), "text": TEXT},
        optional={"speaker": TEXT, "start_s": SECONDS, "duration_s": SECONDS, "comment": TEXT},
    ),
    min_size=1,
    max_size=5,
)


def check(rows: list[dict[str, Any]], path: Path) -> None:
    found = read(path)
    assert [item.text for item in found] == [row["text"] for row in rows]
    assert [item.path for item in found] == [path.parent.resolve() / row["path"] for row in rows]
    assert [item.speaker for item in found] == [row.get("speaker") or None for row in rows]
    assert [item.start_s for item in found] == [row.get("start_s", 0.0) for row in rows]
    spans = [row.get("duration_s") if "start_s" in row else None for row in rows]
    assert [item.duration_s for item in found] == spans
    assert len({item.utterance_id for item in found}) == len(rows)


@given(rows=ROWS)
@settings(deadline=None, max_examples=60)
def test_what_the_csv_module_writes_is_read_back(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["comment", "duration_s", "path", "speaker", "start_s", "text"])
            writer.writeheader()
            writer.writerows(rows)
        check(rows, path)


@given(rows=ROWS, ascii_only=st.booleans())
@settings(deadline=None, max_examples=60)
def test_what_the_json_module_writes_is_read_back(rows: list[dict[str, Any]], ascii_only: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.jsonl")
        lines = (json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
        path.write_bytes("".join(lines).encode())
        check(rows, path)
