"""Lengths of recordings without decoding them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.data.lengths import lengths_s
from bench.records import Utterance


def test_lengths_are_those_of_the_files_and_their_spans(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    wav = write_wav(tmp_path / "a.wav", 6, rate_hz=8_000, channels=2)
    spans = [(0.0, None), (2.0, None), (2.0, 1.5), (5.0, 1.2), (7.0, None)]
    found = lengths_s([Utterance(str(at), wav, "", start_s=start, duration_s=s) for at, (start, s) in enumerate(spans)])
    assert found[:4] == pytest.approx([6.0, 4.0, 1.5, 1.0])
    assert found[4] is None


def test_what_cannot_be_read_has_no_length(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.wav").touch()
    names = ["missing.wav", "text.wav", "empty.wav", "."]
    assert lengths_s([Utterance(name, tmp_path / name, "") for name in names]) == [None] * 4


def test_a_container_that_tells_no_length_is_read_through(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    import av

    wav, raw = write_wav(tmp_path / "a.wav", 4), tmp_path / "a.aac"
    with av.open(str(wav)) as source, av.open(str(raw), "w", format="adts") as target:
        stream = target.add_stream("aac", rate=16_000)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    (found,) = lengths_s([Utterance("a", raw, "")])
    assert found == pytest.approx(4, abs=0.3)
