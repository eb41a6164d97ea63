"""How a run's transcripts become the results of its utterances."""

import dataclasses
from pathlib import Path

import numpy as np

from bench.config import Config, ModelConfig, Weights
from bench.errors import AudioError
from bench.records import Samples, Transcript, Utterance, UtteranceResult, Window, Word, WordCounts
from bench.trial import _score

RATE_HZ = 16_000
UTTERANCES = [
    Utterance("loud", Path("loud.wav"), "We sailed home."),
    Utterance("lost", Path("lost.wav"), "never heard"),
    Utterance("half", Path("half.wav"), "set sail"),
]
LOUD = np.full(2 * RATE_HZ, 0.25, np.float32)
HALF = np.concatenate([LOUD, np.zeros(2 * RATE_HZ, np.float32)])
WINDOWS = (Window(0, 2 * RATE_HZ, 0, 0), Window(2 * RATE_HZ, 4 * RATE_HZ, 0, 0))
TRANSCRIPTS = [
    Transcript("we sail home", tuple(Word(word, 0) for word in ("we", "sail", "home")), WINDOWS[:1]),
    Transcript("set sail thank you", (*(Word(word, 0) for word in ("set", "sail")), Word("thank you", 1)), WINDOWS),
]


def scored(config: Config) -> list[UtteranceResult]:
    audio: list[Samples | AudioError] = [LOUD, AudioError("lost.wav is gone"), HALF]
    return list(_score(UTTERANCES, audio, TRANSCRIPTS, [0.25], RATE_HZ, config))


def test_each_utterance_gets_its_own_transcript_or_the_reason_for_none() -> None:
    loud, lost, half = scored(Config())
    assert (loud.utterance, loud.audio_s, loud.windows, loud.hypothesis) == (UTTERANCES[0], 2.0, 1, "we sail home")
    assert loud.counts == WordCounts(substitutions=1, hits=2)
    assert loud.words == TRANSCRIPTS[0].words
    assert (loud.latency_s, lost.latency_s, half.latency_s) == (0.25, None, None)
    assert lost == UtteranceResult(UTTERANCES[1], None, None, None, None, error="lost.wav is gone")
    assert (half.audio_s, half.windows, half.counts) == (4.0, 2, WordCounts(insertions=2, hits=2))
    assert loud.degeneracy is not None
    assert half.degeneracy is not None
    # "thank you" was read in the second window, which is silent.
    assert (loud.degeneracy.silent_words, half.degeneracy.silent_words) == (0, 2)


def test_the_text_of_random_weights_means_nothing() -> None:
    loud, lost, half = scored(dataclasses.replace(Config(), model=ModelConfig(weights=Weights.random)))
    assert lost.error == "lost.wav is gone"
    for found, audio_s, windows in ((loud, 2.0, 1), (half, 4.0, 2)):
        assert (found.audio_s, found.windows, found.error) == (audio_s, windows, None)
        assert (found.hypothesis, found.counts, found.degeneracy, found.words) == (None, None, None, ())
