"""A run's WER against a plain loop over ``generate``, written here from scratch."""

import csv
from pathlib import Path

import av
import jiwer
import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from whisper_normalizer.english import EnglishTextNormalizer

import bench


@pytest.mark.parametrize("utterances", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_wer_is_that_of_a_plain_loop(utterances: int, tiny_en: Path, speech_dir: Path, tmp_path: Path) -> None:
    manifest = speech_dir / "librispeech_other" / "manifest.csv"
    runs = bench.run(
        "study=plain",
        f"results.root={tmp_path}",
        "data=manifest",
        f"data.path={manifest}",
        f"data.limit={utterances}",
        "decode.merge=pipeline",
    )
    (run,) = runs.to_dict("records")
    assert run["status"] == "ok"

    rows = list(csv.DictReader(manifest.read_text(encoding="utf-8").splitlines()))[:utterances]
    assert run["utterances"] == len(rows) == utterances
    assert abs(100 * run["wer"] - 100 * _loop_wer(tiny_en, manifest.parent, rows)) <= 0.3


def _loop_wer(folder: Path, root: Path, rows: list[dict[str, str]]) -> float:
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = WhisperProcessor.from_pretrained(folder)
    normalize = EnglishTextNormalizer()
    references, hypotheses = [], []
    for row in rows:
        with av.open(str(root / row["path"])) as container:
            (stream,) = container.streams.audio
            assert stream.rate == 16_000
            samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(stream)])
        assert samples.dtype == np.int16
        inputs = processor(samples / 32768.0, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(inputs.input_features, num_beams=1)
        references.append(normalize(row["text"]))
        hypotheses.append(normalize(processor.decode(ids[0], skip_special_tokens=True)))
    return float(jiwer.wer(references, hypotheses))
