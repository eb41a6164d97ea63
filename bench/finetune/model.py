"""The model that is trained: loaded in float32, frozen where it is to stay as it is, written as it will be used."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import MODEL_FOR_CTC_MAPPING, AutoModelForCTC, AutoModelForSpeechSeq2Seq

from bench.config import Config, DType, FinetuneConfig
from bench.errors import ConfigError
from bench.inference.pretrained import load_extractor, load_model, load_tokenizer, read_settings, torch_dtype

_ENCODER_LAYER = re.compile(r"(?:^|\.)encoder\.(?:\w+\.)?layers\.(\d+)\.")


class Learner:
    """A model to be trained, and what belongs to it.

    Args:
        config: The trial's configuration.
        model_path: Local folder of the model's files.

    Attributes:
        model: On its device, in float32, in training mode.
        extractor: Its feature extractor.
        tokenizer: Its tokenizer.
        is_ctc: Whether it learns by connectionist temporal classification.

    Raises:
        ModelError: The model cannot be loaded.
        ConfigError: It cannot honour a setting.
    """

    def __init__(self, config: Config, model_path: str) -> None:
        self.is_ctc = type(read_settings(config, model_path)) in MODEL_FOR_CTC_MAPPING
        auto = AutoModelForCTC if self.is_ctc else AutoModelForSpeechSeq2Seq
        self.model: Any = load_model(auto, _in_float32(config), model_path).train()
        self.extractor = load_extractor(config, model_path)
        self.tokenizer = load_tokenizer(config, model_path)
        self._dtype = config.model.dtype
        settings = self.model.config
        if self.is_ctc:
            settings.ctc_loss_reduction = "mean"
            settings.ctc_zero_infinity = True  # a sentence too long for its frames would make every weight a NaN
        self._mask(config)
        self.parameters = sum(each.numel() for each in self.model.parameters())
        freeze(self.model, config.finetune)
        if config.finetune.lora.rank:
            self.model = _with_lora(self.model, config)
        self.trained_parameters = sum(each.numel() for each in self.model.parameters() if each.requires_grad)
        if not self.trained_parameters:
            raise ConfigError("finetune.freeze leaves nothing to train; freeze fewer layers")

    @property
    def main_input(self) -> str:
        """Name of the model's first input."""
        return str(self.model.main_input_name)

    @property
    def start(self) -> int:
        """The token that opens the decoder's input."""
        return int(self.model.config.decoder_start_token_id)

    def save(self, folder: Path) -> None:
        """Write the model as transformers reads it, in the type it is to be used in, adaptations added to its weights.

        The model itself stays as it is.
        """
        model = self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model
        dtype = torch_dtype(self._dtype)
        tied = getattr(model, "all_tied_weights_keys", None) or {}
        added = _adaptations(model)
        state = {
            name.replace(".base_layer.", "."): (value + added[name] if name in added else value).to("cpu", dtype)
            for name, value in model.state_dict().items()
            if "lora_" not in name and name not in tied
        }
        trained_in, model.config.dtype = model.config.dtype, dtype  # by which transformers loads it again
        model.save_pretrained(folder, state_dict=state)
        model.config.dtype = trained_in
        self.extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _mask(self, config: Config) -> None:
        """Have the model mask its input as asked (SpecAugment: Park et al. 2019), and not as it was trained once."""
        settings, augment = self.model.config, config.finetune.augment
        asked = {"mask_time_prob": augment.time_masking, "mask_feature_prob": augment.feature_masking}
        for name, share in asked.items():
            if hasattr(settings, name):
                setattr(settings, name, share)
            elif share:
                raise ConfigError(
                    f"{config.model.name} has no SpecAugment; leave finetune.augment.time_masking and feature_masking"
                    " at 0, or use noise, room and speed"
                )
        if hasattr(settings, "apply_spec_augment"):
            settings.apply_spec_augment = any(asked.values())


def freeze(model: Any, config: FinetuneConfig) -> None:
    """Let the lower part of a model keep its weights.

    Parameters are in the order of the layers, in every model there is, so that what comes before an encoder's layer is
    below it. One kind of encoder is an exception: it normalises after its layers, by what is named before them.

    Raises:
        ConfigError: The encoder has fewer layers, or none that can be told apart.
    """
    wanted = config.freeze.encoder_layers
    if not (wanted or config.freeze.frontend):
        return
    layers: dict[int, int] = {}
    above = "encoder.layer_norm." if getattr(model.config, "do_stable_layer_norm", False) else None
    named = [(name, each) for name, each in model.named_parameters() if above is None or above not in name]
    for place, (name, _) in enumerate(named):
        if found := _ENCODER_LAYER.search(name):
            layers[int(found[1])] = place
    if wanted > len(layers) or not layers:
        raise ConfigError(
            f"finetune.freeze.encoder_layers={wanted}: the encoder has {len(layers)} layers; freeze fewer"
        )
    first = next(place for place, (name, _) in enumerate(named) if _ENCODER_LAYER.search(name))
    last = layers[wanted - 1] if wanted else first - 1
    for _, parameter in named[: last + 1]:
        parameter.requires_grad = False


def _adaptations(model: Any) -> dict[str, torch.Tensor]:
    """What low-rank adaptation adds to each of a model's weights, by its name.

    Merging into the model and back would round every weight twice.
    """
    return {
        f"{name}.base_layer.weight": module.get_delta_weight(adapter).detach()
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
        for adapter in module.active_adapters
    }


def _with_lora(model: Any, config: Config) -> Any:
    import peft  # takes seconds to import

    lora = config.finetune.lora
    try:
        return peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets)
            ),
        )
    except ValueError as error:
        raise ConfigError(
            f"finetune.lora.targets={lora.targets}: {' '.join(str(error).split())[:200]}; name linear layers of"
            f" {config.model.name}"
        ) from error


def _in_float32(config: Config) -> Config:
    # Small steps are lost on weights of 16 bits; mixed precision computes in them and keeps the weights in 32.
    return replace(config, model=replace(config.model, dtype=DType.float32))
