"""The CTC model that ships: what its card promises, its windows against transformers' pipeline, and what seams cost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer, pipeline

import bench
from bench.assets.models import locate
from bench.assets.phrases import phrase
from bench.config import Config, DataConfig, DataSource, DecodeConfig, Merge, ModelConfig, SyntheticConfig
from bench.data.audio import load_recordings
from bench.data.dataset import load_dataset
from bench.data.sentences import plain
from bench.inference.ctc import CTCEngine
from bench.inference.transcribe import transcribe
from bench.measure.clock import PhaseClock
from bench.records import Samples
from bench.search.compose import compose

NAME = "packaged/wav2vec2-demo"
MOST_MIB = 12


@pytest.fixture(scope="module")
def folder() -> Path:
    return locate(NAME).folder


@pytest.fixture(scope="module")
def speech() -> list[Samples]:
    """Recordings of a minute or so by voices that the model was not trained on."""
    made = SyntheticConfig(voices=["en-us+f4", "en+m2"], rate_wpm=160, sentences=30, per_recording=15, first=200_000)
    data = load_dataset(DataConfig(source=DataSource.synthetic, synthetic=made))
    return [np.array(samples) for samples in load_recordings(data.utterances, 16_000).recordings]


def test_it_is_small_and_in_halves(folder: Path) -> None:
    weights = folder / "model.safetensors"
    assert weights.stat().st_size <= MOST_MIB * 2**20
    length = int.from_bytes(weights.read_bytes()[:8], "little")
    header = json.loads(weights.read_bytes()[8 : 8 + length])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}
    assert "WER" in (folder / "README.md").read_text(encoding="utf-8")


def test_it_reads_unseen_sentences_by_unseen_voices(tmp_path: Path) -> None:
    study = compose(["experiment=train_demo_ctc_more", f"model.name={NAME}"])
    assert study is not None
    training, test = study.config.data.synthetic, study.config.finetune.test
    assert not set(training.voices) & set(test.voices)
    voices = f"[{','.join(test.voices)}]"
    runs = bench.run(
        *("model=wav2vec2_demo", "data=synthetic", f"data.synthetic.voices={voices}"),
        *(f"data.synthetic.sentences={test.limit}", f"data.synthetic.first={training.first + training.sentences}"),
        *(f"data.synthetic.rate_wpm={training.rate_wpm}", f"data.synthetic.rate_spread={training.rate_spread}"),
        *("decode.stride_length_s=0", "measure.warmup=0", "threads=1", "study=demo", f"results.root={tmp_path}"),
    )
    assert runs["utterances"].item() >= 200
    assert runs["wer"].item() <= 0.25  # 22.7 % as the card has it
    learnt = {plain(phrase(number)) for number in range(training.first + training.sentences)}
    said = bench.load_utterances(tmp_path / "demo")["reference"]
    assert not {plain(text) for text in said} & learnt


@pytest.mark.parametrize(("chunk_s", "stride_s"), [(2.0, 0.4), (5.0, 1.0), (10.0, 0.0), (20.0, 3.0)])
def test_texts_are_those_of_the_pipeline(folder: Path, speech: list[Samples], chunk_s: float, stride_s: float) -> None:
    decode = DecodeConfig(chunk_length_s=chunk_s, stride_length_s=stride_s, merge=Merge.pipeline, batch_size=1)
    engine = CTCEngine(Config(model=ModelConfig(name=NAME), decode=decode), str(folder))
    recognise: Any = pipeline(
        "automatic-speech-recognition",
        model=AutoModelForCTC.from_pretrained(folder, dtype=torch.float32),
        feature_extractor=AutoFeatureExtractor.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
    )
    ours = transcribe(engine, speech, decode, 1, PhaseClock())
    theirs = [recognise(one.copy(), chunk_length_s=chunk_s, stride_length_s=stride_s)["text"] for one in speech]
    assert [one.text.split() for one in ours] == [text.split() for text in theirs]
    assert all(len(one.text.split()) > 20 for one in ours)


def test_short_chunks_without_a_stride_cost_words_and_a_stride_mends_them(tmp_path: Path) -> None:
    runs = bench.run(
        *("-m", "model=wav2vec2_demo", "data=synthetic", "data.synthetic.voices=[en-us+f4,en+m2]"),
        *("data.synthetic.sentences=40", "data.synthetic.per_recording=20", "data.synthetic.first=100000"),
        *("decode.merge=pipeline", "decode.chunk_length_s=2,20", "decode.stride_length_s=0,0.5"),
        *("measure.warmup=0", "threads=1", "study=seams", f"results.root={tmp_path}", f"results.reports={tmp_path}"),
    )
    wer = runs.set_index(["decode.chunk_length_s", "decode.stride_length_s"])["wer"]
    assert wer[2.0, 0.0] > wer[20.0, 0.0] + 0.05
    assert wer[2.0, 0.5] < wer[2.0, 0.0] - 0.05
