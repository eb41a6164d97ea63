"""Whisper's spectrograms, without computing those of the silence that fills a window."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records import Samples


def log_mel(extractor: Any, batch: Sequence[Samples]) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Log-mel spectrograms of windows, padded with silence to the length that the model reads.

    They are those of the feature extractor, up to rounding. It pads speech with zeros to 30 s and transforms all of it,
    though every row of zeros is like the other, the least that its window's loudest row allows: it is given a margin of
    zeros after the longest window, and the last row stands for the rest.

    Args:
        extractor: The model's ``WhisperFeatureExtractor``.
        batch: Mono audio at its sampling rate, each of shape ``(samples,)`` and no longer than its window.

    Returns:
        The spectrograms, ``(windows, bins, rows)``, and how many rows of each hold audio.
    """
    at_once = max(1, extractor.n_samples // max(map(len, batch)))  # more would no longer fit the caches
    made = [_log_mel(extractor, batch[first : first + at_once]) for first in range(0, len(batch), at_once)]
    return np.concatenate([features for features, _ in made]), tuple(rows for _, each in made for rows in each)


def _log_mel(extractor: Any, batch: Sequence[Samples]) -> tuple[NDArray[np.float32], list[int]]:
    hop = extractor.hop_length
    # A row reads half a transform on each side of its centre, and the end is mirrored: a transform of zeros keeps the
    # speech out of the last row, and the mirror in the zeros.
    rows = -(-(max(map(len, batch)) + extractor.n_fft) // hop)
    made = extractor(
        list(batch),
        sampling_rate=extractor.sampling_rate,
        max_length=min(rows * hop, extractor.n_samples),
        return_tensors="np",
        return_attention_mask=True,
    )
    features = made["input_features"].astype(np.float32, copy=False)
    silent = extractor.nb_max_frames - features.shape[-1]
    filled = np.pad(features, ((0, 0), (0, 0), (0, silent)), mode="edge")
    return filled, made["attention_mask"].sum(-1).tolist()
