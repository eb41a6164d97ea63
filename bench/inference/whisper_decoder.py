"""Whisper's decoder without what the library does again at every step.

The arithmetic is that of transformers' modules, with their weights and in their order; what differs is around it. Keys
and values lie in buffers of their final size; windows that have ended leave the batch; weights are laid out once for
the few rows of a step (:mod:`bench.inference.packed`); and where torch's fused kernel is slow
(:mod:`bench.inference.attention`), the attention of one query is two plain matrix products.

In float32 the tests hold the tokens equal to those of ``generate``. In bfloat16 a few may differ where the order of a
sum does, above all with plain products: there the two best tokens often lie within one rounding of each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.inference.attention import suits_fused
from bench.inference.packed import Linear, packed


@dataclass
class Memory:
    """What the decoder remembers of a batch, layer by layer.

    Attributes:
        cross: Keys and values of the encoded audio, each of shape ``(batch, heads, frames, head size)``.
        own: Keys and values of the tokens so far, in buffers of shape ``(batch, heads, most tokens, head size)``.
        windows: Which window of the batch lies in each slot of the buffers.
        active: Slots still being decoded; they are the first ones.
        length: Tokens so far.
    """

    cross: list[tuple[Tensor, Tensor]]
    own: list[tuple[Tensor, Tensor]]
    windows: list[int]
    active: int
    length: int = 0

    def finish(self, slot: int) -> None:
        """Take a window out of those being decoded; it changes places with the last of them."""
        self.active -= 1
        last = self.active
        if slot != last:
            # The audio of both is wanted later, for the times of words; of the tokens, only those still being decoded.
            for buffer in (each for pair in self.cross for each in pair):
                ended = buffer[slot].clone()
                buffer[slot] = buffer[last]
                buffer[last] = ended
            for buffer in (each for pair in self.own for each in pair):
                buffer[slot, :, : self.length] = buffer[last, :, : self.length]
            self.windows[slot], self.windows[last] = self.windows[last], self.windows[slot]

    def forget_tokens(self) -> None:
        """Begin anew with the same audio."""
        self.length, self.active = 0, len(self.windows)


@dataclass(frozen=True)
class _Attention:
    """One attention of a layer, its maps laid out for a step."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear


@dataclass(frozen=True)
class _Layer:
    """One layer: its norms and the activation are the model's own modules."""

    own: _Attention
    cross: _Attention
    widen: Linear
    narrow: Linear
    module: Any


