"""Recordings decoded by one run are mapped by the next; nothing of one is held in a process's own memory."""

import errno
import os
import subprocess
import sys
import textwrap
import time
import wave
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.assets.cache import cache_root
from bench.data import audio_cache
from bench.data.audio import LoadedAudio, load_recordings
from bench.errors import AssetError, AudioError
from bench.records import Samples, Utterance

RATE_HZ = 16_000


@pytest.fixture(autouse=True)
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the entries, in a cache that is still empty."""
    monkeypatch.setenv("ASR_SWEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "audio"


def noise(seconds: float, rate_hz: int = RATE_HZ, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-9_000, 9_000, round(seconds * rate_hz), dtype=np.int16)


def write_pcm(path: Path, pcm: NDArray[np.int16], rate_hz: int = RATE_HZ) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def load(*paths: Path) -> LoadedAudio:
    return load_recordings([Utterance(path.name, path, "") for path in paths], RATE_HZ)


def only(loaded: LoadedAudio) -> Samples:
    (samples,) = loaded.recordings
    assert not isinstance(samples, AudioError)
    return samples


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def add_constant(name: str, seconds: float, used_at_s: float) -> int:
    """Put an entry into the cache that was last used at a time; returns its size."""
    audio_cache.add(name, lambda: [np.zeros(round(seconds * RATE_HZ), np.float32)])
    entry = cache_root() / "audio" / name
    os.utime(entry, (used_at_s, used_at_s))
    return entry.stat().st_size


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@settings(max_examples=20, deadline=None)
@given(length=st.integers(12, 60_000), seed=st.integers(0, 99))
def test_resampling_in_blocks_equals_resampling_at_once(rate_hz: int, length: int, seed: int) -> None:
    pcm = noise(length / rate_hz, rate_hz, seed)
    with TemporaryDirectory() as folder:
        found = only(load(write_pcm(Path(folder) / "a.wav", pcm, rate_hz)))
    at_once = soxr.resample((pcm / 32_768).astype(np.float32), rate_hz, RATE_HZ, quality="VHQ")
    assert len(found) == len(at_once)
    assert np.abs(found - at_once).max() < 1e-6


@pytest.mark.parametrize("rate_hz", [8_000, RATE_HZ])
def test_a_second_load_gives_the_same_samples_without_decoding(tmp_path: Path, rate_hz: int) -> None:
    path = write_pcm(tmp_path / "a.wav", noise(1, rate_hz), rate_hz)
    first, second = load(path), load(path)
    assert (first.decoded, first.from_cache) == (1, 0)
    assert (second.decoded, second.from_cache) == (0, 1)
    assert only(first).tolist() == only(second).tolist()
    assert only(second).dtype == np.float32


def test_each_file_is_counted_once_and_an_unusable_one_not_at_all(tmp_path: Path, entries: Path) -> None:
    one, two = (write_pcm(tmp_path / f"{seed}.wav", noise(1, seed=seed)) for seed in (1, 2))
    text = tmp_path / "text.wav"
    text.write_text("This is no recording.\n" * 100)
    load(one)
    for _ in range(2):  # an error is no entry: the file may be mended
        loaded = load(one, two, one, text, tmp_path / "no.wav", text, two)
        assert [isinstance(each, AudioError) for each in loaded.recordings] == [False] * 3 + [True] * 3 + [False]
        assert loaded.decoded + loaded.from_cache == 2
        assert len(names(entries)) == 2


def test_a_file_that_turns_out_broken_halfway_leaves_nothing(tmp_path: Path, entries: Path) -> None:
    whole = tmp_path / "whole.flac"
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("flac", rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(noise(10)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    cut = tmp_path / "cut.flac"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert isinstance(load(cut).recordings[0], AudioError)
    assert names(entries) == []


def test_other_content_under_the_same_name_is_decoded(tmp_path: Path) -> None:
    path = write_pcm(tmp_path / "a.wav", noise(1, seed=1))
    before = only(load(path))
    status = path.stat()
    write_pcm(path, noise(1, seed=2))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # of the same size and age, too
    loaded = load(path)
    assert loaded.decoded == 1
    assert only(loaded).tolist() == (noise(1, seed=2) / 32_768).tolist()
    assert before.tolist() == (noise(1, seed=1) / 32_768).tolist()


def test_the_same_content_under_another_name_is_not(tmp_path: Path) -> None:
    load(write_pcm(tmp_path / "a.wav", noise(1)))
    assert load(write_pcm(tmp_path / "b.wav", noise(1))).decoded == 0


def test_each_rate_has_samples_of_its_own(tmp_path: Path) -> None:
    utterance = Utterance("a", write_pcm(tmp_path / "a.wav", noise(1)), "")
    for rate_hz in (8_000, RATE_HZ, 8_000):
        assert len(only(load_recordings([utterance], rate_hz))) == rate_hz


def test_a_file_that_changes_while_it_is_decoded_is_not_kept_under_its_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: Path
) -> None:
    path = write_pcm(tmp_path / "a.wav", noise(1, seed=1))
    find = audio_cache.find

    def find_while_somebody_writes(name: str) -> Samples | None:
        write_pcm(path, noise(1, seed=2))
        return find(name)

    monkeypatch.setattr(audio_cache, "find", find_while_somebody_writes)
    (error,) = load(path).recordings
    assert "changed while it was decoded" in str(error)
    assert names(entries) == []


@pytest.mark.parametrize("kept_bytes", [0, 3, 8, 9, 1_000, -1, -4, -8])
@pytest.mark.parametrize("silent", [False, True])
def test_a_truncated_entry_is_noticed_and_rebuilt(tmp_path: Path, entries: Path, kept_bytes: int, silent: bool) -> None:
    pcm = np.zeros(RATE_HZ, np.int16) if silent else noise(1)
    path = write_pcm(tmp_path / "a.wav", pcm)
    load(path)
    (entry,) = entries.iterdir()
    os.truncate(entry, kept_bytes if kept_bytes >= 0 else entry.stat().st_size + kept_bytes)
    loaded = load(path)
    assert loaded.decoded == 1
    assert only(loaded).tolist() == (pcm / 32_768).tolist()
    assert load(path).decoded == 0


def test_an_entry_that_grew_is_noticed(tmp_path: Path, entries: Path) -> None:
    path = write_pcm(tmp_path / "a.wav", noise(1))
    load(path)
    (entry,) = entries.iterdir()
    entry.write_bytes(entry.read_bytes() + bytes(4))
    assert load(path).decoded == 1


def test_samples_cannot_be_written_to_and_spans_are_views(tmp_path: Path) -> None:
    path = write_pcm(tmp_path / "a.wav", noise(1))
    utterances = [Utterance("whole", path, ""), Utterance("span", path, "", None, 0.25, 0.5)]
    for _ in range(2):
        whole, span = load_recordings(utterances, RATE_HZ).recordings
        assert not isinstance(whole, AudioError)
        assert not isinstance(span, AudioError)
        assert np.shares_memory(whole, span)
        assert span.tolist() == whole[4_000:12_000].tolist()
        for samples in (whole, span):
            with pytest.raises(ValueError, match="read-only"):
                samples[0] = 0


def test_what_was_loaded_outlives_its_entry(tmp_path: Path, entries: Path) -> None:
    path = write_pcm(tmp_path / "a.wav", noise(1))
    samples = only(load(path))
    (entry,) = entries.iterdir()
    entry.unlink()
    assert samples.tolist() == (noise(1) / 32_768).tolist()
    assert load(path).decoded == 1


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="needs /dev/fd to count file descriptors")
def test_recordings_hold_no_file_descriptors(tmp_path: Path) -> None:
    """LibriSpeech's test-other has 2939 files, and a process may open 1024."""
    paths = [write_pcm(tmp_path / f"{seed}.wav", noise(0.01, seed=seed)) for seed in range(20)]
    before = len(names(Path("/dev/fd")))
    decoded, cached = load(*paths), load(*paths)
    assert (decoded.decoded, cached.from_cache) == (20, 20)
    assert len(names(Path("/dev/fd"))) == before


