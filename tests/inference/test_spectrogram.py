"""Whisper's spectrograms are those of its feature extractor, though less is computed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from bench.inference.spectrogram import log_mel

_EXTRACTOR = WhisperFeatureExtractor(chunk_length=2)
_LONGEST = _EXTRACTOR.n_samples


def _noise(length: int, loudness: float = 0.1) -> np.ndarray:
    return (np.random.default_rng(length).normal(size=length) * loudness).astype(np.float32)


def _assert_alike(extractor: WhisperFeatureExtractor, batch: list[np.ndarray]) -> None:
    theirs = extractor(batch, sampling_rate=16_000, return_tensors="np", return_attention_mask=True)
    features, rows = log_mel(extractor, batch)
    np.testing.assert_allclose(features, theirs["input_features"], rtol=0, atol=1e-5)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert rows == tuple(theirs["attention_mask"].sum(-1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, _LONGEST), st.sampled_from([0.0, 1e-6, 0.1, 1.0])).map(lambda each: _noise(*each)),
        min_size=1,
        max_size=4,
    )
)
def test_any_batch_has_the_extractor_s_rows(batch: list[np.ndarray]) -> None:
    _assert_alike(_EXTRACTOR, batch)


@pytest.mark.parametrize("from_end", [0, 1, 159, 160, 161, 199, 200, 201, 399, 400, 401, 559, 560, 561])
def test_at_the_end_of_the_window(from_end: int) -> None:
    _assert_alike(_EXTRACTOR, [_noise(_LONGEST - from_end)])


def test_of_large_v3_and_of_a_normalising_extractor() -> None:
    _assert_alike(WhisperFeatureExtractor(feature_size=128), [_noise(40_000), _noise(900)])
    _assert_alike(WhisperFeatureExtractor(do_normalize=True), [_noise(40_000), _noise(900)])
