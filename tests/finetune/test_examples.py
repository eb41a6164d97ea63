"""Labels and inputs as the model's own library would make them, whatever people write."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from bench.config import AugmentConfig
from bench.errors import DataError, ModelError
from bench.finetune.examples import IGNORED, Batches, Example, Examples, ctc_labels, seq2seq_labels, set_up
from bench.records import Samples

RATE_HZ = 16_000
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "|"]
SMALL = [*SPECIAL, "'", *"abcdefghijklmnopqrstuvwxyz"]
CAPITALS = [*SPECIAL, "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]


def spell(text: str, letters: list[str], folder: Path) -> str:
    """The labels of a text, read back letter by letter."""
    (folder / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    labels = ctc_labels(text, Wav2Vec2CTCTokenizer(str(folder / "vocab.json")))
    return "".join(letters[label] for label in labels)


@pytest.mark.parametrize(
    ("text", "letters", "spelled"),
    [
        ("Don't stop, now!", SMALL, "don't|stop|now"),
        ("Don't stop, now!", CAPITALS, "DON'T|STOP|NOW"),
        ("  two \t blanks\n", SMALL, "two|blanks"),
        ("It\u2019s \u2018so\u2019", SMALL, "it's|'so'"),  # typographic apostrophes
        ("It`s it\u00b4s it\u02bcs", SMALL, "it's|it's|it's"),
        ("caf\u00e9", SMALL, "cafe"),
        ("caf\u00e9", [*SMALL, "\u00e9"], "caf\u00e9"),
        ("CAF\u00c9", [*SMALL, "\u00e9"], "caf\u00e9"),
        ("re\u0301sume\u0301s", SMALL, "resumes"),  # as some systems write it: the accent follows its letter
        ("re\u0301sume\u0301s", [*SMALL, "\u00e9"], "r\u00e9sum\u00e9s"),
        ("re\u0301s", [*SMALL, "\u0301"], "re\u0301s"),
        ("stra\u00dfe", CAPITALS, "STRASSE"),
        ("\ufb01nd", SMALL, "find"),  # a ligature
        ("Mixed Case", [*SMALL, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"], "Mixed|Case"),
        ("\u041f\u0440\u0438", [*SPECIAL, *"\u043f\u0440\u0438"], "\u043f\u0440\u0438"),  # Cyrillic
        ("a -- b!", SMALL, "a|b"),
        ("-- !", SMALL, ""),
        ("", SMALL, ""),
    ],
)
def test_a_ctc_model_gets_the_letters_it_has(text: str, letters: list[str], spelled: str, tmp_path: Path) -> None:
    assert spell(text, letters, tmp_path) == spelled


@pytest.mark.parametrize(("text", "mark"), [("42 ways", "4"), ("c\u4f60d", "\u4f60"), ("\u041f\u0440\u0438", "\u041f")])
def test_what_is_said_and_cannot_be_spelled_is_refused(text: str, mark: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"with '{mark}', which the model has no letters for"):
        spell(text, SMALL, tmp_path)


# Numbers of tokens as OpenAI's whisper/tokenizer.py has them.
ENGLISH = {"end": 50256, "start": 50257, "no_times": 50362}
MULTILINGUAL = {"end": 50257, "start": 50258, "en": 50259, "cy": 50297, "translate": 50358, "transcribe": 50359}


def whisper_settings(multilingual: bool) -> Any:
    return type("Settings", (), {"is_multilingual": multilingual})()


def test_english_whisper_learns_what_it_is_to_write(tiny_en: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_en)
    set_up(tokenizer, whisper_settings(False), None, None, "tiny")
    text = tokenizer("stop it now", add_special_tokens=False).input_ids
    assert tokenizer.decode(text) == "stop it now"
    labels = seq2seq_labels(" stop it now ", tokenizer, ENGLISH["start"])
    assert labels == (ENGLISH["no_times"], *text, ENGLISH["end"])
    # The recipe of transformers' documentation has the tokenizer write all, and takes the start away again.
    recipe = tokenizer("stop it now").input_ids
    assert [ENGLISH["start"], *labels] == recipe


@pytest.mark.parametrize(("language", "task"), [("cy", None), ("en", "transcribe"), ("cy", "translate")])
def test_multilingual_whisper_learns_its_language_and_task(base: Path, language: str, task: str | None) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    set_up(tokenizer, whisper_settings(True), language, task, "base")
    labels = seq2seq_labels("nos da", tokenizer, MULTILINGUAL["start"])
    text = tokenizer("nos da", add_special_tokens=False).input_ids
    opening = (MULTILINGUAL[language], MULTILINGUAL[task or "transcribe"], 50363)
    assert labels == (*opening, *text, MULTILINGUAL["end"])


def test_a_multilingual_model_must_be_told_its_language() -> None:
    with pytest.raises(ModelError, match=r"^base is multilingual.* add decode\.language=CODE$"):
        set_up(None, whisper_settings(True), None, None, "base")


def test_the_decoder_starts_once_and_ends(tiny_en: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_en)
    labels = seq2seq_labels("more", tokenizer, ENGLISH["start"])
    model = WhisperForConditionalGeneration(
        WhisperConfig.from_pretrained(
            tiny_en, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        )
    )  # fmt: skip
    fed: list[list[int]] = []
    model.model.decoder.register_forward_pre_hook(
        lambda module, given, named: fed.append(named["input_ids"][0].tolist()), with_kwargs=True
    )
    batch = Batches(WhisperFeatureExtractor.from_pretrained(tiny_en), "input_features")(
        [Example(noise(1.0), labels), Example(noise(1.0), (*labels, *labels))]
    )
    assert torch.isfinite(model(**batch).loss)
    # Each token is to be written after all before it; what pads the shorter of the two counts for nothing.
    assert fed[0][: len(labels)] == [ENGLISH["start"], *labels[:-1]]
    assert (batch["labels"][0, len(labels) :] == -100).all()
    assert batch["labels"].shape == (2, 2 * len(labels))


def noise(seconds: float, seed: int = 0) -> Samples:
    samples: Samples = (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).astype(np.float32)
    samples.setflags(write=False)  # as what is mapped from a file
    return samples


@pytest.mark.parametrize("masked", [True, False])
def test_batches_of_waveforms_are_normalised_and_padded(masked: bool) -> None:
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=masked)
    long, short = noise(0.5, 1) + np.float32(0.3), noise(0.2, 2)
    batch = Batches(extractor, "input_values")([Example(short, (1, 2, 3)), Example(long, (4,))])
    assert set(batch) == {"input_values", "labels"} | ({"attention_mask"} if masked else set())
    assert batch["labels"].tolist() == [[1, 2, 3], [4, IGNORED, IGNORED]]
    for row, samples in zip(batch["input_values"].numpy(), (short, long), strict=True):
        # Zero mean and unit variance of what is said, whatever it is padded to.
        wanted = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        np.testing.assert_allclose(row[: len(samples)], wanted, atol=1e-4)
        assert (row[len(samples) :] == 0).all()
    if masked:
        assert batch["attention_mask"].sum(dim=1).tolist() == [len(short), len(long)]


def test_batches_of_spectrograms_are_what_the_extractor_makes_of_each(tiny_en: Path) -> None:
    extractor = WhisperFeatureExtractor.from_pretrained(tiny_en)
    clips = [noise(1.0, 1), noise(2.5, 2)]
    batch = Batches(extractor, "input_features")([Example(clip, (1,)) for clip in clips])
    assert batch["input_features"].shape == (2, 80, 3000)
    for row, clip in zip(batch["input_features"], clips, strict=True):
        alone = extractor(clip, sampling_rate=RATE_HZ, return_tensors="pt").input_features[0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)
    assert batch["attention_mask"].sum(dim=1).tolist() == [100, 250]  # frames of 10 ms


def test_changes_are_new_each_time_and_the_same_each_run() -> None:
    audio = [Example(noise(0.3, number), (number,)) for number in range(3)]

    def passes(seed: int, augment: AugmentConfig = AugmentConfig(noise=1.0, speed=0.1)) -> list[list[Example]]:  # noqa: B008
        data = Examples(audio, RATE_HZ, augment, seed)
        return [[data[number] for number in range(len(data))] for _ in range(2)]

    def same(ours: Example, theirs: Example) -> bool:
        return ours.labels == theirs.labels and np.array_equal(ours.samples, theirs.samples)

    (first, second), (again, _), (other, _) = passes(7), passes(7), passes(8)
    assert all(map(same, first, again))
    assert not any(map(same, first, second))
    assert not any(map(same, first, other))
    (plain, later) = passes(7, AugmentConfig())
    assert all(map(same, plain, audio))
    assert all(map(same, later, audio))
    data = Examples(audio, RATE_HZ, AugmentConfig(speed=0.1), 0)
    data[0]
    assert data.lengths == [4800] * 3  # as they are: batches are made before anything changes
