"""Whisper's variables as CTranslate2 names and stacks them, turned into transformers' state dict.

Sources: the layer order in CTranslate2's `specs/whisper_spec.py` and `specs/transformer_spec.py`, and the module names
of transformers' `WhisperForConditionalGeneration`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.assets.ctranslate2 import Array, StoredModel
from bench.errors import AssetError


@dataclass(frozen=True, slots=True)
class WhisperWeights:
    """A Whisper model's tensors in transformers' terms, and the sizes that its configuration must state.

    Attributes:
        tensors: Arrays by their name in transformers' state dict, without the output projection, which is tied to
            the token embeddings.
        d_model: Width of every layer.
        ffn_dim: Width of the feed-forward layers.
        mel_bins: Mel bands of the input.
        vocabulary: Tokens, the timestamps among them.
        source_positions: Encoder frames of one window.
        target_positions: Decoder tokens, at most.
        encoder_layers: Number of encoder layers.
        decoder_layers: Number of decoder layers.
        encoder_heads: Attention heads of an encoder layer.
        decoder_heads: Attention heads of a decoder layer.
    """

    tensors: Mapping[str, Array]
    d_model: int
    ffn_dim: int
    mel_bins: int
    vocabulary: int
    source_positions: int
    target_positions: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int


# CTranslate2 keeps a normalisation inside the block that it precedes; transformers names it after that block.
_STEMS: Final = {
    "encoder": {"conv1": "conv1", "conv2": "conv2", "layer_norm": "layer_norm"},
    "decoder": {"layer_norm": "layer_norm"},
}
_LAYER_STEMS: Final = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
_CROSS_STEMS: Final = {
    "attention/layer_norm": "encoder_attn_layer_norm",
    "attention/linear_0": "encoder_attn.q_proj",
    "attention/linear_2": "encoder_attn.out_proj",
}
_PARTS: Final = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}

# Settings that transformers' Whisper has no switch for, and the only value under which the two agree.
# Activation codes: CTranslate2 `specs/common_spec.py`, where 3 is the exact (erf) GELU.
_FIXED: Final = {
    "activation": 3,
    "alibi": 0,
    "pre_norm": 1,
    "scale_embeddings": 0,
    "start_from_zero_embedding": 0,
}
# The engine's own defaults for word timestamps, where the true heads are in the package's config.json, and details of
# ALiBi, which newer converters write for a decoder without it too; that it is without is checked above.
_UNUSED: Final = (
    "decoder/alignment_heads",
    "decoder/alignment_layer",
    "decoder/alibi_use_positive_positions",
    "decoder/scale_alibi",
)


class _WhisperMapper:
    """Moves variables over one by one, so that what is left at the end is what nobody understood."""

    def __init__(self, stored: StoredModel, source: str) -> None:
        self._left = dict(stored.variables)
        self._source = source
        self.tensors: dict[str, Array] = {}

    def fault(self, what: str) -> AssetError:
        return AssetError(
            f"{self._source}: cannot be mapped to transformers' Whisper: {what}; use weights that CTranslate2's "
            "converter wrote without quantization"
        )

    def pop(self, name: str) -> Array:
        if name not in self._left:
            raise self.fault(f"{name} is missing")
        return self._left.pop(name)

    def pop_matrix(self, name: str, rank: int = 2) -> Array:
        array = self.pop(name)
        if array.ndim != rank or array.dtype.kind != "f":
            raise self.fault(f"{name} is {array.dtype.name} of shape {array.shape}, not {rank} axes of floats")
        return array

    def pop_number(self, name: str) -> int:
        value = self.pop(name)
        if value.ndim != 0 or value.dtype.kind != "i":
            raise self.fault(f"{name} is {value.dtype.name} of shape {value.shape}, not one integer")
        return int(value)

    def count_layers(self, side: str) -> int:
        return len({found[0] for name in self._left if (found := re.match(rf"{side}/layer_\d+/", name))})

    def move(self, origin: str, target: str) -> None:
        """Move a layer's weight (or gamma) and bias (or beta) as they are."""
        found = [part for part in _PARTS if f"{origin}/{part}" in self._left]
        if len(found) != 2:
            raise self.fault(f"{origin} has the parts {found}, not a weight and a bias")
        for part in found:
            name = f"{origin}/{part}"
            array = self._left[name]
            self.tensors[f"{target}.{_PARTS[part]}"] = self.pop_matrix(name, array.ndim)

    def split(self, origin: str, targets: Mapping[str, str]) -> None:
        """Cut a stacked projection into its equal blocks of rows; a key has no bias, its block there is zero."""
        for part in ("weight", "bias"):
            stacked = self.pop_matrix(f"{origin}/{part}", 2 if part == "weight" else 1)
            if len(stacked) % len(targets):
                raise self.fault(f"{origin}/{part} has {len(stacked)} rows, which {len(targets)} do not divide")
            for block, (role, target) in zip(np.split(stacked, len(targets)), targets.items(), strict=True):
                if part == "weight" or role != "key":
                    self.tensors[f"{target}.{part}"] = block
                elif block.any():
                    raise self.fault(f"{origin} has a bias for keys, for which Whisper has no place")

    def check_fixed(self, side: str) -> None:
        for name, expected in _FIXED.items():
            if f"{side}/{name}" in self._left and self.pop_number(f"{side}/{name}") != expected:
                raise self.fault(f"{side}/{name} is not {expected}")

    def finish(self) -> None:
        for name in _UNUSED:
            self._left.pop(name, None)
        if self._left:
            raise self.fault(f"unknown variables: {', '.join(sorted(self._left)[:5])}")


