"""What is frozen, and that a model is written as it is."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import (
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from bench.config import AugmentConfig, DType, FinetuneConfig, FreezeConfig, LoraConfig, Weights
from bench.errors import ConfigError
from bench.finetune.model import Learner, freeze
from tests.finetune import tiny

# peft asks for an alias that transformers will drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SMALL_WHISPER = WhisperConfig(
    d_model=16, encoder_layers=3, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
    encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=51864,
)  # fmt: skip
SMALL_CTC: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


def trained(model: torch.nn.Module) -> set[int]:
    return {id(each) for each in model.parameters() if each.requires_grad}


def all_of(modules: Iterable[torch.nn.Module]) -> set[int]:
    return {id(each) for module in modules for each in module.parameters()}


def frozen(model: Any, frontend: bool, layers: int) -> Any:
    freeze(model, FinetuneConfig(freeze=FreezeConfig(frontend, layers)))
    return model


@pytest.mark.parametrize(("frontend", "layers"), [(True, 0), (False, 1), (True, 2), (False, 3)])
def test_of_whisper_what_is_above_stays_trained(frontend: bool, layers: int) -> None:
    model = frozen(WhisperForConditionalGeneration(SMALL_WHISPER), frontend, layers)
    encoder, decoder = model.model.encoder, model.model.decoder
    wanted = all_of([*encoder.layers[layers:], encoder.layer_norm, decoder])  # the head is the decoder's embedding
    assert trained(model) == wanted
    assert len(all_of([model])) > len(wanted)


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("normalized_last", [False, True])
def test_of_wav2vec2_what_is_above_stays_trained(layers: int, normalized_last: bool) -> None:
    config = Wav2Vec2Config(**SMALL_CTC, do_stable_layer_norm=normalized_last)
    model = frozen(Wav2Vec2ForCTC(config), True, layers)
    encoder = model.wav2vec2.encoder
    wanted = all_of([*encoder.layers[layers:], model.lm_head])
    # The large ones normalise after all layers, the others before them.
    wanted |= all_of([encoder.layer_norm]) if normalized_last else set()
    assert trained(model) == wanted


def test_nothing_is_frozen_unasked() -> None:
    model = frozen(Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL_CTC)), False, 0)
    assert trained(model) == all_of([model])


@pytest.mark.parametrize("model", [WhisperForConditionalGeneration(SMALL_WHISPER)], ids=["whisper"])
def test_more_layers_than_there_are_are_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"^finetune\.freeze\.encoder_layers=4: the encoder has 3 layers; freeze f"):
        frozen(model, False, 4)


def learner(folder: Path, dtype: DType = DType.float32, **finetune: Any) -> Learner:
    torch.manual_seed(0)
    config = tiny.settings(**finetune)
    return Learner(replace(config, model=replace(config.model, dtype=dtype)), str(folder))


def logits(model: Any, ids: Any = None) -> NDArray[np.float32]:
    sound = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 8000), np.float32))
    with torch.no_grad():
        found: NDArray[np.float32] = model.eval()(sound, attention_mask=torch.ones(2, 8000)).logits.numpy()
    return found


def loaded(folder: Path) -> Any:
    model, report = AutoModelForCTC.from_pretrained(folder, output_loading_info=True)
    # What masks stand for, in training alone; a model that is set up without any has no place for it.
    report["unexpected_keys"] -= {"wav2vec2.masked_spec_embed"}
    assert not any(report.values())
    return model


def test_a_written_model_says_the_same(ctc: Path, tmp_path: Path) -> None:
    ours = learner(ctc)
    assert ours.parameters == ours.trained_parameters == sum(map(torch.numel, ours.model.parameters()))
    ours.save(tmp_path)
    theirs = loaded(tmp_path)
    assert np.array_equal(logits(theirs), logits(ours.model))


def test_a_model_of_16_bits_is_rounded_once_at_the_end(ctc: Path, tmp_path: Path) -> None:
    ours = learner(ctc, DType.float16)
    ours.save(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    for name, value in ours.model.named_parameters():
        assert value.dtype == torch.float32, name  # small steps would be lost
        assert torch.equal(stored[name], value.half()), name


def test_writing_leaves_the_learner_as_it_is(ctc: Path, tmp_path: Path) -> None:
    for rank in (0, 2):
        ours = learner(ctc, lora=LoraConfig(rank=rank))
        shake(ours.model)
        before = {name: value.clone() for name, value in ours.model.state_dict().items()}
        grads = [each.requires_grad for each in ours.model.parameters()]
        ours.save(tmp_path)
        after = ours.model.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[name], value) for name, value in before.items())
        assert [each.requires_grad for each in ours.model.parameters()] == grads
        assert ours.model.training


def test_weights_that_are_tied_are_written_once(tiny_en: Path, tmp_path: Path) -> None:
    config = tiny.settings(Weights.pretrained)
    ours = Learner(config, str(tiny_en))
    ours.save(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    embedding = ours.model.model.decoder.embed_tokens.weight
    assert [name for name, value in stored.items() if value.shape == embedding.shape] == [
        "model.decoder.embed_tokens.weight"
    ]
    theirs, report = AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert torch.equal(theirs.proj_out.weight, embedding)
    heard, said = torch.zeros(1, 80, 3000), torch.tensor([[50257, 50362]])
    with torch.no_grad():
        ours_, theirs_ = (model.eval()(heard, decoder_input_ids=said).logits for model in (ours.model, theirs))
    assert torch.equal(ours_, theirs_)
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    assert settings["no_timestamps_token_id"] == 50362


def shake(model: torch.nn.Module) -> None:
    """Give low-rank matrices, of which one is zero at first, something to add."""
    generator = torch.Generator().manual_seed(1)
    for name, each in model.named_parameters():
        if "lora_" in name:
            each.data = 0.1 * torch.randn(each.shape, generator=generator)


@pytest.mark.parametrize("dtype", [DType.float32, DType.float16])
def test_what_low_rank_matrices_add_is_in_the_written_weights(ctc: Path, tmp_path: Path, dtype: DType) -> None:
    base = {name: value.clone() for name, value in learner(ctc).model.state_dict().items()}
    ours = learner(ctc, dtype, lora=LoraConfig(rank=4, alpha=6, targets=["q_proj", "v_proj"]))
    width, layers = tiny.SHAPE["hidden_size"], tiny.SHAPE["num_hidden_layers"]
    assert ours.trained_parameters == layers * 2 * (4 * width + width * 4)
    assert ours.parameters == sum(map(torch.numel, dict(learner(ctc).model.named_parameters()).values()))
    shake(ours.model)
    matrices = {name: value.numpy().astype(np.float64) for name, value in ours.model.state_dict().items()}
    ours.save(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert set(stored) == set(base)
    changed = 0
    for name, value in base.items():
        expected = value.numpy().astype(np.float64)
        layer = f"base_model.model.{name.removesuffix('.weight')}"
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            up, down = (matrices[f"{layer}.lora_{one}.default.weight"] for one in "BA")
            expected = expected + 6 / 4 * up @ down
            changed += 1
        rounding = 1e-6 if dtype is DType.float32 else 1e-3
        np.testing.assert_allclose(stored[name].numpy(), expected, rtol=rounding, atol=rounding, err_msg=name)
    assert changed == 2 * layers
    if dtype is DType.float32:
        theirs = loaded(tmp_path)
        assert type(theirs).__module__.startswith("transformers.")
        np.testing.assert_allclose(logits(theirs), logits(ours.model), atol=1e-4)
        plain = learner(ctc)
        assert np.abs(logits(theirs) - logits(plain.model)).max() > 0.01


def test_layers_that_are_not_there_get_no_matrices(ctc: Path) -> None:
    with pytest.raises(ConfigError, match=r"^finetune\.lora\.targets=\['query'\].*; name linear layers of tiny$"):
        learner(ctc, lora=LoraConfig(rank=2, targets=["query"]))


def test_masking_is_as_asked_and_not_as_the_model_was_trained_once(ctc: Path) -> None:
    settings = learner(ctc).model.config
    assert (settings.apply_spec_augment, settings.mask_time_prob, settings.mask_feature_prob) == (False, 0, 0)
    asked = AugmentConfig(time_masking=0.2)
    settings = learner(ctc, augment=asked).model.config
    assert (settings.apply_spec_augment, settings.mask_time_prob, settings.mask_feature_prob) == (True, 0.2, 0)


def test_freezing_all_leaves_nothing_to_train(tmp_path: Path, ctc: Path) -> None:
    model = learner(ctc).model
    freeze(model, FinetuneConfig(freeze=FreezeConfig(encoder_layers=2)))
    # With low-rank matrices the rest is frozen in any case, and they are trained in the layers above as below.
    ours = learner(ctc, freeze=FreezeConfig(encoder_layers=2), lora=LoraConfig(rank=1, targets=["lm_head"]))
    assert {name.split(".")[2] for name, each in ours.model.named_parameters() if each.requires_grad} == {"lm_head"}
