"""Whisper models on torch: multilingual and English ones, distilled ones, in windows or by their own long-form walk."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForSpeechSeq2Seq

from bench.config import AUTO, Config, DType, Merge, Strategy, Weights
from bench.errors import ImpossiblePoint, ModelError
from bench.inference.holdings import Holdings
from bench.inference.pieces import UNSPACED
from bench.inference.pretrained import RANDOM_TOKENS_PER_S, load_extractor, load_model, load_tokenizer
from bench.inference.spectrogram import log_mel
from bench.inference.token_times import follow, heads_that_follow
from bench.inference.watch import booked_as
from bench.inference.whisper_decoder import Decoder, Memory, greedy
from bench.inference.whisper_encoder import Encoder
from bench.inference.whisper_prompt import Prompt, checked_choices
from bench.inference.whisper_text import Said, Writer
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window

# Temperatures and thresholds of Whisper's own fallback (Radford et al. 2022, section 4.5). transformers computes the
# compression ratio of token ids instead of text, for which its documentation gives 1.35 in place of 2.4.
_FALLBACK = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
}
_NO_SPEECH = {"no_speech_threshold": 0.6}

_TOKENS_STEP = 32  # texts are padded to multiples of it, so that there are few shapes to build kernels for
_SLOTS_STEP = 4  # windows whose times are read together: no more memory than decoding itself takes
_ROWS_PER_FRAME = 2  # the encoder halves the rate of its input


class WhisperEngine:
    """A Whisper checkpoint on its device, ready to decode.

    Greedy decoding runs through :mod:`bench.inference.whisper_decoder`; beam search, temperature fallback, segment
    times and the long-form walk through the library's ``generate``. With segment times that decodes a window in
    several goes: a model often ends its text after a whole segment, and has to be asked for the rest.

    Args:
        config: The trial's configuration.
        model_path: Local folder or model-hub id; only safetensors weights are read, and no code of the model's own.

    Raises:
        ModelError: The model cannot be loaded.
        ConfigError: The model cannot honour ``decode.language`` or ``decode.task``.
        ImpossiblePoint: ``decode.strategy=sequential`` with windows other than the model's own.
    """

    align = 1

    def __init__(self, config: Config, model_path: str) -> None:
        self._decode = config.decode
        self._random = config.model.weights is Weights.random
        self._whole_numbers = config.model.dtype is DType.int8
        self._device = torch.device(config.device)
        self._model = load_model(AutoModelForSpeechSeq2Seq, config, model_path)
        self._holdings = Holdings(self._model)
        self._extractor = load_extractor(config, model_path)
        self._generation = _settings(self._model, config.model.name)
        self._special, self._writer = frozenset[int](), None
        if not self._random:
            tokenizer = load_tokenizer(config, model_path)
            self._special = frozenset(tokenizer.all_special_ids)
            time_step_s = self.max_window_s / self._model.config.max_source_positions
            self._writer = Writer(
                tokenizer, config.decode, self.rate_hz, self._first_time_token, time_step_s, self.max_window_s
            )
        self._given = checked_choices(self._generation, config.decode, config.model.name)
        forced = getattr(self._model.config, "forced_decoder_ids", None) or ()
        self._prompt = Prompt.of(self._generation, config.decode, config.model.name, forced)
        if self._decode.strategy is Strategy.sequential and self._decode.chunk_length_s != self.max_window_s:
            raise ImpossiblePoint(
                f"decode.strategy=sequential walks in windows of the model's own {self.max_window_s:g} s, and"
                f" decode.chunk_length_s={self._decode.chunk_length_s:g}; use decode=sequential"
            )
        self._encode = self._encoder(compiled=config.model.compile)
        batch_size = config.decode.batch_size
        self._decoder = Decoder(
            self._model,
            1 if batch_size == AUTO else int(batch_size),
            take=self._uses_own_loop,
            keep=self._lays_out_encoder,  # other encoders need the room themselves
        )
        self._following_heads = heads_that_follow(
            getattr(self._generation, "alignment_heads", None),
            self._model.config.decoder_layers,
            self._model.config.decoder_attention_heads,
        )
        self._tells_times = self._decode.merge is Merge.aligned and self._decode.strategy is not Strategy.sequential

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the feature extractor."""
        return int(self._extractor.sampling_rate)

    @property
    def max_window_s(self) -> float:
        """Length of the model's input; the feature extractor would cut off the rest without a word."""
        return float(self._extractor.chunk_length)

    @property
    def mixes_lengths(self) -> bool:
        """Whether windows of different lengths may share a batch: they are all padded to the model's own length.

        In the long-form walk recordings are not, and there ``generate`` reads a short one otherwise beside a long one.
        """
        return self._decode.strategy is not Strategy.sequential

    @property
    def footprint(self) -> Footprint:
        """What its memory is for."""
        return self._holdings.footprint

    def features(self, batch: Sequence[Samples]) -> dict[str, Tensor]:
        """Log-mel spectrograms and their attention mask, padded to the model's window, or to the longest recording."""
        if max(map(len, batch)) <= self._extractor.n_samples:
            features, rows = log_mel(self._extractor, batch)
            mask = torch.arange(features.shape[-1]) < torch.tensor(rows)[:, None]
            return {"input_features": torch.from_numpy(features), "attention_mask": mask.long()}
        made = self._extractor(
            list(batch),
            sampling_rate=self.rate_hz,
            truncation=False,
            padding="longest",
            return_tensors="pt",
            return_attention_mask=True,
        )
        return {"input_features": made["input_features"], "attention_mask": made["attention_mask"]}

    @torch.inference_mode()
    def decode(self, inputs: dict[str, Tensor], clock: PhaseClock) -> list[Said]:
        """Return what was said in each window."""
        rows = inputs["attention_mask"].sum(-1).tolist()
        features = inputs["input_features"].to(self._device, self._model.dtype)
        self._holdings.saw_features([features])
        if self._uses_own_loop:
            with clock.phase("encode"):
                encoded = self._encode(features)
            with clock.phase("decode"):
                memory = self._decoder.remember(encoded, self._model.config.max_target_positions)
                self._holdings.saw_cache(each for pair in (*memory.cross, *memory.own) for each in pair)
                prefix = self._prefix(memory)
                texts = self._decode_greedily(memory, prefix, max(rows))
        else:
            with clock.phase("decode"), booked_as("encode", self._model.get_encoder(), clock) as outputs:
                mask = inputs["attention_mask"].to(self._device)
                options = self._generate_options(max(rows))
                texts = self._model.generate(features, attention_mask=mask, **options).tolist()
                encoded = outputs[0].last_hidden_state
                encoded = encoded[:: len(encoded) // len(features)]  # a beam search encodes every window once a beam
                memory = self._decoder.remember(encoded, self._model.config.max_target_positions)
                prefix = self._prefix(memory)
        texts = [[token for token in text if token not in self._special] for text in texts]
        starts: list[NDArray[np.float64] | None] = [None] * len(texts)
        if self._tells_times:
            with clock.phase("align"):
                starts = self._starts_s(memory, prefix, texts, rows)
        return [Said(*each) for each in zip(texts, starts, self._spaced(prefix), strict=True)]

    def join(self, emissions: Sequence[Said], windows: Sequence[Window]) -> Transcript:
        """Join the windows; see :mod:`bench.inference.merge` and :mod:`bench.inference.aligned`."""
        return Transcript("", (), tuple(windows)) if self._writer is None else self._writer.join(emissions, windows)

    def _encoder(self, compiled: bool) -> Callable[[Tensor], Tensor]:
        module = self._model.get_encoder()
        if compiled:
            module.compile()
        elif self._lays_out_encoder:
            return Encoder(self._model)
        return lambda features: module(features).last_hidden_state

    @property
    def _lays_out_encoder(self) -> bool:
        plain = self._uses_own_loop and self._device.type == "cpu" and not self._whole_numbers
        return plain and self._model.config._attn_implementation == "sdpa"

    @property
    def _uses_own_loop(self) -> bool:
        plain = self._decode.num_beams == 1 and not self._decode.temperature_fallback
        # Times that random weights say would make generate start over and over.
        plain = plain and (self._random or not self._decode.timestamps)
        return plain and self._decode.strategy is not Strategy.sequential

    def _prefix(self, memory: Memory) -> Tensor:
        """Tokens that every text starts with, shape ``(batch, n)``."""
        prompt = self._prompt
        detected = self._detected(memory) if prompt.languages else [None] * len(memory.windows)
        return torch.tensor([prompt.tokens(language) for language in detected], device=self._device)

    def _detected(self, memory: Memory) -> list[int]:
        """Token of the language that each window is likeliest to be in."""
        start = torch.full((len(memory.windows), 1), self._prompt.start, device=self._device)
        scores = self._decoder.logits(start, memory)
        memory.forget_tokens()
        languages = torch.tensor(self._prompt.languages, device=self._device)
        likeliest: list[int] = languages[scores[:, languages].argmax(-1)].tolist()
        return likeliest

    def _decode_greedily(self, memory: Memory, prefix: Tensor, rows: int) -> list[list[int]]:
        start, settings = prefix.shape[1], self._generation
        if self._random:
            return greedy(self._decoder, memory, prefix, [], None, start + self._random_tokens(rows))
        processors = [_Suppression(settings, start, self._model.config.vocab_size, self._device)]
        # As generate bounds them: its max_length counts from after the prefix.
        most = self._model.config.max_target_positions
        if settings.max_length is not None:
            most = min(settings.max_length + start, most)
        return greedy(self._decoder, memory, prefix, processors, settings.eos_token_id, most)

    def _generate_options(self, rows: int) -> dict[str, Any]:
        decode = self._decode
        sequential = decode.strategy is Strategy.sequential
        options: dict[str, Any] = {
            "num_beams": decode.num_beams,
            "return_timestamps": decode.timestamps or sequential,
            **self._given,
        }
        if decode.temperature_fallback:
            options |= _FALLBACK | (_NO_SPEECH if sequential else {})
        if self._random:
            count = self._random_tokens(min(rows, self._extractor.nb_max_frames))
            options |= {"min_new_tokens": count, "max_new_tokens": count, "force_unique_generate_call": not sequential}
        return options

    def _random_tokens(self, rows: int) -> int:
        seconds: float = rows * self._extractor.hop_length / self.rate_hz
        return max(1, round(seconds * RANDOM_TOKENS_PER_S))

    def _spaced(self, prefix: Tensor) -> list[bool]:
        """Whether the language of each window puts blanks between words, by the prefix's language token."""
        known = getattr(self._generation, "lang_to_id", None) or {}
        unspaced = {known[f"<|{code}|>"] for code in UNSPACED if f"<|{code}|>" in known}
        return [unspaced.isdisjoint(tokens) for tokens in prefix.tolist()]

    def _starts_s(
        self, memory: Memory, prefix: Tensor, texts: Sequence[list[int]], rows: Sequence[int]
    ) -> list[NDArray[np.float64] | None]:
        """Start of each token and end of the last, in seconds from the start of the window."""
        words = [[token for token in text if token < self._first_time_token] for text in texts]
        longest = max(map(len, words))
        padded = -(-longest // _TOKENS_STEP) * _TOKENS_STEP
        ids = torch.full((len(words), padded), self._generation.eos_token_id, device=self._device)
        for line, tokens in zip(ids, words, strict=True):
            line[: len(tokens)] = torch.tensor(tokens, device=self._device)
        ids = torch.cat([prefix, ids], dim=1)[:, : self._model.config.max_target_positions]
        ids = ids[memory.windows]
        starts: list[NDArray[np.float64] | None] = [None] * len(words)
        for first in range(0, len(ids), _SLOTS_STEP):
            slots = slice(first, min(first + _SLOTS_STEP, len(ids)))
            queries = self._decoder.cross_queries(ids[slots], memory, slots)
            for row, slot in enumerate(range(slots.start, slots.stop)):
                window = memory.windows[slot]
                # All tokens and frames, padding too, so that the shape is always the same.
                scores = torch.stack(
                    [
                        queries[layer][row, head] @ memory.cross[layer][0][slot, head].T
                        for layer, head in self._following_heads
                    ]
                )
                starts[window] = self._token_starts_s(scores, prefix.shape[1], len(words[window]), rows[window])
        return starts

    def _token_starts_s(self, scores: Tensor, prefix: int, tokens: int, rows: int) -> NDArray[np.float64]:
        """Start of each token and end of the last, from attention scores of shape ``(heads, tokens, frames)``."""
        # A token is attended to by the query of the one before it, which predicts it; the last predicts the end.
        spoken = scores[:, prefix - 1 : prefix + tokens, : max(1, rows // _ROWS_PER_FRAME)]
        firsts = follow(torch.softmax(spoken, -1, dtype=torch.float32).cpu().numpy())
        frame_s: float = _ROWS_PER_FRAME * self._extractor.hop_length / self.rate_hz
        padded = np.pad(firsts, (0, tokens + 1 - len(firsts)), mode="edge")
        return padded.astype(np.float64) * frame_s

    @property
    def _first_time_token(self) -> int:
        return int(self._generation.no_timestamps_token_id) + 1


def _settings(model: Any, name: str) -> Any:
    settings = model.generation_config
    if not hasattr(settings, "no_timestamps_token_id"):
        raise ModelError(
            f"model.name={name}: its generation_config.json is missing, or so old that it does not tell"
            " no_timestamps_token_id; take the file of the model that it was trained from"
        )
    return settings


class _Suppression:
    """Rules out tokens that Whisper never says, and those it does not begin with, as the library's processors do.

    The library makes the list into a mask anew at each step, which takes as long as a layer.
    """

    def __init__(self, settings: Any, start: int, vocabulary: int, device: torch.device) -> None:
        self._start = start
        self._always = _mask(settings.suppress_tokens, vocabulary, device)
        self._at_start = self._always | _mask(settings.begin_suppress_tokens, vocabulary, device)

    def __call__(self, sequences: Tensor, scores: Tensor) -> Tensor:
        mask = self._at_start if sequences.shape[1] == self._start else self._always
        return scores.masked_fill_(mask, -torch.inf)


def _mask(tokens: Sequence[int] | None, vocabulary: int, device: torch.device) -> Tensor:
    mask = torch.zeros(vocabulary, dtype=torch.bool, device=device)
    mask[list(tokens or ())] = True
    return mask
