"""Models of transformers with inputs and outputs that a graph can have: tensors, and nothing kept between calls.

The arithmetic is that of the models' own modules, with their weights.
"""

from typing import Any

import torch
from torch import Tensor

from bench.inference.token_times import heads_that_follow


class EncoderWithKeys(torch.nn.Module):
    """A Whisper model's encoder, and the maps of the decoder's cross-attention, which depend on the audio alone.

    Args:
        model: A ``WhisperForConditionalGeneration``.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.get_encoder()
        self.attentions: Any = torch.nn.ModuleList(layer.encoder_attn for layer in model.get_decoder().layers)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """From features of shape ``(batch, bins, rows)`` to keys and values, layer by layer.

        Returns:
            Keys of shape ``(batch, heads, head size, frames)`` and values of ``(batch, heads, frames, head size)``,
            by turns.
        """
        hidden = self.encoder(features).last_hidden_state
        return tuple(
            made
            for each in self.attentions
            for made in (
                _by_head(each.k_proj(hidden), each).transpose(2, 3),
                _by_head(each.v_proj(hidden), each),
            )
        )


class Step(torch.nn.Module):
    """One step of a Whisper model's decoder.

    Args:
        model: A ``WhisperForConditionalGeneration``, whose ``generation_config`` may name the heads that follow speech.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder = model.get_decoder()
        self.head = model.proj_out
        listed = getattr(model.generation_config, "alignment_heads", None)
        self.following = heads_that_follow(listed, model.config.decoder_layers, model.config.decoder_attention_heads)

    def forward(
        self, tokens: Tensor, position: Tensor, own: tuple[Tensor, ...], cross: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Take in a token of each window.

        Args:
            tokens: Shape ``(batch, 1)``.
            position: How many tokens came before, shape ``(1,)``.
            own: Their keys, shape ``(batch, heads, head size, position)``, and values, shape
                ``(batch, heads, position, head size)``, layer by layer.
            cross: Keys and values of the audio, as :class:`EncoderWithKeys` makes them.

        Returns:
            The scores of the next token, shape ``(batch, vocabulary)``; the weights of the heads that follow the
            speech, shape ``(batch, heads, frames)``; and ``own`` with those of the token itself.
        """
        hidden = self.decoder.embed_tokens(tokens) + self.decoder.embed_positions.weight[position]
        attended, grown = list[Tensor](), list[Tensor]()
        for number, layer in enumerate(self.decoder.layers):
            normed, mine = layer.self_attn_layer_norm(hidden), layer.self_attn
            key = torch.cat([own[2 * number], _by_head(mine.k_proj(normed), mine).transpose(2, 3)], dim=3)
            value = torch.cat([own[2 * number + 1], _by_head(mine.v_proj(normed), mine)], dim=2)
            grown += [key, value]
            hidden = hidden + _attend(mine, normed, key, value)[0]
            normed = layer.encoder_attn_layer_norm(hidden)
            heard, weights = _attend(layer.encoder_attn, normed, cross[2 * number], cross[2 * number + 1])
            attended.append(weights)
            hidden = hidden + heard
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
        scores = self.head(self.decoder.layer_norm(hidden)[:, 0])
        attention = torch.stack([attended[layer][:, head, 0] for layer, head in self.following], dim=1)
        return scores, attention, *grown


class Frames(torch.nn.Module):
    """A CTC model that gives its scores alone.

    Args:
        model: What ``AutoModelForCTC`` loads, of a family that reads samples.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """From samples and their mask, both of shape ``(batch, samples)``, to ``(batch, frames, classes)``."""
        scores: Tensor = self.model(values, attention_mask=mask).logits
        return scores


def _attend(attention: Any, normed: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is attended to, shape ``(batch, 1, width)``, and the weights, ``(batch, heads, 1, positions)``."""
    query = _by_head(attention.q_proj(normed) * attention.scaling, attention)
    weights = torch.softmax(query @ key, dim=-1)
    return attention.out_proj((weights @ value).transpose(1, 2).flatten(2)), weights


def _by_head(states: Tensor, attention: Any) -> Tensor:
    """Shape ``(batch, n, width)`` to ``(batch, heads, n, head size)``."""
    return states.view(*states.shape[:2], attention.num_heads, attention.head_dim).transpose(1, 2)
