"""Whisper's encoder on a CPU, laid out for its caches.

The arithmetic is that of transformers' modules, with their weights. What differs: one window at a time, since several
no longer fit the caches; weights laid out once and the activation applied within the product
(:mod:`bench.inference.packed`); no copies between layers; and where torch's fused kernel is slow
(:mod:`bench.inference.attention`), attention as plain matrix products over blocks of queries, as transformers'
``eager`` computes it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.inference.attention import suits_fused
from bench.inference.packed import Linear, give_up, packed

_QUERY_BLOCK = 500  # scores of so many queries over 1500 frames are 1.5 MB in half precision


@dataclass(frozen=True)
class _Layer:
    """One layer: its norms are the model's own modules."""

    query_key_value: Linear
    out: Linear
    widen: Linear
    narrow: Linear
    module: Any


class Encoder:
    """The encoder of a Whisper model on a CPU. It takes the weights over: the model's own is then of no more use.

    Args:
        model: A ``WhisperForConditionalGeneration`` in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self._encoder = model.get_encoder()
        attention = self._encoder.layers[0].self_attn
        self._heads, self._head_size, self._scaling = attention.num_heads, attention.head_dim, attention.scaling
        frames = int(model.config.max_source_positions)
        self._layers = [_laid_out(layer, frames) for layer in self._encoder.layers]

    def __call__(self, features: Tensor) -> Tensor:
        """Encode windows.

        Args:
            features: Log-mel spectrograms, shape ``(batch, bins, rows)``.

        Returns:
            Shape ``(batch, frames, width)``.
        """
        return torch.cat([self._encode(window) for window in torch.split(features, 1)])

    def _encode(self, features: Tensor) -> Tensor:
        convolved = functional.gelu(self._encoder.conv1(features))
        convolved = functional.gelu(self._encoder.conv2(convolved))
        hidden = convolved.transpose(1, 2).contiguous() + self._encoder.embed_positions.weight
        for layer in self._layers:
            hidden = hidden + layer.out(self._attend(layer.query_key_value(layer.module.self_attn_layer_norm(hidden))))
            hidden = hidden + layer.narrow(layer.widen(layer.module.final_layer_norm(hidden)))
        normalized: Tensor = self._encoder.layer_norm(hidden)
        return normalized

    def _attend(self, states: Tensor) -> Tensor:
        """Attention of all heads; from shape ``(1, frames, 3 x width)`` to ``(1, frames, width)``."""
        frames = states.shape[1]
        query, key, value = states.view(frames, 3, self._heads, self._head_size).permute(1, 2, 0, 3)
        query = query * self._scaling
        if suits_fused(states.dtype, states.device):
            attended = functional.scaled_dot_product_attention(query[None], key[None], value[None], scale=1.0)
            return attended.transpose(1, 2).flatten(2)
        result = states.new_empty(frames, self._heads, self._head_size)
        for head in range(self._heads):
            for first in range(0, frames, _QUERY_BLOCK):
                scores = query[head, first : first + _QUERY_BLOCK] @ key[head].T
                result[first : first + _QUERY_BLOCK, head] = torch.softmax(scores, -1) @ value[head]
        return result.flatten(1)[None]


def _laid_out(layer: Any, frames: int) -> _Layer:
    attention = layer.self_attn
    together = torch.nn.Linear(attention.embed_dim, 3 * attention.embed_dim, device="meta")
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    together.weight = torch.nn.Parameter(torch.cat([part.weight for part in parts]))
    for part in parts:
        give_up(part)
    no_bias = torch.zeros_like(attention.q_proj.bias)
    together.bias = torch.nn.Parameter(torch.cat([attention.q_proj.bias, no_bias, attention.v_proj.bias]))
    return _Layer(
        packed(together, frames, take=True),
        packed(attention.out_proj, frames, take=True),
        packed(layer.fc1, frames, gelu=True, take=True),
        packed(layer.fc2, frames, take=True),
        layer,
    )
