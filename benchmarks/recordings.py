"""The recordings that are measured on: real speech of one reader where there is some, else the demo's lecture."""

import math
import os
import wave
from array import array
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


def tone_manifest(folder: Path, seconds: int = 3) -> Path:
    """Write a tone and a manifest of it, with two words a second as ``engine=fake`` hears; returns the manifest."""
    second = array("h", (round(9_000 * math.sin(2 * math.pi * 440 * frame / _RATE_HZ)) for frame in range(_RATE_HZ)))
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(second.tobytes() * seconds)
    manifest = folder / "tone.csv"
    manifest.write_text(f"path,text\ntone.wav,{' '.join(['word'] * 2 * seconds)}\n")
    return manifest
