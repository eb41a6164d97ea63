"""Cutting a recording where nobody speaks.

The detector is Silero VAD 6.2 (https://github.com/snakers4/silero-vad, MIT), whose weights the package ``silero-vad``
bundles. The package itself is never imported, for that would set torch to one thread, and its model is never loaded,
for that would run pickles; the numbers are read from the archive as they lie there, once its hash is checked. ONNX
would take one more runtime, and the package's safetensors hold another training's weights (their issue 768).
"""

import functools
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.assets.packages import read_checked
from bench.errors import AssetError, ImpossiblePoint
from bench.records import Samples, Window

_REQUIREMENT = "silero-vad==6.2.3"
_ARCHIVE = "silero_vad/data/silero_vad.jit"
_ARCHIVE_SHA256 = "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"
_TENSOR = "VADr_v6_10_25_noths_re/data/{}"  # little-endian float32, in the order of the layers
_FIRST_TENSOR = 2  # those before are empty constants

_RATE_HZ = 16_000
_FRAME = 512  # samples that one probability stands for
_CONTEXT = 64  # samples of the frame before that the model sees, too
_BLOCK = 512 * _FRAME  # 16 s; what is held at a time

# The defaults of get_speech_timestamps in silero_vad/utils_vad.py; lengths in samples at 16 kHz.
_ENTER = 0.5
_LEAVE = _ENTER - 0.15
_MIN_SPEECH = _RATE_HZ * 250 // 1000
_MIN_SILENCE = _RATE_HZ * 100 // 1000
_PAD = _RATE_HZ * 30 // 1000


def speech_spans(samples: Samples, rate_hz: int) -> list[tuple[int, int]]:
    """Find where somebody speaks.

    Args:
        samples: Mono audio, shape ``(samples,)``; it may lie in a file, for it is read in blocks of 16 s.
        rate_hz: Its sampling rate; the detector hears a copy resampled to 16 kHz.

    Returns:
        Spans ``[start, stop)`` in samples of the recording: in order, disjoint, within the recording.

    Raises:
        AssetError: The detector's weights are missing or damaged.
    """
    return _to_rate(hysteresis(probabilities(samples, rate_hz), _length(samples, rate_hz)), len(samples), rate_hz)


def cut_at_silences(samples: Samples, rate_hz: int, longest_s: float) -> list[Window]:
    """Cut a recording into windows that begin and end in silence where there is any.

    This is the "VAD Cut & Merge" of M. Bain, J. Huh, T. Han, A. Zisserman, "WhisperX: Time-Accurate Speech
    Transcription of Long-Form Audio", Interspeech 2023 (arXiv:2303.00747): :func:`divide`, then :func:`pack`.

    Args:
        samples: Mono audio, shape ``(samples,)``; it may lie in a file, for it is read in blocks of 16 s.
        rate_hz: Its sampling rate.
        longest_s: Longest window in seconds.

    Returns:
        Disjoint windows in order, without strides, that hold each sample of speech once; none if nobody speaks.

    Raises:
        ImpossiblePoint: ``longest_s`` is shorter than what the detector tells apart.
        AssetError: The detector's weights are missing or damaged.
    """
    frame = _FRAME * rate_hz / _RATE_HZ
    longest = int(longest_s * rate_hz)
    if longest < frame:
        raise ImpossiblePoint(
            f"decode.chunk_length_s={longest_s:g} is shorter than the {_FRAME / _RATE_HZ:g} s that decode.strategy=vad"
            " tells apart; use longer chunks"
        )
    speech = probabilities(samples, rate_hz)
    spans = _to_rate(hysteresis(speech, _length(samples, rate_hz)), len(samples), rate_hz)
    return pack(divide(spans, longest, speech, frame), longest)


def probabilities(samples: Samples, rate_hz: int) -> NDArray[np.float32]:
    """Probability of speech in each 32 ms of a recording, shape ``(ceil(seconds / 0.032),)``.

    The model is recurrent only after its encoder, which therefore takes many frames at once: this makes it more
    than ten times as fast as Silero's own loop over frames, and gives the same numbers.

    Raises:
        AssetError: The model's weights are missing or damaged.
    """
    model = _model()
    state: tuple[Tensor, Tensor] | None = None
    found: list[NDArray[np.float32]] = []
    pending = np.zeros(_CONTEXT, dtype=np.float32)
    with torch.inference_mode():
        for block in _blocks(samples, rate_hz):
            pending = np.concatenate([pending, block])
            used = (len(pending) - _CONTEXT) // _FRAME * _FRAME
            if used:
                frames = torch.from_numpy(pending[: used + _CONTEXT]).unfold(0, _CONTEXT + _FRAME, _FRAME)
                block_probabilities, state = model(frames, state)
                found.append(block_probabilities.numpy())
                pending = pending[used:]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.float32)


