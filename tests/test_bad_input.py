"""Whatever is wrong with an utterance, a sweep goes on, says what is wrong, and scores what is good."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import bench
from bench.assets.voices import synthesize
from bench.errors import BenchError

GOOD = {"path": "good.wav", "text": "word word word word"}  # as the fake engine hears two seconds


def wav(seconds: float = 0.0, *, rate_hz: int = 16_000, channels: int = 1, bits: int = 16, form: int = 1) -> bytes:
    """A header that promises so many seconds."""
    frame = channels * bits // 8
    size = round(seconds * rate_hz) * frame
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, form, channels, rate_hz,
                       rate_hz * frame, frame, bits, b"data", size)  # fmt: skip


def floats(value: float) -> bytes:
    return wav(0.5, bits=32, form=3) + np.full(8_000, value, "<f4").tobytes()


def cut(path: Path, share: float = 0.6) -> bytes:
    content = path.read_bytes()
    return content[: int(share * len(content))]


def flipped(path: Path) -> bytes:
    """A file with a stretch in its middle overwritten."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2_000] = bytes(255 - byte for byte in content[middle : middle + 2_000])
    return bytes(content)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path], write_wav: Callable[..., Path]) -> Any:
    """A folder of bad files, and for each kind a row of a manifest and a part of the reason to be given."""
    root = tmp_path_factory.mktemp("bad") / "data"
    whole = root.parent / "whole"
    for folder in (root, whole):
        folder.mkdir()
    write_wav(root / "good.wav", 2)
    samples, rate_hz = synthesize("It was the best of times, it was the worst of times. " * 2)
    sources = {
        end: encode(whole / f"a.{end}", samples, rate_hz) for end in ("wav", "flac", "mp3", "webm", "ogg", "m4a")
    }
    found: dict[str, tuple[dict[str, Any], str]] = {}

    def file(kind: str, content: bytes, reason: str, ending: str = "wav") -> None:
        name = f"{kind.replace(' ', '_')}.{ending}"
        (root / name).write_bytes(content)
        found[kind] = {"path": name, "text": "word"}, reason

    def row(kind: str, reason: str, **values: Any) -> None:
        found[kind] = {**GOOD, **values}, reason

    file("empty file", b"", "cannot be decoded")
    file("header cut off", wav()[:30], "cannot be decoded")
    file("header alone", wav(), "holds no audio samples")
    file("zero length with a promise", wav(1.0), "holds no audio samples")
    file("half a sample", wav() + b"\1", "holds no audio")
    file("text named wav", b"This is no recording.\n" * 100, "cannot be decoded")
    file("web page named mp3", b"<!DOCTYPE html><html>404 Not Found</html>" * 20, "cannot be decoded", "mp3")
    file("random bytes", np.random.default_rng(0).bytes(10_000), "cannot be decoded")
    file("zeros", bytes(10_000), "cannot be decoded", "mp3")
    for ending, path in sources.items():
        file(f"truncated {ending}", cut(path), "cut short" if ending != "m4a" else "cannot be", ending)
    file("truncated to a header mp3", cut(sources["mp3"], 0.02), "cut short", "mp3")
    file("damaged flac", flipped(sources["flac"]), "cut short or damaged", "flac")
    file("not a number", floats(float("nan")), "not finite numbers")
    file("infinite", floats(float("inf")), "not finite numbers")
    file("0 Hz", wav(1.0, rate_hz=0) + bytes(32_000), "cannot be decoded")
    file("no channels", wav(1.0, channels=0) + bytes(32_000), "cannot be decoded")
    file("too short to resample", wav(1 / 48_000, rate_hz=48_000) + b"\1\1", "shorter than one sample")
    (root / "long.wav").write_bytes(wav(36_000, rate_hz=8_000, bits=8))
    os.truncate(root / "long.wav", 44 + 36_000 * 8_000)  # a hole: it takes no room
    row("10 hours long", "36000 s is longer than data.max_duration_s=14400", path="long.wav")
    with av.open(str(root / "silent.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    row("video without sound", "no audio stream", path="silent.mp4")
    row("missing file", "does not exist", path="no.wav")
    (root / "folder.wav").mkdir()
    row("folder", "cannot be decoded", path="folder.wav")
    os.mkfifo(root / "pipe.wav")
    row("pipe", "no regular file", path="pipe.wav")
    (root / "loop.wav").symlink_to("loop.wav")
    row("loop of links", "loop.wav", path="loop.wav")
    row("path that leaves the root", "leaves the data root", path="../whole/a.wav")
    row("absolute path", "leaves the data root", path=str(sources["wav"]))
    row("path with a NUL", "not text", path="a\0.wav")
    row("no path", "has no path", path="")
    row("path that is a number", "not text", path=7)
    row("no text", "has no text", text=None)
    row("text that is a list", "not text", text=["word"])
    row("empty text", "its transcript is empty", text="")
    row("text of blanks", "has no words", text=" \t ")
    row("text without words", "has no words", text="... (laughter) !")
    row("negative start", "no number of seconds", start_s=-1)
    row("start that is a word", "no number of seconds", start_s="soon")
    row("duration of nothing", "no number of seconds", start_s=0.5, duration_s=0)
    row("infinite duration", "no number of seconds", start_s=0.5, duration_s="inf")
    row("span after the end", "does not lie within", start_s=5, duration_s=1)
    row("span beyond the end", "does not lie within", start_s=1, duration_s=5)
    return root, found


def written(root: Path, rows: list[dict[str, Any]], name: str = "m.jsonl") -> Path:
    path = root / name
    path.write_text("\n".join(map(json.dumps, rows)) + "\nno JSON at all\n[1, 2]\n", encoding="utf-8")
    return path


def test_none_stops_a_sweep_all_are_reported_and_the_good_one_scores(rows: Any, tmp_path: Path) -> None:
    root, bad = rows
    assert len(bad) >= 25
    manifest = written(
        root, [row for row, _ in list(bad.values())[:20]] + [GOOD] + [row for row, _ in list(bad.values())[20:]]
    )
    runs = bench.run(
        "-m", "study=bad", f"results.root={tmp_path}", f"results.reports={tmp_path / 'reports'}", "engine=fake",
        "model=fake", "data=manifest", f"data.path={manifest}", "decode.chunk_length_s=1,4", "decode.stride_length_s=0",
    )  # fmt: skip
    assert runs["status"].tolist() == ["ok", "ok"]
    assert runs["reference_words"].tolist() == [4, 4]
    utterances = bench.load_utterances(tmp_path / "bad")
    for _, run in utterances.groupby("run_id"):
        reasons = run["error"].tolist()
        assert len(reasons) == len(bad) + 3
        assert reasons[20] is None or reasons[20] != reasons[20]  # the good one has none
        del reasons[20]
        for (kind, (_, reason)), given in zip(bad.items(), reasons, strict=False):
            assert reason in str(given), f"{kind}: {given}"
            assert len(str(given).splitlines()) == 1, kind
        assert "is not JSON" in reasons[-2]
        assert "is no JSON object" in reasons[-1]
        wrong = run[run["error"].notna()]
        assert wrong["hypothesis"].isna().all()
        assert wrong[["substitutions", "deletions", "insertions", "hits"]].isna().all(axis=None)
    page = (bench.write_report(tmp_path / "bad", tmp_path / "reports") / "index.html").read_text(encoding="utf-8")
    assert f"Utterances that were not used: {len(bad) + 2} of {len(bad) + 3}" in page


@pytest.mark.parametrize("kind", ["truncated mp3", "empty text", "negative start"])
def test_on_request_the_first_one_ends_everything(rows: Any, tmp_path: Path, kind: str) -> None:
    root, bad = rows
    row, reason = bad[kind]
    path = root / "few.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps(row)}\n", encoding="utf-8")
    study = [
        "study=fail", f"results.root={tmp_path}", "engine=fake", "model=fake", "data=manifest", f"data.path={path}",
        "data.on_error=fail",
    ]  # fmt: skip
    if kind == "negative start":  # known before anything runs
        with pytest.raises(BenchError, match=r"1 of the 2 utterances .* no number of seconds"):
            bench.run(*study)
        return
    runs = bench.run(*study)
    assert runs["status"].tolist() == ["error"]
    assert "1 of the 2 utterances cannot be used" in runs["status_reason"].item()
    assert reason in runs["status_reason"].item()


def test_where_nothing_is_good_nothing_runs(rows: Any, tmp_path: Path) -> None:
    root, bad = rows
    manifest = written(root, [bad["negative start"][0]], "none.jsonl")
    with pytest.raises(BenchError, match="none of the 3 utterances"):
        bench.run(f"results.root={tmp_path}", "engine=fake", "model=fake", "data=manifest", f"data.path={manifest}")
