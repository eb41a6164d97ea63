from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from bench.assets.architectures import ARCHITECTURES, ensure_architecture
from bench.assets.cache import is_intact
from bench.assets.models import locate
from bench.config import Weights
from bench.errors import ModelError

# As the model hub counts the weights of the published checkpoints; where those hold another head, or only a rounded
# number is at hand, that of the paper (HuBERT: arXiv 2106.07447; WavLM: 2110.13900; Distil-Whisper: 2311.00430).
PARAMETERS = {
    "wav2vec2-base": 94_396_320,
    "wav2vec2-large-lv60": 315_471_520,
    "wav2vec2-demo": 4154912,  # as in bench/assets/wav2vec2_demo/model.safetensors
    "hubert-large": 317e6,
    "wavlm-base-plus": 94.7e6,
    "whisper-tiny": 37_760_640,
    "whisper-base": 72_593_920,
    "whisper-small": 241_734_912,
    "whisper-medium": 763_857_920,
    "whisper-large-v3": 1_543_490_560,
    "whisper-large-v3-turbo": 808_878_080,
    "distil-large-v3": 756e6,
    "moonshine-tiny": 27_092_736,
    "moonshine-base": 61_513_920,
}
pytestmark = pytest.mark.usefixtures("cache")

CTC = ("wav2vec2", "hubert", "wavlm")


def _folder(short_name: str) -> Path:
    return ensure_architecture(f"architecture/{short_name}")


def test_every_architecture_has_its_published_size_known() -> None:
    assert {f"architecture/{name}" for name in PARAMETERS} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_has_as_many_parameters_as_the_published_model(name: str) -> None:
    settings = AutoConfig.from_pretrained(_folder(name))
    kind = AutoModelForCTC if name.startswith(CTC) else AutoModelForSpeechSeq2Seq
    with torch.device("meta"):
        model = kind.from_config(settings)
    assert [type(model).__name__] == settings.architectures
    published = PARAMETERS[name]
    tolerance = 0 if isinstance(published, int) else 0.01 * published
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(published, abs=tolerance, rel=0)


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name.startswith(CTC) and name != "wav2vec2-demo"])
def test_its_tokenizer_spells(name: str) -> None:
    """With the ids that facebook/wav2vec2-base-960h gives these letters."""
    tokenizer = AutoTokenizer.from_pretrained(_folder(name))
    assert tokenizer("HELLO ME").input_ids == [11, 5, 15, 15, 8, 4, 17, 5]
    assert tokenizer.decode([0, 11, 11, 0, 5, 15, 0, 15, 8, 4, 4, 17, 5]) == "HELLO ME"


def test_the_demo_model_spells_with_letters_of_its_own() -> None:
    tokenizer = AutoTokenizer.from_pretrained(_folder("wav2vec2-demo"))
    assert tokenizer("abc z'").input_ids == [6, 7, 8, 4, 31, 5]
    assert tokenizer.decode([0, 6, 6, 0, 6, 4, 4, 7]) == "aa b"


@pytest.mark.parametrize("name", PARAMETERS)
def test_its_extractor_makes_what_the_model_reads(name: str) -> None:
    settings = AutoConfig.from_pretrained(_folder(name))
    extractor = AutoFeatureExtractor.from_pretrained(_folder(name))
    silence = torch.zeros(16_000).numpy()
    inputs = extractor(silence, sampling_rate=16_000, return_tensors="pt")
    if settings.model_type == "whisper":
        assert inputs["input_features"].shape == (1, settings.num_mel_bins, 3000)
    else:
        assert inputs["input_values"].shape == (1, 16_000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Of openai/whisper-*: <|en|>, <|jw|>, <|translate|>, <|transcribe|>, <|startofprev|>, <|notimestamps|>, all.
        ("whisper-tiny", (50259, 50356, 50358, 50359, 50361, 50363, 51865)),
        ("whisper-large-v3", (50259, 50356, 50359, 50360, 50362, 50364, 51866)),
    ],
)
def test_the_tokens_of_whisper(name: str, expected: tuple[int, ...]) -> None:
    generation: Any = GenerationConfig.from_pretrained(_folder(name))
    assert (
        generation.lang_to_id["<|en|>"],
        generation.lang_to_id["<|jw|>"],
        generation.task_to_id["translate"],
        generation.task_to_id["transcribe"],
        generation.prev_sot_token_id,
        generation.no_timestamps_token_id,
        AutoConfig.from_pretrained(_folder(name)).vocab_size,
    ) == expected


def test_the_languages_of_whisper() -> None:
    generation: Any = GenerationConfig.from_pretrained(_folder("whisper-large-v3"))
    assert list(generation.lang_to_id) == [f"<|{code}|>" for code in LANGUAGES]
    assert list(generation.lang_to_id.values()) == list(range(50_259, 50_259 + len(LANGUAGES)))


def test_a_folder_is_made_once_and_mended_when_damaged() -> None:
    found = locate("architecture/whisper-tiny", Weights.random)
    assert is_intact(found.folder)
    (found.folder / "config.json").write_text("{}")
    assert locate("architecture/whisper-tiny", Weights.random) == found
    assert is_intact(found.folder)
    assert locate("architecture/whisper-base", Weights.random).fingerprint != found.fingerprint


def test_an_architecture_has_no_trained_weights() -> None:
    with pytest.raises(ModelError, match=r"add model\.weights=random"):
        locate("architecture/wav2vec2-base", Weights.pretrained)


def test_an_unknown_architecture_is_refused_with_those_there_are() -> None:
    with pytest.raises(ModelError, match=r"use one of architecture/wav2vec2-base, .*architecture/moonshine-base"):
        locate("architecture/wav2vec3", Weights.random)


def test_a_folder_without_weights_serves_random_ones(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    bare = locate(str(tmp_path), Weights.random)
    with pytest.raises(ModelError, match="no safetensors weights"):
        locate(str(tmp_path), Weights.pretrained)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert locate(str(tmp_path), Weights.random) == bare
    assert locate(str(tmp_path), Weights.pretrained).fingerprint != bare.fingerprint


def test_random_weights_need_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"no config\.json"):
        locate(str(tmp_path), Weights.random)


def test_an_n_gram_model_is_part_of_a_trained_one(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = locate(str(tmp_path)).fingerprint
    (tmp_path / "language_model").mkdir()
    (tmp_path / "language_model" / "3gram.arpa").write_text("three words")
    assert locate(str(tmp_path)).fingerprint != before
