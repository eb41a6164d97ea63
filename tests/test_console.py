"""What standard output is sent, by what it is: a terminal, a file, a pipe that nobody reads, or nothing at all."""

import io
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.console import Console, print_line, write
from bench.printable import clean, printable

HOSTILE = "\x1b]0;owned\x07a\u202eb"
"""Names a terminal's window, and turns what follows around."""


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


class _Unread(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_what_moves_a_cursor_is_replaced_and_what_spells_words_is_kept() -> None:
    assert clean(f"{HOSTILE}\n\tc") == "\ufffd]0;owned\ufffda\ufffdb c"
    assert printable("a\tb\nc\u3000d\r\x1b[2J") == "a\tb\nc\u3000d\ufffd\ufffd[2J"
    for word in ("क\u094d\u200dष", "क\u094d\u200cष"):  # joiners are a part of its spelling
        assert clean(word) == word


@pytest.mark.parametrize(
    ("kind", "expected"), [(_Terminal, "1\n\ufffd[2J ü\n"), (io.TextIOWrapper, "1\r\n\x1b[2J ü\n")]
)
def test_data_are_cleaned_for_a_terminal_alone(
    kind: type[io.TextIOWrapper], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", kind(held, encoding="ascii"))
    write("1\r\n\x1b[2J ü\n".encode())
    assert held.getvalue().decode() == expected


def test_a_pipe_that_nobody_reads_is_told_to_the_caller() -> None:
    with pytest.raises(BrokenPipeError):
        print_line(Console(file=_Unread()), "a line")


def test_without_standard_streams_commands_do_their_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["list", "--results", str(tmp_path)]) == 0
    assert main(["report", "nosuch", "--results", str(tmp_path)]) == 2
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_what_a_locale_cannot_spell_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, encoding="ascii"))
    assert main(["list", "--results", "Prüfung"]) == 0
    assert held.getvalue().startswith(b"no studies under Pr?fung;")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_standard_output_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["list", "--results", str(tmp_path)]) == 2
    assert "check where standard output goes, and that the disk is not full" in capsys.readouterr().err


def test_a_name_of_a_file_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"{HOSTILE}path,text\na.wav,x\n", encoding="utf-8")
    assert main(["run", "engine=fake", "model=fake", "data=manifest", f"data.path={manifest}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "lacks the column path" in line
    assert line.isprintable()
