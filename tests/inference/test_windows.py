import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.pipelines.automatic_speech_recognition import chunk_iter

from bench.config import DecodeConfig
from bench.errors import ImpossiblePoint
from bench.inference.windows import cut

RATE_HZ = 16_000


def _spec(chunk_s: float, stride_s: float) -> DecodeConfig:
    return DecodeConfig(chunk_length_s=chunk_s, stride_length_s=stride_s)


@given(
    samples=st.integers(1, 60 * RATE_HZ),
    chunk_s=st.floats(0.5, 30),
    share=st.floats(0, 0.49),
    align=st.sampled_from([1, 320]),
)
def test_what_windows_keep_tiles_the_recording(samples: int, chunk_s: float, share: float, align: int) -> None:
    windows = cut(samples, RATE_HZ, _spec(chunk_s, chunk_s * share), align)

    kept = [(window.start + window.left, window.stop - window.right) for window in windows]
    assert kept[0][0] == 0
    assert kept[-1][1] == samples
    assert all(before[1] == after[0] for before, after in itertools.pairwise(kept))
    assert all(start < stop for start, stop in kept)
    assert windows[0].left == 0
    assert windows[-1].right == 0


@pytest.mark.parametrize(("chunk_s", "stride_s"), [(5, 0), (5, 1), (10, 2), (10, 1.5), (20, 3), (30, 5), (0.7, 0.3)])
@pytest.mark.parametrize("seconds", [0.1, 4.99, 5, 10, 33.3, 60])
def test_windows_are_those_of_the_pipeline(chunk_s: float, stride_s: float, seconds: float) -> None:
    """The pipeline's own iterator, with an extractor that hands back the samples it was given."""
    samples = round(seconds * RATE_HZ)
    numbered = np.arange(samples)

    def extract(chunk: np.ndarray, **_: object) -> dict[str, np.ndarray]:
        return {"chunk": chunk}

    extractor = _callable_with_rate(extract)
    stride = round(stride_s * RATE_HZ)
    expected = list(chunk_iter(numbered, extractor, round(chunk_s * RATE_HZ), stride, stride))

    windows = cut(samples, RATE_HZ, _spec(chunk_s, stride_s))
    assert [(window.stop - window.start, window.left, window.right) for window in windows] == [
        item["stride"] for item in expected
    ]
    assert [window.start for window in windows] == [int(item["chunk"][0]) for item in expected]


def test_strides_that_leave_nothing_of_a_window_are_refused() -> None:
    """In frames of 0.4 s, a chunk of 0.42 s is one frame, and so is the stride of 0.209 s on each side of it."""
    with pytest.raises(ImpossiblePoint, match="leave nothing of a window"):
        cut(RATE_HZ, RATE_HZ, _spec(0.42, 0.209), align=6400)


def _callable_with_rate(function: object) -> object:
    class Extractor(SimpleNamespace):
        def __call__(self, *args: object, **kwargs: object) -> object:
            return self.function(*args, **kwargs)

    return Extractor(function=function, sampling_rate=RATE_HZ)
