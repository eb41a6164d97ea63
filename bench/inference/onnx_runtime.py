"""The engine ``onnxruntime``: models as ONNX graphs, which :mod:`bench.inference.onnx_export` makes, on a CPU.

Whisper is decoded greedily by a loop of ours, which feeds the keys and values that a step gives to the next. The graph
of the encoder also makes what the decoder attends to, so that its time is booked under ``encode``; under
``engine=transformers`` it is part of ``decode``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.config import Config, Merge
from bench.errors import AssetError, ModelError
from bench.inference.engine import Engine
from bench.inference.pieces import UNSPACED
from bench.inference.spectrogram import log_mel
from bench.inference.token_times import follow
from bench.inference.whisper_prompt import Prompt
from bench.inference.whisper_text import Said, Writer
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window

_MIB = 1024 * 1024
_ROWS_PER_FRAME = 2  # the encoder halves the rate of its input

Arrays: TypeAlias = dict[str, NDArray[np.float32]]


def load(config: Config, model_path: str) -> Engine:
    """Load the model of a configuration.

    Args:
        config: The trial's configuration.
        model_path: A folder that :func:`bench.inference.onnx_export.ensure_export` made.

    Raises:
        AssetError: onnxruntime is not installed.
        ModelError: The graphs cannot be loaded.
        ConfigError: The model cannot honour a setting.
    """
    if (Path(model_path) / "model.onnx").is_file():
        from bench.inference.onnx_ctc import OnnxCTCEngine

        return OnnxCTCEngine(config, model_path)
    return OnnxWhisperEngine(config, model_path)


def open_graph(config: Config, path: Path) -> Any:
    """Load a graph onto the CPU, with as many threads as the configuration says.

    Raises:
        AssetError: onnxruntime is not installed.
        ModelError: The graph cannot be loaded.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise AssetError(
            f"engine=onnxruntime needs onnxruntime ({error}); run: pip install 'asr-sweep[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        reason = " ".join(str(error).split())
        raise ModelError(
            f"model.name={config.model.name}: {path} cannot be loaded by onnxruntime ({reason:.300}); remove its"
            " folder, and it is exported anew"
        ) from error


def weights_mib(folder: Path) -> float:
    """Size of the graphs, which are weights but for some kilobytes; onnxruntime may hold some of them twice."""
    return sum(path.stat().st_size for path in folder.glob("*.onnx*")) / _MIB


@dataclass(frozen=True)
class Inputs:
    """A batch as the encoder takes it: log-mel spectrograms, ``(windows, bins, rows)``, and rows that hold audio."""

    features: NDArray[np.float32]
    rows: tuple[int, ...]


class OnnxWhisperEngine:
    """A Whisper model under onnxruntime.

    Args:
        config: The trial's configuration.
        model_path: A folder that :func:`bench.inference.onnx_export.ensure_export` made.

    Raises:
        AssetError: onnxruntime is not installed.
        ModelError: The graphs cannot be loaded.
        ConfigError: The model cannot honour ``decode.language`` or ``decode.task``.
    """

    align = 1
    mixes_lengths = True

    def __init__(self, config: Config, model_path: str) -> None:
        from transformers import GenerationConfig

        from bench.inference.pretrained import load_extractor, load_tokenizer, read_settings

        folder, name = Path(model_path), config.model.name
        self._tells_times = config.decode.merge is Merge.aligned
        self._encoder = open_graph(config, folder / "encoder.onnx")
        self._decoder = open_graph(config, folder / "decoder.onnx")
        self._extractor, tokenizer = load_extractor(config, model_path), load_tokenizer(config, model_path)
        self._settings = GenerationConfig.from_pretrained(model_path)
        model = read_settings(config, model_path)
        self._prompt = Prompt.of(self._settings, config.decode, name, getattr(model, "forced_decoder_ids", None) or ())
        self._most_tokens = int(model.max_target_positions)
        self._always = np.array(self._settings.suppress_tokens or (), np.int64)
        self._at_start = np.array(self._settings.begin_suppress_tokens or (), np.int64)
        self._first_time_token = int(self._settings.no_timestamps_token_id) + 1
        self._special = frozenset(tokenizer.all_special_ids)
        time_step_s = self.max_window_s / model.max_source_positions
        self._writer = Writer(
            tokenizer, config.decode, self.rate_hz, self._first_time_token, time_step_s, self.max_window_s
        )
        known = getattr(self._settings, "lang_to_id", None) or {}
        self._unspaced = {number for code, number in known.items() if code.strip("<|>") in UNSPACED}
        self._heads, self._head_size = (
            int(model.decoder_attention_heads),
            int(model.d_model // model.decoder_attention_heads),
        )
        self.footprint = Footprint(weights_mib=weights_mib(folder))

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the feature extractor."""
        return int(self._extractor.sampling_rate)

    @property
    def max_window_s(self) -> float:
        """Length of the model's input; the feature extractor would cut off the rest without a word."""
        return float(self._extractor.chunk_length)

    def features(self, batch: Sequence[Samples]) -> Inputs:
        """Log-mel spectrograms, padded to the model's window."""
        return Inputs(*log_mel(self._extractor, batch))

    def decode(self, inputs: Inputs, clock: PhaseClock) -> list[Said]:
        """Return what was said in each window."""
        with clock.phase("encode"):
            names = [each.name for each in self._encoder.get_outputs()]
            cross = dict(zip(names, self._encoder.run(names, {"features": inputs.features}), strict=True))
        with clock.phase("decode"):
            loop = _Loop(self._decoder, cross, (self._heads, self._head_size))
            prompts = self._read_prompts(loop)
            self._read_texts(loop, len(prompts[0]))
        self._saw(inputs, loop)
        starts: list[NDArray[np.float64] | None] = [None] * len(prompts)
        texts = []
        with clock.phase("align"):
            for window, (text, attention) in enumerate(zip(loop.texts, loop.attention, strict=True)):
                said = [token not in self._special for token in text]
                texts.append([token for token, kept in zip(text, said, strict=True) if kept])
                if self._tells_times:
                    words = [kept and token < self._first_time_token for token, kept in zip(text, said, strict=True)]
                    starts[window] = self._starts_s(attention, words, inputs.rows[window])
        spaced = [self._unspaced.isdisjoint(prompt) for prompt in prompts]
        return [Said(*each) for each in zip(texts, starts, spaced, strict=True)]

    def join(self, emissions: Sequence[Said], windows: Sequence[Window]) -> Transcript:
        """Join the windows; see :mod:`bench.inference.merge` and :mod:`bench.inference.aligned`."""
        return self._writer.join(emissions, windows)

    def _read_prompts(self, loop: "_Loop") -> list[list[int]]:
        """Feed the decoder what every text starts with, but for its last token, and return all of it."""
        prompts = [self._prompt.tokens()] * loop.active
        if languages := self._prompt.languages:
            scores = loop.step(np.full(loop.active, self._prompt.start))
            detected = np.array(languages)[scores[:, languages].argmax(-1)]
            prompts = [self._prompt.tokens(int(language)) for language in detected]
        for place in range(loop.length, len(prompts[0]) - 1):
            loop.step(np.array([prompt[place] for prompt in prompts]))
        loop.upcoming = np.array([prompt[-1] for prompt in prompts])
        return prompts

    def _read_texts(self, loop: "_Loop", start: int) -> None:
        """Decode greedily, as :func:`bench.inference.whisper_decoder.greedy` does, with the same tokens ruled out."""
        end = self._settings.eos_token_id
        most = self._most_tokens
        if self._settings.max_length is not None:  # it counts from after the prompt
            most = min(self._settings.max_length + start, most)
        while loop.active and loop.length < most - 1:
            first = loop.length == start - 1
            scores = loop.step(loop.upcoming, watch=self._tells_times)
            scores[:, self._always] = -np.inf
            if first:
                scores[:, self._at_start] = -np.inf
            loop.say(scores.argmax(-1), end)

    def _starts_s(
        self, attention: Sequence[NDArray[np.float32]], words: Sequence[bool], rows: int
    ) -> NDArray[np.float64]:
        """Start of each token and end of the last, in seconds from the start of the window."""
        tokens = sum(words)
        # The step that chose a token attends to it; the one that chose the end, to the end of the last.
        chosen = [each for each, kept in zip(attention, [*words, True], strict=False) if kept]
        if not chosen:
            return np.zeros(tokens + 1)
        weights = np.stack(chosen, axis=1)[:, :, : max(1, rows // _ROWS_PER_FRAME)]
        firsts = follow(weights / weights.sum(-1, keepdims=True))  # as if no frame beyond the audio had been there
        frame_s: float = _ROWS_PER_FRAME * self._extractor.hop_length / self.rate_hz
        padded = np.pad(firsts, (0, tokens + 1 - len(firsts)), mode="edge")
        return padded.astype(np.float64) * frame_s

    def _saw(self, inputs: Inputs, loop: "_Loop") -> None:
        before = self.footprint
        self.footprint = Footprint(
            before.weights_mib,
            max(before.features_mib or 0.0, inputs.features.nbytes / _MIB),
            max(before.cache_mib or 0.0, loop.most_bytes / _MIB),
        )


class _Loop:
    """The state of decoding a batch. Windows that have ended leave it: they are moved behind those that go on.

    Args:
        decoder: The session of ``decoder.onnx``.
        cross: What it attends to of each window, by the graph's names.
        heads: Number and size of its heads.
    """

    def __init__(self, decoder: Any, cross: Arrays, heads: tuple[int, int]) -> None:
        self._decoder, self._cross = decoder, cross
        self.active = len(next(iter(cross.values())))
        self.length = 0
        self.upcoming = np.zeros(self.active, np.int64)
        self.texts: list[list[int]] = [[] for _ in range(self.active)]
        self.attention: list[list[NDArray[np.float32]]] = [[] for _ in range(self.active)]
        self._windows = list(range(self.active))
        self._own: Arrays = {
            name.removeprefix("cross_"): np.zeros(
                (self.active, heads[0], heads[1], 0) if "key" in name else (self.active, heads[0], 0, heads[1]),
                np.float32,
            )
            for name in cross
        }
        self._fixed_bytes = sum(each.nbytes for each in cross.values())
        self.most_bytes = self._fixed_bytes

    def step(self, tokens: NDArray[np.int64], watch: bool = False) -> NDArray[np.float32]:
        """Take in a token of each active window and return the scores of the next, shape ``(active, vocabulary)``.

        Args:
            tokens: Shape ``(active,)``.
            watch: Keep where the heads that follow the speech attend to.
        """
        feeds: dict[str, Any] = {"tokens": tokens[:, None], "position": np.array([self.length]), **self._own}
        feeds |= {name: each[: self.active] for name, each in self._cross.items()}
        scores, attention, *grown = self._decoder.run(None, feeds)
        self._own = dict(zip(self._own, grown, strict=True))
        self.length += 1
        self.most_bytes = max(self.most_bytes, self._fixed_bytes + sum(each.nbytes for each in grown))
        if watch:
            for window, each in zip(self._windows, attention, strict=False):
                self.attention[window].append(each.copy())
        found: NDArray[np.float32] = scores
        return found

    def say(self, chosen: NDArray[np.int64], end: int) -> None:
        """Take the chosen tokens, shape ``(active,)``, into the texts; a window that chose the end is done."""
        self.upcoming = chosen
        # From the last to the first, so that the window that changes places with one that ends is one that goes on.
        for slot in reversed(range(self.active)):
            if chosen[slot] == end:
                self._finish(slot)
            else:
                self.texts[self._windows[slot]].append(int(chosen[slot]))
        self.upcoming = self.upcoming[: self.active]
        self._own = {name: each[: self.active] for name, each in self._own.items()}

    def _finish(self, slot: int) -> None:
        self.active -= 1
        last = self.active
        if slot == last:
            return
        buffers: list[NDArray[Any]] = [*self._cross.values(), *self._own.values(), self.upcoming]
        for each in buffers:
            each[[slot, last]] = each[[last, slot]]
        self._windows[slot], self._windows[last] = self._windows[last], self._windows[slot]