def hysteresis(speech: NDArray[np.float32], length: int) -> list[tuple[int, int]]:
    """Turn probabilities into spans of speech, as ``get_speech_timestamps`` of Silero does.

    Speech begins with the first frame at 0.5 or above. It ends at a frame below 0.35 after which, for 100 ms, no frame
    is at 0.5 again. Speech of up to 250 ms is dropped; what remains gets 30 ms on either side.

    Args:
        speech: Probability of each frame of 512 samples, shape ``(frames,)``.
        length: Samples of the recording at 16 kHz.

    Returns:
        Spans ``[start, stop)`` in samples at 16 kHz: in order, disjoint, within ``[0, length)``.
    """
    spans: list[tuple[int, int]] = []
    start = quiet = None
    for frame, probability in enumerate(speech.tolist()):
        here = frame * _FRAME
        if probability >= _ENTER:
            start, quiet = here if start is None else start, None
        elif start is not None and probability < _LEAVE:
            quiet = here if quiet is None else quiet
            if here - quiet >= _MIN_SILENCE:
                spans.append((start, quiet))
                start = quiet = None
    if start is not None:
        spans.append((start, length))
    # No two pads meet: spans are more than a silence apart, and that is longer than both pads.
    return [(max(start - _PAD, 0), min(stop + _PAD, length)) for start, stop in spans if stop - start > _MIN_SPEECH]


def divide(
    spans: Iterable[tuple[int, int]], longest: int, speech: NDArray[np.float32], frame: float
) -> Iterator[tuple[int, int]]:
    """Divide spans that are longer than ``longest`` where speech is least probable.

    As in WhisperX, the cut lies in the second half of what fits, so that no part but the last of a span is short.

    Args:
        spans: Spans ``[start, stop)`` in samples.
        longest: Samples that fit into a window; at least ``frame``.
        speech: Probability of speech in each frame, shape ``(frames,)``.
        frame: Samples that a probability stands for.

    Yields:
        The spans, and in place of each that is too long, the parts that make it up.
    """
    for start, stop in spans:
        while stop - start > longest:
            half, full = start + (longest + 1) // 2, start + longest
            first, last = int(half / frame), int(full / frame)
            least = first + int(np.argmin(speech[first : last + 1]))
            cut = min(max(round((least + 0.5) * frame), half), full)
            yield start, cut
            start = cut
        yield start, stop


def pack(spans: Iterable[tuple[int, int]], longest: int) -> list[Window]:
    """Put neighbouring spans into one window, with the silence between them, as long as they fit.

    Args:
        spans: Disjoint spans ``[start, stop)`` in order, none longer than ``longest``.
        longest: Samples that fit into a window.

    Returns:
        The windows in order, without strides; each begins and ends with a span.
    """
    windows: list[Window] = []
    for start, stop in spans:
        if windows and stop - windows[-1].start <= longest:
            windows[-1] = replace(windows[-1], stop=stop)
        else:
            windows.append(Window(start, stop, left=0, right=0))
    return windows


def _length(samples: Samples, rate_hz: int) -> int:
    return round(len(samples) * _RATE_HZ / rate_hz)


def _to_rate(spans: Sequence[tuple[int, int]], length: int, rate_hz: int) -> list[tuple[int, int]]:
    scale = rate_hz / _RATE_HZ
    return [(round(start * scale), min(round(stop * scale), length)) for start, stop in spans]


def _blocks(samples: Samples, rate_hz: int) -> Iterator[Samples]:
    """Yield the recording at 16 kHz bit by bit, and then the zeros that complete its last frame."""
    total = 0
    resampler = None if rate_hz == _RATE_HZ else soxr.ResampleStream(rate_hz, _RATE_HZ, 1, dtype="float32")
    step = _BLOCK * rate_hz // _RATE_HZ
    for start in range(0, len(samples), step):
        block = samples[start : start + step]
        if resampler is not None:
            block = resampler.resample_chunk(np.ascontiguousarray(block), last=start + step >= len(samples))
        total += len(block)
        yield block
    yield np.zeros(-total % _FRAME, dtype=np.float32)


class _Silero(nn.Module):
    """Silero VAD at 16 kHz; ``silero_vad/tinygrad_model.py`` of the package spells out the same layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTM(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, frames: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map frames with context, shape ``(frames, 576)``, and the state before to probabilities and the state after.

        A probability is of shape ``(frames,)``; hidden and cell state are of shape ``(1, 128)``, null at the start.
        """
        hidden = self.stft_conv(functional.pad(frames[:, None], (0, _CONTEXT), mode="reflect"))
        real, imaginary = hidden.chunk(2, dim=1)
        hidden = (real**2 + imaginary**2).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            hidden = layer(hidden).relu()
        hidden, state = self.lstm_cell(hidden.squeeze(-1), state)
        return self.final_conv(hidden.relu()[:, :, None]).sigmoid().flatten(), state


@functools.cache
def _model() -> _Silero:
    try:
        path = Path(str(distribution("silero-vad").locate_file(_ARCHIVE)))
    except PackageNotFoundError as error:
        raise AssetError(f"the package {_REQUIREMENT} is not installed; run: pip install '{_REQUIREMENT}'") from error
    with torch.device("meta"):  # fresh weights would draw from the run's random generator
        model = _Silero()
    with zipfile.ZipFile(io.BytesIO(read_checked(path, _ARCHIVE_SHA256, _REQUIREMENT))) as archive:
        weights = {
            name: _tensor(archive.read(_TENSOR.format(number)), like)
            for number, (name, like) in enumerate(model.state_dict().items(), _FIRST_TENSOR)
        }
    model.load_state_dict(weights, assign=True)
    return model.eval()


def _tensor(content: bytes, like: Tensor) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, dtype="<f4").astype(np.float32).reshape(like.shape))
