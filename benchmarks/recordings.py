"""The recordings that are measured on: real speech of one reader where there is some, else the demo's lecture."""

import os
from pathlib import Path

from bench.assets.recordings import ensure_demo_recordings
from bench.config import DataConfig, DataSource
from bench.data.audio import load_recordings
from bench.data.dataset import load_dataset
from bench.records import Samples, Utterance

_RATE_HZ = 16_000


def long_utterance() -> Utterance:
    """Longest utterance of ``$ASR_SWEEP_SPEECH/longform``, or of the demo where that is not set."""
    speech = os.environ.get("ASR_SWEEP_SPEECH")
    folder = Path(speech) / "longform" if speech else ensure_demo_recordings()
    return max(
        load_dataset(DataConfig(source=DataSource.manifest, path=str(folder / "manifest.csv"))).utterances,
        key=lambda utterance: len(utterance.text),
    )


def samples_of(utterance: Utterance) -> Samples:
    """Its audio at 16 kHz, shape ``(samples,)``."""
    (samples,) = load_recordings([utterance], _RATE_HZ).recordings
    if isinstance(samples, Exception):
        raise samples
    return samples
