"""Recordings as samples: any container and codec FFmpeg reads, mixed to mono, resampled once and well."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import av
import numpy as np
import soxr

from bench.assets.fingerprint import of_file, of_parts
from bench.data import audio_cache
from bench.data.complete import is_cut_short, promised_s
from bench.data.container import opened
from bench.data.content import refuse_change
from bench.data.lengths import file_s, too_long
from bench.errors import AudioError
from bench.records import Samples, Utterance

DECODER_VERSION = 3
"""Part of the name of every cached decoding; to be raised with whatever changes the samples."""

# Formats whose frames have times of their own: where nothing was sent, as in calls, there is a gap and no silence.
_TIMED = frozenset({"matroska", "webm", "mov", "mp4", "mpegts", "flv", "asf"})
_LEAST_GAP_S = 0.1  # times are rounded, and encoders pad
_LONGEST_GAP_S = 3600.0  # beyond, it is the clock that jumped
_BLOCK = 2**16
_MOST_BAD = 0.01  # share of packets

_SLACK_S = 0.5  # manifests round, and players count a file's padding


@dataclass(frozen=True)
class LoadedAudio:
    """The audio of some utterances.

    Attributes:
        recordings: For each utterance, in order, mono samples of shape ``(samples,)``, read-only, or why there are
            none.
        decoded: Number of files that were decoded for it.
        from_cache: Number of files whose samples were there already.
    """

    recordings: list[Samples | AudioError]
    decoded: int
    from_cache: int


def load_recordings(utterances: Sequence[Utterance], rate_hz: int, max_duration_s: float | None = None) -> LoadedAudio:
    """Load each utterance's audio at ``rate_hz``; one that cannot be had is represented by its error.

    Utterances of one recording share its samples, and so do runs: see :mod:`bench.data.audio_cache`. The file of an
    utterance that has an error already is not opened.

    Args:
        utterances: What to load.
        rate_hz: Samples a second to have.
        max_duration_s: Seconds beyond which an utterance is not used; null is no limit.

    Raises:
        AssetError: There is nowhere to write decoded audio to.
        DataError: A recording is not what it was when the data set was read.
    """
    sources: dict[Path, Samples | AudioError] = {}
    decoded: list[str] = []
    from_cache = 0
    usable = [utterance for utterance in utterances if utterance.error is None]
    in_parts = {utterance.path for utterance in usable if utterance.start_s or utterance.duration_s is not None}
    for path, before in {utterance.path: utterance.content for utterance in usable}.items():
        try:
            content = _content(path, before)
            if max_duration_s is not None and path not in in_parts:
                _refuse_too_long(path, max_duration_s)
            name = _entry_name(path, content, rate_hz)
            samples = audio_cache.find(name)
            if samples is None:
                samples = audio_cache.add(name, partial(_decode, path, content, rate_hz))
                decoded.append(name)
            else:
                from_cache += 1
            sources[path] = samples
        except AudioError as error:
            sources[path] = error
    if decoded:
        audio_cache.trim(keep=decoded)
    recordings = [
        _span(sources[utterance.path], utterance, rate_hz, max_duration_s)
        if utterance.error is None
        else AudioError(utterance.error)
        for utterance in utterances
    ]
    return LoadedAudio(recordings, len(decoded), from_cache)


def _refuse_too_long(path: Path, most_s: float) -> None:
    """Refuse a file whose header already says that it is too long: decoding it might take hours and fill the cache."""
    whole_s = file_s(path)
    if whole_s is not None and whole_s > most_s:
        raise AudioError(f"{path}: {too_long(whole_s, most_s)}")


def decode_audio(path: Path, rate_hz: int) -> Samples:
    """Load the first audio stream of a file as mono samples of shape ``(samples,)`` at ``rate_hz``, read-only.

    Channels are averaged; the resampler is soxr at its very high quality. Gaps in the times of a stream become silence,
    so that seconds are those that a player shows.

    Raises:
        AudioError: The file is missing, holds no audio, cannot be decoded to its end, or has samples that are no
            numbers.
        AssetError: There is nowhere to write decoded audio to.
    """
    (samples,) = load_recordings([Utterance(path.name, path, "")], rate_hz).recordings
    if isinstance(samples, AudioError):
        raise samples
    return samples


def native_rate_hz(path: Path) -> int:
    """Read the sampling rate of a file's first audio stream, in hertz; nothing is decoded.

    Raises:
        AudioError: The file is missing, holds no audio, or is none that FFmpeg knows.
    """
    with _named(path), opened(path) as container:
        return int(_audio_stream(container).rate)


def _entry_name(path: Path, content: str, rate_hz: int) -> str:
    # FFmpeg tells some raw formats apart by the file's ending alone.
    decoder = of_parts([str(DECODER_VERSION), path.suffix.lower(), av.ffmpeg_version_info, soxr.__version__])
    return f"{content}-{rate_hz}-{decoder}.f32"


def _content(path: Path, before: str | None) -> str:
    """Name what a file holds, which must be what it held before, where that is known."""
    try:
        content = _fingerprint(path)
    except AudioError as error:
        if before is not None:
            refuse_change(path, before, error)
        raise
    if before is not None:
        refuse_change(path, before, content)
    return content


def _fingerprint(path: Path) -> str:
    with _named(path):
        return of_file(path)


def _decode(path: Path, content: str, rate_hz: int) -> Iterator[Samples]:
    """Decode block by block, so that memory does not grow with the recording.

    Raises:
        AudioError: As :func:`decode_audio`, or the file's content is no longer that of the fingerprint ``content``.
    """
    count = 0
    with _named(path), opened(path) as container:
        stream = _audio_stream(container)
        promised = promised_s(path, container, stream)
        for block in _resampled(_mono(path, container, stream), stream.rate, rate_hz):
            count += len(block)
            yield block
        if is_cut_short(path, container.format.name, promised, count / rate_hz):
            raise AudioError(_cut_short(path, promised, count / rate_hz))
    if not count:
        raise AudioError(f"{path} is shorter than one sample at {rate_hz} Hz; take it out of the manifest")
    if _fingerprint(path) != content:
        raise AudioError(f"{path} changed while it was decoded; run again once it is complete")


def _audio_stream(container: av.container.InputContainer) -> av.AudioStream:
    if not container.streams.audio:
        raise ValueError("it has no audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:  # what it names has no decoder here, and it no rate
        raise ValueError("its audio is in no codec that FFmpeg knows")
    return stream


def _cut_short(path: Path, promised: float | None, decoded_s: float) -> str:
    what = "has no last page" if promised is None else f"promises {promised:.2f} s"
    return (
        f"{path} {what} and holds {decoded_s:.2f} s: it was cut short or damaged; copy it again from its source, or if"
        f" this is all there is, write it anew: ffmpeg -i {shlex.quote(path.name)} -c copy new{path.suffix}"
    )


def _mono(path: Path, container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[Samples]:
    to_float = av.AudioResampler(format="fltp")
    is_timed = not _TIMED.isdisjoint(container.format.name.split(","))
    begin_s = (container.start_time or 0) / av.time_base
    count = 0
    for frame in chain(_frames(container, stream), [None]):  # the last one empties the resampler
        if is_timed and frame is not None and frame.time is not None:
            ahead_s = frame.time - begin_s - count / frame.sample_rate
            if _LEAST_GAP_S < ahead_s < _LONGEST_GAP_S:
                missing = round(ahead_s * frame.sample_rate)
                yield from _silence(missing)
                count += missing
        for part in to_float.resample(frame):
            block = part.to_ndarray().mean(axis=0, dtype=np.float32)
            if not np.isfinite(block).all():
                raise AudioError(f"{path} has samples that are not finite numbers; write it anew from its source")
            count += len(block)
            yield block
    if not count:
        raise AudioError(f"{path} holds no audio samples; record it anew or take it out of the manifest")


def _frames(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    """Decode, and pass over the odd packet that is none: a tag or rubbish at the end spoils no recording.

    Raises:
        ValueError: Too many packets cannot be decoded.
    """
    packets, bad = 0, 0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            continue
        yield from frames
    if bad > 1 + packets * _MOST_BAD:
        raise ValueError(f"{bad} of its {packets} packets are damaged")


def _silence(count: int) -> Iterator[Samples]:
    for start in range(0, count, _BLOCK):
        yield np.zeros(min(_BLOCK, count - start), np.float32)


def _resampled(blocks: Iterator[Samples], native_hz: int, rate_hz: int) -> Iterator[Samples]:
    if native_hz == rate_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(native_hz, rate_hz, 1, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what reading a file raises into an error that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist; mend its path in the manifest, or data.root") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{path} cannot be decoded ({reason}); check that it is a complete audio file") from error


def _span(
    whole: Samples | AudioError, utterance: Utterance, rate_hz: int, max_duration_s: float | None
) -> Samples | AudioError:
    if isinstance(whole, AudioError):
        return whole
    whole_s = len(whole) / rate_hz
    stop_s = whole_s if utterance.duration_s is None else utterance.start_s + utterance.duration_s
    if max_duration_s is not None and stop_s - utterance.start_s > max_duration_s:
        return AudioError(f"{utterance.path}: {too_long(stop_s - utterance.start_s, max_duration_s)}")
    if utterance.start_s == 0.0 and utterance.duration_s is None:
        return whole
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
