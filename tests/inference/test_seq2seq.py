"""Speech-to-text models other than Whisper against transformers' own pipeline, on tiny random ones that say much."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoFeatureExtractor,
    AutoModelForSpeechSeq2Seq,
    AutoTokenizer,
    GenerationConfig,
    MoonshineConfig,
    PreTrainedTokenizerFast,
    Speech2TextConfig,
    Speech2TextFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    pipeline,
)

from bench.config import Attention, Config, DecodeConfig, Merge, ModelConfig, Strategy, Weights
from bench.errors import BenchError, ConfigError, ImpossiblePoint
from bench.inference.seq2seq import Seq2SeqEngine
from bench.inference.transcribe import transcribe
from bench.measure.clock import PhaseClock
from bench.records import Samples, Transcript, Window
from tests.inference.ctc_folders import RATE_HZ, babble

WORDS = ("<unk>", "<s>", "</s>", *(f"{first}{second}" for first in "bdfgkl" for second in ("ay", "o", "ee", "oo")))
TOKENS = {"bos_token_id": 1, "decoder_start_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
MOST = 16


def _moonshine() -> Any:
    return MoonshineConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=2,
        encoder_num_attention_heads=4,
        decoder_num_attention_heads=4,
        initializer_range=0.5,
        tie_word_embeddings=False,
        **TOKENS,
    )


def _speech2text() -> Any:
    return Speech2TextConfig(
        vocab_size=len(WORDS),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        conv_channels=32,
        input_feat_per_channel=20,
        init_std=0.5,
        tie_word_embeddings=False,
        **TOKENS,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def save(family: str) -> Path:
        if family in made:
            return made[family]
        path = made[family] = tmp_path_factory.mktemp(family)
        torch.manual_seed(1)
        model = AutoModelForSpeechSeq2Seq.from_config(_moonshine() if family == "moonshine" else _speech2text())
        model.generation_config = GenerationConfig(max_length=MOST, **TOKENS)
        extractor = (
            Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
            if family == "moonshine"
            else Speech2TextFeatureExtractor(feature_size=20, num_mel_bins=20)
        )
        words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
        )
        for part in (model, extractor, tokenizer):
            part.save_pretrained(path)
        return path

    return save


@pytest.fixture(scope="module")
def audio() -> Samples:
    samples = babble(7.3)
    samples.setflags(write=False)
    return samples


def _config(weights: Weights = Weights.pretrained, **decode: Any) -> Config:
    return Config(
        model=ModelConfig(name="tiny", weights=weights, attention=Attention.eager),
        decode=replace(DecodeConfig(merge=Merge.pipeline), **decode),
    )


def _transcribed(folder: Path, recordings: list[Samples], batch_size: int, **decode: Any) -> list[Transcript]:
    config = _config(**decode)
    return transcribe(Seq2SeqEngine(config, str(folder)), recordings, config.decode, batch_size, PhaseClock())


@pytest.mark.filterwarnings("ignore")  # the pipeline warns that chunking is experimental
@pytest.mark.parametrize("family", ["moonshine", "speech2text"])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_texts_are_those_of_the_pipeline(
    family: str, num_beams: int, folder: Callable[[str], Path], audio: Samples
) -> None:
    path = folder(family)
    recognise = pipeline(
        "automatic-speech-recognition",
        model=AutoModelForSpeechSeq2Seq.from_pretrained(path, dtype=torch.float32),
        tokenizer=AutoTokenizer.from_pretrained(path),
        feature_extractor=AutoFeatureExtractor.from_pretrained(path),
        device="cpu",
    )
    assert recognise.type == "seq2seq"
    for chunk_s, stride_s in [(2.0, 0.0), (2.0, 0.5), (30.0, 5.0)]:
        (ours,) = _transcribed(path, [audio], 2, chunk_length_s=chunk_s, stride_length_s=stride_s, num_beams=num_beams)
        theirs = recognise(
            audio.copy(),
            chunk_length_s=chunk_s,
            stride_length_s=stride_s,
            generate_kwargs={"num_beams": num_beams, "max_new_tokens": MOST - 1},
        )["text"]
        assert ours.text == theirs, f"chunk {chunk_s:g} s, stride {stride_s:g} s"
        assert [word.text for word in ours.words] == ours.text.split()
    (ours,) = _transcribed(path, [audio], 2, chunk_length_s=1.0, stride_length_s=0.0, num_beams=num_beams)
    assert len(set(ours.text.split())) >= 5


@pytest.mark.parametrize("family", ["moonshine", "speech2text"])
def test_batches_change_nothing(family: str, folder: Callable[[str], Path], audio: Samples) -> None:
    recordings = [audio[:25_000], audio[20_000:], audio[50_000:59_000], audio[60_000:61_600]]
    options = {"chunk_length_s": 1.0, "stride_length_s": 0.2}
    alone, together = (_transcribed(folder(family), recordings, size, **options) for size in (1, 5))
    assert together == alone
    assert len({each.text for each in alone}) == len(recordings)


@pytest.mark.parametrize("family", ["moonshine", "speech2text"])
@pytest.mark.parametrize("samples", [1, 100, 400, 900, 1600])
def test_a_window_may_be_short(family: str, samples: int, folder: Callable[[str], Path], audio: Samples) -> None:
    (transcript,) = _transcribed(folder(family), [audio[:samples]], 1)
    assert transcript.windows == (Window(0, samples, 0, 0),)


def test_windows_are_joined_by_what_both_say(folder: Callable[[str], Path]) -> None:
    """Ten words, one a second; the windows share the seconds from 4 to 6."""
    path = folder("moonshine")
    windows = [Window(0, 6 * RATE_HZ, 0, RATE_HZ), Window(4 * RATE_HZ, 10 * RATE_HZ, RATE_HZ, 0)]
    emissions = [[1, *range(3, 9), 2], [1, *range(7, 13), 2, 2]]
    aligned = Seq2SeqEngine(_config(merge=Merge.aligned), str(path)).join(emissions, windows)
    assert aligned.text.split() == list(WORDS[3:13])
    assert [word.text for word in aligned.words] == list(WORDS[3:13])
    assert {word.window for word in aligned.words} == {0, 1}
    doubled = Seq2SeqEngine(_config(), str(path)).join(emissions, windows)
    assert doubled.text.split() == [*WORDS[3:9], *WORDS[7:13]]


@pytest.mark.parametrize("family", ["moonshine", "speech2text"])
@pytest.mark.parametrize("num_beams", [1, 2])
def test_random_weights_say_as_much_as_people(family: str, num_beams: int, folder: Callable[[str], Path]) -> None:
    engine = Seq2SeqEngine(_config(Weights.random, num_beams=num_beams), str(folder(family)))
    emissions = engine.decode(engine.features([babble(3.0), babble(3.0, seed=1)]), PhaseClock())
    assert [len(emission) for emission in emissions] == [10, 10]  # three a second, after the token that starts a text
    transcript = engine.join(emissions[:1], [Window(0, 3 * RATE_HZ, 0, 0)])
    assert (transcript.text, transcript.words) == ("", ())


@pytest.mark.parametrize(
    ("setting", "error", "cure"),
    [
        ({"timestamps": True}, ConfigError, "use decode.timestamps=false"),
        ({"language": "en"}, ConfigError, "use decode.language=null"),
        ({"task": "transcribe"}, ConfigError, "use decode.task=null"),
        ({"temperature_fallback": True}, ConfigError, "use decode.temperature_fallback=false"),
        ({"strategy": Strategy.sequential}, ImpossiblePoint, "use decode.strategy=chunked or"),
    ],
)
def test_what_is_whispers_own_is_refused(
    setting: dict[str, Any], error: type[BenchError], cure: str, folder: Callable[[str], Path]
) -> None:
    with pytest.raises(error, match=cure):
        Seq2SeqEngine(_config(**setting), str(folder("moonshine")))


def test_attention_that_a_family_lacks_is_refused(folder: Callable[[str], Path]) -> None:
    config = _config()
    config = replace(config, model=replace(config.model, attention=Attention.sdpa))
    with pytest.raises(ConfigError, match=r"use model\.attention=eager"):
        Seq2SeqEngine(config, str(folder("speech2text")))