@pytest.mark.parametrize("obstacle", ["a file", "read-only", "full"])
def test_a_cache_that_cannot_be_written_fails_no_run(
    tmp_path: Path, entries: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    path = write_pcm(tmp_path / "a.wav", noise(1))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    if obstacle == "a file":
        entries.parent.write_text("in the way")
    elif obstacle == "read-only":
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
        entries.mkdir(parents=True)
        entries.chmod(0o500)
    else:
        monkeypatch.setattr(os, "fsync", fail_for_want_of_room)
    loaded = load(path, path)
    assert (loaded.decoded, loaded.from_cache) == (1, 0)
    assert [samples.tolist() for samples in loaded.recordings if not isinstance(samples, AudioError)] == [
        (noise(1) / 32_768).tolist()
    ] * 2
    assert names(temporary) == []
    assert not entries.is_dir() or names(entries) == []


def fail_for_want_of_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_nowhere_to_write_names_the_cure(tmp_path: Path, entries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries.parent.write_text("in the way")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(AssetError, match="ASR_SWEEP_CACHE") as caught:
        load(write_pcm(tmp_path / "a.wav", noise(1)))
    assert str(entries) in str(caught.value)
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_the_least_recently_used_entries_make_room(
    tmp_path: Path, entries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    size = {name: add_constant(name, 1, now - age_s) for name, age_s in [("b", 300), ("a", 200), ("c", 100)]}["a"]
    path = write_pcm(tmp_path / "a.wav", noise(1))
    monkeypatch.setattr(audio_cache, "LIMIT_BYTES", 3 * size)
    load(path)
    (written,) = set(names(entries)) - {"a", "c"}
    # Use makes an entry young again: next to go is c, the oldest after a.
    assert audio_cache.find("a") is not None
    load(write_pcm(tmp_path / "b.wav", noise(1, seed=1)))
    assert {"a", written} < set(names(entries))
    assert len(names(entries)) == 3


def test_what_a_load_has_written_stays_even_if_it_is_too_much(
    tmp_path: Path, entries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_constant("old", 1, time.time() - 100)
    monkeypatch.setattr(audio_cache, "LIMIT_BYTES", 1)
    paths = [write_pcm(tmp_path / f"{seed}.wav", noise(1, seed=seed)) for seed in range(3)]
    assert load(*paths).decoded == 3
    assert "old" not in names(entries)
    assert load(*paths).from_cache == 3


def test_only_what_a_writer_has_long_left_is_cleared_away(tmp_path: Path, entries: Path) -> None:
    entries.mkdir(parents=True)
    old, young = entries / ".1.partial", entries / ".2.partial"
    for leftover in (old, young):
        leftover.write_bytes(bytes(100))
    os.utime(old, (time.time() - 2 * 3_600,) * 2)
    load(write_pcm(tmp_path / "a.wav", noise(1)))
    assert not old.exists()
    assert young.exists()


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_want_the_same_entry_at_once_all_get_it_whole(tmp_path: Path, entries: Path) -> None:
    pcm = noise(60, 8_000)
    path = write_pcm(tmp_path / "a.wav", pcm, 8_000)
    script = """
        import sys
        from pathlib import Path
        from bench.data.audio import decode_audio
        from bench.assets.fingerprint import of_parts
        print("ready", flush=True)
        sys.stdin.readline()
        print(of_parts([decode_audio(Path(sys.argv[1]), 16_000).tobytes().hex()]))
    """
    processes = [start(script, path) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = {process.communicate("go\n", timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(outputs) == 1
    at_once = soxr.resample((pcm / 32_768).astype(np.float32), 8_000, RATE_HZ, quality="VHQ")
    loaded = load(path)
    assert loaded.from_cache == 1
    assert np.abs(only(loaded) - at_once).max() < 1e-6
    assert len(names(entries)) == 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to tell anonymous memory")
def test_memory_does_not_grow_with_the_recording(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    """An hour at 16 kHz is 220 MiB; the process tells its peaks of anonymous memory, decoding and from the cache."""
    script = """
        import re, sys, threading
        from pathlib import Path
        from bench.data.audio import load_recordings
        from bench.records import Utterance

        def anonymous_kb():
            return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

        def peak_kb_while(action):
            over, seen = threading.Event(), [anonymous_kb()]
            def watch():
                while not over.wait(0.005):
                    seen.append(anonymous_kb())
            watcher = threading.Thread(target=watch)
            watcher.start()
            result = action()
            over.set()
            watcher.join()
            return max(*seen, anonymous_kb()), result

        def load(path):
            loaded = load_recordings([Utterance("a", path, ""), Utterance("b", path, "", None, 1.0, 60.0)], 16_000)
            whole = loaded.recordings[0]
            assert max(abs(whole[start : start + 480_000]).max() for start in range(0, len(whole), 480_000)) > 0.1
            return loaded

        for path in map(Path, sys.argv[1:]):
            peak_kb, loaded = peak_kb_while(lambda: load(path))
            print(len(loaded.recordings[0]), loaded.decoded, peak_kb)
    """
    short, hour = (write_wav(tmp_path / f"{minutes}.wav", 60 * minutes, rate_hz=8_000) for minutes in (2, 60))
    output, _ = start(script, short, short, hour, hour).communicate(timeout=100)
    lengths, decoded, peaks_kb = zip(*(map(int, line.split()) for line in output.splitlines()), strict=True)
    assert lengths == (120 * RATE_HZ,) * 2 + (3_600 * RATE_HZ,) * 2
    assert decoded == (1, 0, 1, 0)
    assert (max(peaks_kb[2:]) - max(peaks_kb[:2])) / 1024 < 60, peaks_kb
