"""Cutting a recording into overlapping windows."""

from bench.config import DecodeConfig
from bench.errors import ImpossiblePoint
from bench.records import Window


def cut(samples: int, rate_hz: int, spec: DecodeConfig, align: int = 1) -> list[Window]:
    """Cut ``samples`` of audio into windows of ``chunk_length_s`` that overlap by a stride on either side.

    Neighbouring windows share two strides: the right one of the earlier and the left one of the later window. The
    first window has no left stride and the last no right one. This is the arithmetic of ``chunk_iter`` in
    transformers' ``pipelines/automatic_speech_recognition.py``, rounding included, so that texts can be compared word
    for word.

    Args:
        samples: Length of the recording in samples.
        rate_hz: Its sampling rate.
        spec: Chunk and stride lengths in seconds.
        align: Samples an output frame of the model covers; chunks and strides are rounded to a multiple of it.

    Returns:
        The windows in order; what they keep after trimming their strides tiles ``[0, samples)`` without gap or overlap.

    Raises:
        ImpossiblePoint: Rounded to samples, the strides leave nothing of a window.
    """
    chunk = _aligned(spec.chunk_length_s * rate_hz, align)
    stride = _aligned(spec.stride_length_s * rate_hz, align)
    step = chunk - 2 * stride
    if step < 1:
        raise ImpossiblePoint(
            f"decode.chunk_length_s={spec.chunk_length_s:g} and decode.stride_length_s={spec.stride_length_s:g} leave"
            f" nothing of a window at {rate_hz} Hz in steps of {align} samples; use a shorter stride"
        )
    windows = []
    for start in range(0, samples, step):
        stop = min(start + chunk, samples)
        last = start + chunk >= samples
        windows.append(Window(start, stop, left=0 if start == 0 else stride, right=0 if last else stride))
        if last:
            break
    return windows


def _aligned(samples: float, align: int) -> int:
    return round(samples / align) * align
