"""The same real speech in every container and codec: the text differs only where the codec changed the sound."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from jiwer import wer

import bench
from bench.data.audio import decode_audio

RATE_HZ = 16_000
CLIPS = 1
LOSSLESS = ["clip.wav", "clip.flac", "clip.mkv"]
LOSSY = ["clip.mp3", "clip.webm", "clip.mp4", "clip.m4a", "clip.ogg"]


def plain_copy(source: Path, target: Path) -> Path:
    """Decode by FFmpeg alone and write what it gives as floating-point WAV of the same rate."""
    with av.open(str(source)) as compressed, av.open(str(target), "w") as plain:
        rate_hz = compressed.streams.audio[0].rate
        stream = plain.add_stream("pcm_f32le", rate=rate_hz, layout="mono")
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
        for frame in [*compressed.decode(audio=0), None]:
            for part in resampler.resample(frame):
                part.pts = None
                plain.mux(stream.encode(part))
        plain.mux(stream.encode(None))
    return target


@pytest.fixture(scope="module")
def said(
    tmp_path_factory: pytest.TempPathFactory, speech_dir: Path, encode: Callable[..., Path]
) -> dict[tuple[int, str], str]:
    """What whisper-tiny.en makes of each clip in each form."""
    root = tmp_path_factory.mktemp("codecs")
    rows = []
    with (speech_dir / "librispeech_other" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        clips = sorted(csv.DictReader(file), key=lambda row: float(row["duration_s"]))[40 : 40 + CLIPS]
    for number, clip in enumerate(clips):
        source = speech_dir / "librispeech_other" / clip["path"]
        samples = np.round(decode_audio(source, RATE_HZ) * 32_768).clip(-32_768, 32_767).astype(np.int16)
        folder = root / str(number)
        folder.mkdir()
        for name in (*LOSSLESS, *LOSSY):
            path = encode(folder / name, samples, RATE_HZ)
            plain_copy(path, folder / f"plain-{name}.wav")
        encode(folder / "stereo-44100.flac", samples, RATE_HZ, to_hz=44_100, channels=2)
        encode(folder / "telephone-8000.wav", samples, RATE_HZ, to_hz=8_000)
        rows += [{"path": f"{number}/{path.name}", "text": clip["text"]} for path in sorted(folder.iterdir())]
    manifest = root / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    runs = bench.run(
        "study=codecs", f"results.root={root}", "data=manifest", f"data.path={manifest}", "measure.warmup=0",
        "decode.stride_length_s=0", "threads=1",
    )  # fmt: skip
    assert runs["status"].tolist() == ["ok"]
    utterances = bench.load_utterances(root / "codecs")
    assert utterances["error"].isna().all()
    places = [tuple(name.split("/")) for name in utterances["utterance_id"]]
    return {(int(clip), name): text for (clip, name), text in zip(places, utterances["hypothesis"], strict=True)}


@pytest.mark.parametrize("name", LOSSLESS[1:])
def test_without_loss_the_text_is_the_same(said: dict[tuple[int, str], str], name: str) -> None:
    for clip in range(CLIPS):
        assert said[clip, name] == said[clip, "clip.wav"]


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_the_container_changes_nothing_beyond_what_its_codec_did(said: dict[tuple[int, str], str], name: str) -> None:
    for clip in range(CLIPS):
        assert said[clip, name] == said[clip, f"plain-{name}.wav"]


@pytest.mark.parametrize("name", [*LOSSY, "stereo-44100.flac", "telephone-8000.wav"])
def test_what_a_codec_or_rate_costs_is_little(said: dict[tuple[int, str], str], name: str) -> None:
    clean = [said[clip, "clip.wav"] for clip in range(CLIPS)]
    assert wer(clean, [said[clip, name] for clip in range(CLIPS)]) <= 0.25
