"""Models trained with connectionist temporal classification (CTC), on torch: wav2vec 2.0 and its kin, Parakeet, ..."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCTC

from bench.config import Config, Merge, Strategy
from bench.errors import ConfigError, ImpossiblePoint
from bench.inference.ctc_model import load_beam_search, mixes_lengths, samples_per_frame
from bench.inference.frames import Kept, align_strides, trim_strides, word_spans
from bench.inference.holdings import Holdings
from bench.inference.pretrained import load_extractor, load_model, load_tokenizer, torch_dtype
from bench.inference.seams import nearest, seams_s
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window, Word

# Every extractor of spectrograms looks at 25 ms in steps of 10 ms, and needs two rows to bring them to unit variance.
_ROW_S = 0.025
_HOP_S = 0.010
_FEWEST_ROWS = 2

# SentencePiece writes the blank before a word as this mark (https://github.com/google/sentencepiece, "Whitespace").
_WORD_MARK = "\u2581"


@dataclass(frozen=True)
class Inputs:
    """A batch as the model takes it.

    Attributes:
        tensors: ``input_values`` or ``input_features``, and ``attention_mask``; shapes ``(windows, samples or rows)``
            and, for features, ``(windows, rows, bins)``, zero-padded at the end.
        frames: How many of the frames that the model emits are each window's own.
    """

    tensors: dict[str, torch.Tensor]
    frames: tuple[int, ...]


class CTCEngine:
    """A CTC checkpoint of any family that ``AutoModelForCTC`` knows, on its device.

    With ``decode.merge=pipeline`` the text is that of transformers' pipeline at batch size 1. Not so where the pipeline
    mistakes the length of a frame (:func:`bench.inference.ctc_model.samples_per_frame`): there it drops most of what
    has strides, and here windows are joined by the true length. Of Parakeet, frames that the attention mask excludes
    are left out, too, as its own ``generate`` does; the pipeline reads them.

    Args:
        config: The trial's configuration.
        model_path: Local folder or model-hub id; only safetensors weights are read, and no code of the model's own.

    Raises:
        ModelError: The model cannot be loaded, or is of a family that is not supported.
        ConfigError: The model cannot honour a setting.
        ImpossiblePoint: ``decode.strategy=sequential``; these models have no long-form algorithm.
    """

    max_window_s = None

    def __init__(self, config: Config, model_path: str) -> None:
        _refuse_what_ctc_lacks(config)
        self._decode = config.decode
        self._device = torch.device(config.device)
        self._dtype = torch_dtype(config.model.dtype)
        self._model = self._loaded(config, model_path)
        self._holdings = Holdings(self._model)
        self._extractor, self._tokenizer = load_extractor(config, model_path), load_tokenizer(config, model_path)
        self._beam_search = load_beam_search(config, model_path) if config.decode.num_beams > 1 else None
        self._align = samples_per_frame(config, self._model.config, self._extractor)
        self._mixes_lengths = mixes_lengths(self._model.config)
        self._shortest = self._shortest_window()
        self._blank = int(self._tokenizer.pad_token_id)
        # A subword tokenizer has none: its tokens tell by a mark that they begin a word.
        self._delimiter: int | None = getattr(self._tokenizer, "word_delimiter_token_id", None)
        tokens = self._tokenizer.convert_ids_to_tokens(range(self._model.config.vocab_size))
        self._opens_word = np.array([str(token).startswith(_WORD_MARK) for token in tokens])
        if config.model.compile:
            self._model.compile()

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the feature extractor."""
        return int(self._extractor.sampling_rate)

    @property
    def align(self) -> int:
        """Samples an output frame covers, as the pipeline's ``_align_to``; see :func:`samples_per_frame`."""
        return self._align

    @property
    def mixes_lengths(self) -> bool:
        """Whether the model's masks make padding exact; see :func:`bench.inference.ctc_model.mixes_lengths`."""
        return self._mixes_lengths

    @property
    def footprint(self) -> Footprint:
        """What its memory is for."""
        return self._holdings.footprint

    def features(self, batch: Sequence[Samples]) -> Inputs:
        """Extract each window's features by itself, as the pipeline does, and pad them to a batch.

        A window too short for a single frame (25 ms of audio for most models, 145 ms for Lasr) is lengthened by silence
        for the model's sake, and has no frames of its own.
        """
        main = self._model.main_input_name
        rows, masks, frames = [], [], []
        for window in batch:
            lacking = max(0, self._shortest - len(window))
            extracted = self._extractor(
                np.pad(window, (0, lacking)),  # a copy in any case: torch warns of arrays that cannot be written to
                sampling_rate=self.rate_hz,
                return_tensors="pt",
                return_attention_mask=True,
            )
            rows.append(extracted[main][0])
            masks.append(extracted["attention_mask"][0])
            frames.append(0 if lacking else self._frames(len(rows[-1]), int(masks[-1].sum())))
        tensors = {
            main: pad_sequence(rows, batch_first=True).to(self._dtype),
            "attention_mask": pad_sequence(masks, batch_first=True),
        }
        return Inputs(tensors, tuple(frames))

    def decode(self, inputs: Inputs, clock: PhaseClock) -> list[NDArray[Any]]:
        """Run the model; returns each window's own frames.

        A window's emission is the likeliest class of each frame, shape ``(frames,)``, or, for a beam search, the
        logits in float32, shape ``(frames, classes)``.
        """
        tensors = {name: each.to(self._device) for name, each in inputs.tensors.items()}
        self._holdings.saw_features(tensors.values())
        self._holdings.saw_cache([])  # these models have no decoder
        with torch.inference_mode():
            with clock.phase("encode"):
                logits = self._scores(tensors)
            with clock.phase("decode"):
                emitted = logits.float() if self._beam_search else logits.argmax(dim=-1).int()
                emissions = emitted.cpu().numpy()
        return [emission[:frames].copy() for emission, frames in zip(emissions, inputs.frames, strict=True)]

    def join(self, emissions: Sequence[NDArray[Any]], windows: Sequence[Window]) -> Transcript:
        """Join all windows' frames, then collapse them once; windows cut at silences stay apart.

        See :mod:`bench.inference.frames` for where neighbouring windows are joined.
        """
        if self._decode.merge is Merge.pipeline:
            kept = trim_strides([len(emission) for emission in emissions], windows, self._align)
        else:
            classes = [emission if emission.ndim == 1 else emission.argmax(axis=-1) for emission in emissions]
            silent = [self._blank] if self._delimiter is None else [self._blank, self._delimiter]
            kept = align_strides(classes, windows, self._align, silent)
        everything = range(len(windows))
        # A silence is the end of a word even where the model emits no delimiter for it.
        stretches = [[index] for index in everything] if self._decode.strategy is Strategy.vad else [list(everything)]
        texts, words = [], []
        for stretch in stretches:
            joined = np.concatenate([emissions[index][kept[index].first : kept[index].stop] for index in stretch])
            text, spans = self._read(joined)
            texts.append(text)
            words += self._placed(spans, stretch, kept, windows)
        return Transcript(" ".join(filter(None, texts)), tuple(words), tuple(windows))

    def _loaded(self, config: Config, model_path: str) -> Any:
        return load_model(AutoModelForCTC, config, model_path)

    def _scores(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        """Scores of each frame, shape ``(windows, frames, classes)``."""
        scores: torch.Tensor = self._model(**tensors).logits
        return scores

    def _read(self, joined: NDArray[Any]) -> tuple[str, list[tuple[str, Kept]]]:
        """Return the text of joined frames, and each word with its frames."""
        if not len(joined):
            return "", []
        if self._beam_search:
            best = self._beam_search.decode_beams(joined, beam_width=self._decode.num_beams)[0]
            return best[0], [(word, Kept(first, stop)) for word, (first, stop) in best[2]]
        text = self._spelled(joined)
        spans = word_spans(joined, self._blank, self._delimiter, self._opens_word)
        words = text.split()
        if len(words) != len(spans):  # the tokenizer writes no blanks, or tidies them away ("it 's" to "it's")
            words = [self._spelled(joined[span.first : span.stop]).strip() for span in spans]
        return text, [(word, span) for word, span in zip(words, spans, strict=True) if word]

    def _spelled(self, classes: NDArray[Any]) -> str:
        # The pipeline keeps special tokens, too; the tokenizer collapses repeats and drops its padding, the blank.
        return str(self._tokenizer.decode(classes.tolist(), skip_special_tokens=False))

    def _placed(
        self, spans: Sequence[tuple[str, Kept]], stretch: Sequence[int], kept: Sequence[Kept], windows: Sequence[Window]
    ) -> list[Word]:
        """Place words, told by frames that were joined from some windows, in the recording."""
        owner = np.repeat(stretch, [max(0, kept[index].stop - kept[index].first) for index in stretch])
        starts = np.concatenate(
            [windows[i].start + self._align * np.arange(kept[i].first, kept[i].stop) for i in stretch]
        )
        seams = seams_s(windows, self.rate_hz)
        words = []
        for text, span in spans:
            start_s = float(starts[span.first]) / self.rate_hz
            # The last frame of a recording may reach beyond its end.
            end_s = min(int(starts[span.stop - 1]) + self._align, windows[-1].stop) / self.rate_hz
            seam_s = nearest((start_s + end_s) / 2, seams)
            words.append(Word(text, int(owner[span.first]), start_s, end_s, seam_s))
        return words

    def _frames(self, rows: int, unmasked: int) -> int:
        """Frames that the model emits for a window of so many samples or spectrogram rows, run by itself."""
        if hasattr(self._model, "_get_feat_extract_output_lengths"):
            # The pipeline keeps the frame of a half-filled last row of wav2vec2-bert, which its mask leaves out.
            return int(self._model._get_feat_extract_output_lengths(torch.tensor(rows)))
        # What a masked frame holds depends on how far a batch is padded.
        return int(self._model._get_subsampling_output_length(torch.tensor(unmasked)))

    def _shortest_window(self) -> int:
        """Samples of the shortest window that makes a frame."""
        rows = next(rows for rows in itertools.count(_FEWEST_ROWS) if self._frames(rows, rows) > 0)
        if self._model.main_input_name == "input_values":
            return rows
        return round((_ROW_S + _HOP_S * (rows - 1)) * self.rate_hz)


def _refuse_what_ctc_lacks(config: Config) -> None:
    decode, name = config.decode, config.model.name
    if decode.strategy is Strategy.sequential:
        raise ImpossiblePoint(
            f"{name} is a CTC model and has no long-form algorithm of its own; use decode.strategy=chunked or vad"
        )
    lacking = {
        "timestamps": ("predicts no segment times (its words have times in any case)", "false"),
        "temperature_fallback": ("draws no samples", "false"),
        "language": ("takes no language", "null"),
        "task": ("takes no task", "null"),
    }
    for setting, (what, cure) in lacking.items():
        if getattr(decode, setting):
            raise ConfigError(
                f"{name} is a CTC model and {what}, but decode.{setting}={getattr(decode, setting)};"
                f" use decode.{setting}={cure}"
            )
