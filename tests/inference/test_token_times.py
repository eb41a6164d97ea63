"""Times of tokens against a plain dynamic time warping, and against transformers' own."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline

from bench.config import Config, DecodeConfig
from bench.data.audio import decode_audio
from bench.inference.token_times import first_frames, follow, heads_that_follow
from bench.inference.whisper import WhisperEngine
from bench.measure.clock import PhaseClock
from bench.records import Window

RATE_HZ = 16_000
FRAME_S = 0.02


@st.composite
def matrices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Costs; few distinct ones make ties, which is where a path may go astray."""
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    cost = draw(st.sampled_from([st.integers(-3, 3).map(float), st.floats(-5, 5)]))
    return np.array([[draw(cost) for _ in range(columns)] for _ in range(rows)])


def _cheapest(costs: NDArray[np.float64]) -> float:
    """Plain dynamic time warping: each cell from above, from the left, or from both."""
    total = np.full(costs.shape, np.inf)
    for row in range(costs.shape[0]):
        for column in range(costs.shape[1]):
            before = [
                total[at]
                for at in ((row - 1, column), (row, column - 1), (row - 1, column - 1))
                if at[0] >= 0 and at[1] >= 0
            ]
            total[row, column] = costs[row, column] + min(before, default=0.0)
    return float(total[-1, -1])


def _cheapest_through(costs: NDArray[np.float64], firsts: NDArray[np.int64]) -> float:
    """Cost of the cheapest path that enters each row at the column given: it leaves a row there or one before."""
    stops = [*firsts[1:], costs.shape[1] - 1]
    total = 0.0
    for row, (first, following) in enumerate(zip(firsts, stops, strict=True)):
        if row == len(firsts) - 1:
            total += costs[row, first:].sum()
            continue
        straight = costs[row, first : following + 1].sum()
        diagonal = costs[row, first:following].sum() if following > first else np.inf
        total += min(straight, diagonal)
    return float(total)


@given(matrices())
@settings(max_examples=500, deadline=None)
def test_the_path_is_a_cheapest_one(costs: NDArray[np.float64]) -> None:
    firsts = first_frames(costs)
    assert firsts.shape == (len(costs),)
    assert firsts[0] == 0
    assert (np.diff(firsts) >= 0).all()
    assert firsts[-1] < costs.shape[1]
    assert _cheapest_through(costs, firsts) == pytest.approx(_cheapest(costs), abs=1e-9)


def test_a_path_worked_by_hand() -> None:
    """One stays where it is free: two columns in the first row, one in the second, two in the third."""
    costs = np.array([[0, 0, 9, 9, 9], [9, 9, 0, 9, 9], [9, 9, 9, 0, 0]], dtype=np.float64)
    assert first_frames(costs).tolist() == [0, 2, 3]


@given(
    lengths=st.lists(st.integers(8, 30), min_size=2, max_size=8),
    heads=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_follows_attention_along_a_diagonal(lengths: list[int], heads: int, seed: int) -> None:
    """Each token attends, with some noise, to frames of its own; longer ones than the filter's half."""
    edges = np.cumsum([0, *lengths])
    weights = np.random.default_rng(seed).uniform(0.0, 0.1, (heads, len(lengths), int(edges[-1])))
    for token, (first, stop) in enumerate(itertools.pairwise(edges)):
        weights[:, token, first:stop] += 1.0
    attention = (weights / weights.sum(-1, keepdims=True)).astype(np.float32)
    assert np.abs(follow(attention) - edges[:-1]).max() <= 1


def test_heads_of_a_checkpoint_or_all_of_the_upper_half() -> None:
    assert heads_that_follow([[2, 2], [3, 0]], layers=4, heads=6) == [(2, 2), (3, 0)]
    upper = [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert heads_that_follow(None, layers=4, heads=2) == upper
    assert heads_that_follow([], layers=4, heads=2) == upper
    assert heads_that_follow(None, layers=1, heads=2) == [(0, 0), (0, 1)]


# The pipeline warns of inputs deprecated within the library itself.
@pytest.mark.filterwarnings("ignore")
def test_times_of_words_are_those_of_transformers(tiny_en: Path, speech_dir: Path) -> None:
    samples = decode_audio(sorted((speech_dir / "longform").glob("*.flac"))[0], RATE_HZ)[: 25 * RATE_HZ]
    ours = _our_words(tiny_en, samples)
    theirs = _their_words(tiny_en, samples)
    assert [word for word, *_ in ours] == [word for word, *_ in theirs]
    assert len(ours) > 30
    pairs = zip(ours, theirs, strict=True)
    apart_s = np.array([[abs(one - other) for one, other in zip(a[1:], b[1:], strict=True)] for a, b in pairs])
    # The filter comes after the average over heads here, and before it there: a frame or two for most words.
    assert np.median(apart_s) <= FRAME_S + 1e-6
    assert (apart_s <= 0.3).mean() >= 0.95


def _our_words(folder: Path, samples: Any) -> list[tuple[str, float, float]]:
    engine = WhisperEngine(Config(decode=DecodeConfig(batch_size=1)), str(folder))
    said = engine.decode(engine.features([samples]), PhaseClock())
    transcript = engine.join(said, [Window(0, len(samples), 0, 0)])
    words = []
    for word in transcript.words:
        assert word.start_s is not None
        assert word.end_s is not None
        assert 0 <= word.start_s <= word.end_s <= len(samples) / RATE_HZ
        words.append((_plain(word.text), word.start_s, word.end_s))
    return words


def _their_words(folder: Path, samples: Any) -> list[tuple[str, float, float]]:
    processor = WhisperProcessor.from_pretrained(folder)
    recognise = pipeline(
        "automatic-speech-recognition",
        model=WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager"),
        tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
        device="cpu",
    )
    found = recognise(samples.copy(), return_timestamps="word", generate_kwargs={"num_beams": 1})
    return [(_plain(chunk["text"]), *chunk["timestamp"]) for chunk in found["chunks"]]


def _plain(text: str) -> str:
    return re.sub(r"\W", "", text.casefold())