def map_whisper(stored: StoredModel, source: str) -> WhisperWeights:
    """Give a Whisper model's variables the names, and the shapes, that transformers knows.

    Args:
        stored: A model whose specification is `WhisperSpec`.
        source: Where it came from, for messages.

    Returns:
        Views of the stored arrays in the stored dtype, and the sizes that they imply.

    Raises:
        AssetError: The model is no Whisper, is quantised, lacks a variable, or has one that is not understood.
    """
    mapper = _WhisperMapper(stored, source)
    if stored.specification != "WhisperSpec":
        raise mapper.fault(f"its specification is {stored.specification}")
    if stored.aliases.get("decoder/projection/weight") != "decoder/embeddings/weight":
        raise mapper.fault("its output projection is not tied to its embeddings")
    layers = {side: mapper.count_layers(side) for side in ("encoder", "decoder")}
    heads = {side: mapper.pop_number(f"{side}/num_heads") for side in layers}
    positions = {side: mapper.pop_matrix(f"{side}/position_encodings/encodings") for side in layers}
    embeddings = mapper.pop_matrix("decoder/embeddings/weight")
    mapper.tensors["model.decoder.embed_tokens.weight"] = embeddings
    for side, count in layers.items():
        mapper.check_fixed(side)
        mapper.tensors[f"model.{side}.embed_positions.weight"] = positions[side]
        for origin, target in _STEMS[side].items():
            mapper.move(f"{side}/{origin}", f"model.{side}.{target}")
        for layer in range(count):
            _map_layer(mapper, f"{side}/layer_{layer}", f"model.{side}.layers.{layer}", cross=side == "decoder")
    mapper.finish()
    if not all(layers.values()):
        raise mapper.fault(f"it has {layers['encoder']} encoder and {layers['decoder']} decoder layers")
    return WhisperWeights(
        tensors=mapper.tensors,
        d_model=embeddings.shape[1],
        ffn_dim=mapper.tensors["model.encoder.layers.0.fc1.weight"].shape[0],
        mel_bins=mapper.tensors["model.encoder.conv1.weight"].shape[1],
        vocabulary=embeddings.shape[0],
        source_positions=positions["encoder"].shape[0],
        target_positions=positions["decoder"].shape[0],
        encoder_layers=layers["encoder"],
        decoder_layers=layers["decoder"],
        encoder_heads=heads["encoder"],
        decoder_heads=heads["decoder"],
    )


def _map_layer(mapper: _WhisperMapper, origin: str, target: str, *, cross: bool) -> None:
    for stem, name in (_LAYER_STEMS | (_CROSS_STEMS if cross else {})).items():
        mapper.move(f"{origin}/{stem}", f"{target}.{name}")
    attention = f"{target}.self_attn"
    mapper.split(
        f"{origin}/self_attention/linear_0",
        {"query": f"{attention}.q_proj", "key": f"{attention}.k_proj", "value": f"{attention}.v_proj"},
    )
    if cross:
        attention = f"{target}.encoder_attn"
        mapper.split(f"{origin}/attention/linear_1", {"key": f"{attention}.k_proj", "value": f"{attention}.v_proj"})
