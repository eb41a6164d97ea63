"""Recordings as samples: any container and codec FFmpeg reads, mixed to mono, resampled once and well."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from bench.errors import AudioError
from bench.records import Samples, Utterance

_SLACK_S = 0.5  # manifests round, and players count a file's padding


def load_recordings(utterances: Sequence[Utterance], rate_hz: int) -> list[Samples | AudioError]:
    """Load each utterance's audio at ``rate_hz``; one that cannot be had is represented by its error.

    Neighbouring utterances of one recording share its decoding.

    Returns:
        For each utterance, in order, mono samples of shape ``(samples,)``, or why there are none.
    """
    loaded: list[Samples | AudioError] = []
    last: tuple[Path, Samples | AudioError] | None = None
    for utterance in utterances:
        if last is None or last[0] != utterance.path:
            last = (utterance.path, _attempt(utterance.path, rate_hz))
        whole = last[1]
        loaded.append(whole if isinstance(whole, AudioError) else _span(whole, utterance, rate_hz))
    return loaded


def decode_audio(path: Path, rate_hz: int) -> Samples:
    """Decode the first audio stream of a file to mono samples of shape ``(samples,)`` at ``rate_hz``.

    Channels are averaged; the resampler is soxr at its very high quality.

    Raises:
        AudioError: The file is missing, holds no audio, cannot be decoded to its end, or has samples that are no
            numbers.
    """
    try:
        native, native_hz = _decode(path)
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist; mend its path in the manifest, or data.root") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{path} cannot be decoded ({reason}); check that it is a complete audio file") from error
    if not len(native):
        raise AudioError(f"{path} holds no audio samples; record it anew or take it out of the manifest")
    if not np.isfinite(native).all():
        raise AudioError(f"{path} has samples that are not finite numbers; write it anew from its source")
    if native_hz == rate_hz:
        return native
    samples = np.asarray(soxr.resample(native, native_hz, rate_hz, quality="VHQ"), dtype=np.float32)
    if not len(samples):
        raise AudioError(f"{path} is shorter than one sample at {rate_hz} Hz; take it out of the manifest")
    return samples


def _attempt(path: Path, rate_hz: int) -> Samples | AudioError:
    try:
        return decode_audio(path, rate_hz)
    except AudioError as error:
        return error


def _decode(path: Path) -> tuple[NDArray[np.float32], int]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise ValueError("it has no audio stream")
        stream = container.streams.audio[0]
        rate_hz = stream.rate
        to_float = av.AudioResampler(format="fltp")
        blocks: list[NDArray[np.float32]] = []
        for frame in container.decode(stream):
            blocks.extend(part.to_ndarray().mean(axis=0, dtype=np.float32) for part in to_float.resample(frame))
        blocks.extend(part.to_ndarray().mean(axis=0, dtype=np.float32) for part in to_float.resample(None))
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32), rate_hz


def _span(whole: Samples, utterance: Utterance, rate_hz: int) -> Samples | AudioError:
    if utterance.start_s == 0.0 and utterance.duration_s is None:
        return whole
    whole_s = len(whole) / rate_hz
    stop_s = whole_s if utterance.duration_s is None else utterance.start_s + utterance.duration_s
    if utterance.start_s >= whole_s or stop_s > whole_s + _SLACK_S:
        return AudioError(
            f"{utterance.path}: the span from {utterance.start_s:g} s to {stop_s:g} s does not lie within its"
            f" {whole_s:.2f} s; mend start_s and duration_s in the manifest"
        )
    span = whole[round(utterance.start_s * rate_hz) : round(stop_s * rate_hz)]
    if not len(span):
        return AudioError(
            f"{utterance.path}: the span at {utterance.start_s:g} s holds no sample; give it a duration_s"
        )
    return span
