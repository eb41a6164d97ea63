"""The texts of a sweep equal those of transformers' own pipeline, word for word, on a long recording."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline

import bench
from bench.data.audio import decode_audio

BATCH = 8


@pytest.fixture(scope="module")
def recognise(tiny_en: Path) -> Any:
    model = WhisperForConditionalGeneration.from_pretrained(tiny_en, dtype=torch.float32)
    processor = WhisperProcessor.from_pretrained(tiny_en)
    return pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
        device="cpu",
    )


def _sweep(study: str, tmp_path: Path, speech_dir: Path, *overrides: str) -> dict[tuple[float, float], str]:
    """Run a sweep over the long recording; returns the hypothesis of each chunk and stride."""
    runs = bench.run(
        "-m",
        f"study={study}",
        f"results.root={tmp_path}",
        "data=manifest",
        f"data.path={speech_dir / 'longform' / 'manifest.csv'}",
        "measure.warmup=0",
        f"decode.batch_size={BATCH}",
        "decode.merge=pipeline",
        *overrides,
    )
    assert set(runs["status"]) == {"ok"}
    both = runs.merge(bench.load_utterances(tmp_path / study), on="run_id")
    return {
        (run["decode.chunk_length_s"], run["decode.stride_length_s"]): run["hypothesis"]
        for run in both.to_dict("records")
    }


# The pipeline warns that chunking a Whisper is experimental, and that a window ended without a time.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("points", [[(30, 5)], pytest.param([(10, 0), (20, 3)], marks=pytest.mark.slow)])
def test_chunk_and_stride_grid(points: list[tuple[int, int]], recognise: Any, speech_dir: Path, tmp_path: Path) -> None:
    combined = "search.space.combine=[" + ",".join(
        f"{{decode.chunk_length_s: {chunk}, decode.stride_length_s: {stride}}}" for chunk, stride in points
    )
    hypotheses = _sweep("plain", tmp_path, speech_dir, f"{combined}]")
    assert set(hypotheses) == set(points)
    samples = _long_recording(speech_dir)
    for (chunk_s, stride_s), ours in hypotheses.items():
        theirs = recognise(
            samples.copy(),
            chunk_length_s=chunk_s,
            stride_length_s=stride_s,
            batch_size=BATCH,
            generate_kwargs={"num_beams": 1},
        )
        assert ours.split() == theirs["text"].split(), f"chunk {chunk_s:g} s, stride {stride_s:g} s"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_timestamps(recognise: Any, speech_dir: Path, tmp_path: Path) -> None:
    hypotheses = _sweep(
        "timed", tmp_path, speech_dir, "decode.chunk_length_s=20", "decode.stride_length_s=3", "decode.timestamps=true"
    )
    theirs = recognise(
        _long_recording(speech_dir),
        chunk_length_s=20,
        stride_length_s=3,
        batch_size=BATCH,
        return_timestamps=True,
        generate_kwargs={"num_beams": 1},
    )
    assert hypotheses[20, 3].split() == theirs["text"].split()


@pytest.mark.filterwarnings("ignore")
def test_beam_search(recognise: Any, speech_dir: Path, tmp_path: Path) -> None:
    """On one short recording: beams multiply the time."""
    manifest = tmp_path / "one.csv"
    first = sorted((speech_dir / "librispeech_other").rglob("*.flac"))[0]
    manifest.write_text(f"path,text\n{first.name},anything\n")
    runs = bench.run(
        "study=beams",
        f"results.root={tmp_path}",
        "data=manifest",
        f"data.path={manifest}",
        f"data.root={first.parent}",
        "decode.num_beams=3",
        "decode.merge=pipeline",
        "measure.warmup=0",
    )
    assert set(runs["status"]) == {"ok"}
    (ours,) = bench.load_utterances(tmp_path / "beams")["hypothesis"]
    theirs = recognise(decode_audio(first, 16_000), generate_kwargs={"num_beams": 3})
    assert ours.split() == theirs["text"].split()


def _long_recording(speech_dir: Path) -> Any:
    (recording,) = (speech_dir / "longform").glob("*.flac")
    return decode_audio(recording, 16_000)