class Decoder:
    """The decoder of a Whisper model.

    Args:
        model: A ``WhisperForConditionalGeneration`` in evaluation mode, on its device.
        batch_size: Windows it is going to decode at once.
        take: Take the weights over, so that they are not held twice; the model's own decoder is then of no more use.
        keep: Keep the buffers from batch to batch: on a CPU, being given new pages for them takes a tenth of a batch's
            time. A memory is then of no more use once the next is asked for.
    """

    def __init__(self, model: Any, batch_size: int, take: bool = False, keep: bool = False) -> None:
        self._decoder = model.get_decoder()
        first = self._decoder.layers[0].self_attn
        self._heads, self._head_size, self._scaling = first.num_heads, first.head_dim, first.scaling
        self._layers = [_laid_out(layer, batch_size, take) for layer in self._decoder.layers]
        self._head = packed(model.proj_out, batch_size)
        self._keep, self._kept = keep, list[Tensor]()

    def remember(self, encoded: Tensor, most_tokens: int) -> Memory:
        """Prepare to decode.

        Args:
            encoded: The encoder's output, shape ``(batch, frames, width)``.
            most_tokens: Longest sequence that will be decoded, prefix included.
        """
        batch, frames = encoded.shape[:2]
        # For plain products in half precision oneDNN would build, and keep, a kernel for every number of tokens:
        # hundreds of MiB.
        own_dtype = encoded.dtype if suits_fused(encoded.dtype, encoded.device) else torch.float32
        pairs = 2 * len(self._layers)
        shapes = [(frames, encoded.dtype)] * pairs + [(most_tokens, own_dtype)] * pairs
        buffers = self._buffers(batch, shapes, encoded.device)
        keys_and_values = [part for layer in self._layers for part in (layer.cross.key, layer.cross.value)]
        at_once = 1 if encoded.device.type == "cpu" else batch  # so that what is copied is still in a cache
        for first in range(0, batch, at_once):
            windows = slice(first, first + at_once)
            for buffer, part in zip(buffers, keys_and_values, strict=False):
                buffer[windows] = self._by_head(part(encoded[windows]))
        paired = list(zip(buffers[::2], buffers[1::2], strict=True))
        return Memory(paired[: len(self._layers)], paired[len(self._layers) :], list(range(batch)), active=batch)

    def _buffers(self, batch: int, shapes: Sequence[tuple[int, torch.dtype]], device: torch.device) -> list[Tensor]:
        """Find room for keys or values, each of shape ``(batch, heads, n, head size)``."""
        kept = self._kept
        if not kept or kept[0].shape[0] < batch or [(each.shape[2], each.dtype) for each in kept] != list(shapes):
            del kept
            self._kept = []
            made = [
                torch.empty(batch, self._heads, length, self._head_size, dtype=dtype, device=device)
                for length, dtype in shapes
            ]
            if not self._keep:
                return made
            kept = self._kept = made
        return [each[:batch] for each in kept]

    def logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Take in the next tokens of each active window and predict the one after.

        Args:
            tokens: Shape ``(active, n)``; more than one at a time only at the start.
            memory: Receives the keys and values of the tokens.

        Returns:
            Shape ``(active, vocabulary)``, float32.
        """
        first, memory.length = memory.length, memory.length + tokens.shape[1]
        assert first == 0 or tokens.shape[1] == 1, "several tokens at once would need a mask over the memory"
        slots = slice(memory.active)

        def remembered(number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            buffers = memory.own[number]
            for buffer, new in zip(buffers, (keys, values), strict=True):
                buffer[slots, :, first : memory.length] = new
            return buffers[0][slots, :, : memory.length], buffers[1][slots, :, : memory.length]

        hidden = self._embedded(tokens, first)
        for number in range(len(self._layers)):
            hidden, _ = self._layer(number, hidden, memory, slots, remembered)
        scores: Tensor = self._head(self._decoder.layer_norm(hidden)[:, -1]).float()
        return scores

    def cross_queries(self, tokens: Tensor, memory: Memory, slots: slice) -> list[Tensor]:
        """Read whole sequences and return what each layer asks of the audio; nothing is remembered.

        Args:
            tokens: Shape ``(slots, n)``.
            memory: Holds the audio.
            slots: Where in ``memory`` the audio of these sequences lies.

        Returns:
            For each layer the queries of its cross-attention, shape ``(slots, heads, n, head size)``.
        """
        queries = []
        hidden = self._embedded(tokens, 0)
        for number in range(len(self._layers)):
            hidden, query = self._layer(number, hidden, memory, slots, lambda _, keys, values: (keys, values))
            queries.append(query)
        return queries

    def _embedded(self, tokens: Tensor, first: int) -> Tensor:
        embedded: Tensor = self._decoder.embed_tokens(tokens)
        places: Tensor = self._decoder.embed_positions.weight[first : first + tokens.shape[1]]
        return embedded + places

    def _layer(
        self,
        number: int,
        hidden: Tensor,
        memory: Memory,
        slots: slice,
        remembered: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, Tensor]:
        """Run one layer; returns its output and its queries of the audio."""
        layer, cross = self._layers[number], memory.cross[number]
        normed = layer.module.self_attn_layer_norm(hidden)
        keys, values = (self._by_head(part(normed)).contiguous() for part in (layer.own.key, layer.own.value))
        attended = _attend(
            self._query(layer.own, normed), *remembered(number, keys, values), causal=hidden.shape[1] > 1
        )
        hidden = hidden + _merged(layer.own, attended)
        query = self._query(layer.cross, layer.module.encoder_attn_layer_norm(hidden))
        hidden = hidden + _merged(layer.cross, _attend(query, cross[0][slots], cross[1][slots]))
        widened = layer.widen(layer.module.final_layer_norm(hidden))
        return hidden + layer.narrow(layer.module.activation_fn(widened)), query

    def _query(self, attention: _Attention, normed: Tensor) -> Tensor:
        # Scaled before the product, as Whisper was trained: in half precision the order tells.
        return self._by_head(attention.query(normed) * self._scaling).contiguous()

    def _by_head(self, states: Tensor) -> Tensor:
        """Shape ``(batch, n, width)`` to ``(batch, heads, n, head size)``."""
        return states.view(*states.shape[:2], self._heads, self._head_size).transpose(1, 2)


def greedy(
    decoder: Decoder, memory: Memory, prefix: Tensor, processors: Sequence[Any], end: int | None, most_tokens: int
) -> list[list[int]]:
    """Decode greedily.

    Args:
        decoder: The decoder.
        memory: One that remembers no tokens, with room for ``most_tokens``.
        prefix: Token ids every window starts with, shape ``(batch, n)``.
        processors: Logits processors as the library has them, which rule out tokens; applied in order.
        end: Id of the token that ends a text; null decodes every window to the bound.
        most_tokens: Longest sequence, prefix included.

    Returns:
        The token ids of each window, without the prefix and the end.
    """
    batch, start = prefix.shape
    sequences = prefix.new_empty(batch, most_tokens)
    sequences[:, :start] = prefix[memory.windows]
    texts: list[list[int]] = [[] for _ in range(batch)]
    upcoming = sequences[:, :start]
    for length in range(start, most_tokens):
        scores = decoder.logits(upcoming, memory)
        for process in processors:
            scores = process(sequences[: memory.active, :length], scores)
        chosen = scores.max(-1).indices  # the first of the greatest, as argmax gives it, in a third of the time
        sequences[: memory.active, length] = chosen
        # From the last to the first, so that the window that changes places with one that ends is one that goes on.
        for slot in [] if end is None else reversed((chosen == end).nonzero().flatten().tolist()):
            texts[memory.windows[slot]] = sequences[slot, start:length].tolist()
            memory.finish(slot)
            sequences[slot] = sequences[memory.active]
        if not memory.active:
            break
        upcoming = sequences[: memory.active, length : length + 1]
    for slot in range(memory.active):
        texts[memory.windows[slot]] = sequences[slot, start:].tolist()
    return texts


def _laid_out(layer: Any, batch_size: int, take: bool) -> _Layer:
    def lay_out(part: torch.nn.Linear) -> Linear:
        return packed(part, batch_size, take=take)

    own, cross = (
        _Attention(*(lay_out(part) for part in (each.q_proj, each.k_proj, each.v_proj, each.out_proj)))
        for each in (layer.self_attn, layer.encoder_attn)
    )
    return _Layer(own, cross, lay_out(layer.fc1), lay_out(layer.fc2), layer)


def _merged(attention: _Attention, attended: Tensor) -> Tensor:
    return attention.out(attended.transpose(1, 2).flatten(2))


def _attend(query: Tensor, keys: Tensor, values: Tensor, causal: bool = False) -> Tensor:
    """Attention without scaling, in the type of the keys; all of shape ``(batch, heads, n, head size)``."""
    if query.dtype != keys.dtype:
        return _attend(query.to(keys.dtype), keys, values, causal).to(query.dtype)
    if query.shape[2] == 1 and not suits_fused(query.dtype, query.device):
        return torch.softmax(query @ keys.transpose(2, 3), -1) @ values
    return functional.scaled_dot_product_attention(query, keys, values, is_causal=causal, scale=1.0)
