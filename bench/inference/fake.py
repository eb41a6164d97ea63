"""A deterministic engine without a model, for tests of the sweep, for dry runs, and for measuring the harness itself.

It hears two words a second, always the same word, in the part of a window that is not stride. Its ``model.name`` picks
what else it does, so that faults can be swept like any setting.
"""

import hashlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from bench.config import Config, DecodeConfig
from bench.errors import ModelError
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window, Word

WORD = "word"
WORDS_PER_S = 2
_RATE_HZ = 16_000

_BEHAVIOURS = {
    "fake/ok": "nothing else",
    "fake/slow": "takes 0.2 s for every batch",
    "fake/work": "computes for some milliseconds for every second of audio",
    "fake/more_work": "computes ten percent more than that",
    "fake/ballast": "fills 1 GiB of memory and gives it back",
    "fake/child": "starts a process that holds 256 MiB for two seconds",
    "fake/half": "hears every other word only",
    "fake/small": "runs out of memory where a batch holds more than 100 s of audio",
    "fake/zdt1": "says that its features and cache take what ZDT1 gives for its settings",
    "fake/zdt2": "the same for ZDT2",
    "fake/error": "raises an unexpected error",
    "fake/oom": "runs out of memory",
    "fake/cuda_oom": "runs out of a GPU's memory, as torch says it",
    "fake/exit": "ends its process",
    "fake/hang": "never returns",
}

SMALL_S = 100
ZDT_SIZES = {"decode.batch_size": (1, 21), "decode.num_beams": (1, 6), "decode.chunk_length_s": (20, 30)}
"""Settings that ``fake/zdt1`` and ``fake/zdt2`` take for their variables, each with its least and greatest value."""

_STEPS_PER_S = 60
_STEP = bytes(64 * 1024)
BALLAST_MIB = 1024
CHILD_MIB = 256
_CHILD = f"import time; held = bytearray(b'x') * ({CHILD_MIB} << 20); time.sleep(2)"


class FakeEngine:
    """See the module's docstring.

    Args:
        name: One of the names above.
        spec: The settings, of which the published functions are made.

    Raises:
        ModelError: The name is none of these.
    """

    rate_hz = _RATE_HZ
    max_window_s = None
    align = 1
    mixes_lengths = True

    def __init__(self, name: str, spec: DecodeConfig | None = None) -> None:
        if name not in _BEHAVIOURS:
            raise ModelError(f"model.name={name} is unknown to engine=fake; use one of {', '.join(_BEHAVIOURS)}")
        self._name = name
        self.footprint = Footprint()
        if name in ("fake/zdt1", "fake/zdt2"):
            first, second = zdt(name, spec or DecodeConfig())
            self.footprint = Footprint(features_mib=first, cache_mib=second)

    def features(self, batch: Sequence[Samples]) -> list[int]:
        """Length of each window in samples."""
        return [len(samples) for samples in batch]

    def decode(self, inputs: list[int], clock: PhaseClock) -> list[int]:  # noqa: C901 - one case a name
        """Return the length of each window in samples, after what the name asks for."""
        with clock.phase("decode"):
            match self._name:
                case "fake/slow":
                    time.sleep(0.2)
                case "fake/work" | "fake/more_work":
                    _compute(sum(inputs) / _RATE_HZ * _STEPS_PER_S * (1.1 if self._name == "fake/more_work" else 1.0))
                case "fake/ballast":
                    np.ones(BALLAST_MIB << 20, np.uint8)
                case "fake/child":
                    subprocess.run([sys.executable, "-c", _CHILD], check=True)  # noqa: S603 - a constant program
                case "fake/small":
                    if sum(inputs) > SMALL_S * _RATE_HZ:
                        raise MemoryError(f"the fake engine was told to hold no more than {SMALL_S} s of audio")
                case "fake/error":
                    raise RuntimeError("the fake engine was told to fail")
                case "fake/oom":
                    raise MemoryError("the fake engine was told to run out of memory")
                case "fake/cuda_oom":
                    raise _out_of_gpu_memory()
                case "fake/exit":
                    os._exit(3)
                case "fake/hang":
                    time.sleep(86_400)
            return inputs

    def join(self, emissions: Sequence[int], windows: Sequence[Window]) -> Transcript:
        """Say the word once for every half second that a window keeps, rounded window by window."""
        kept_s = [
            (length - window.left - window.right) / _RATE_HZ for length, window in zip(emissions, windows, strict=True)
        ]
        words = [
            Word(WORD, number) for number, seconds in enumerate(kept_s) for _ in range(round(seconds * WORDS_PER_S))
        ]
        if self._name == "fake/half":
            words = words[::2]
        return Transcript(" ".join(word.text for word in words), tuple(words), tuple(windows))


def load(config: Config, model_path: str) -> FakeEngine:  # noqa: ARG001 - as every engine is loaded
    """Make the engine that a configuration names.

    Raises:
        ModelError: It names none of the above.
    """
    return FakeEngine(config.model.name, config.decode)


def zdt(name: str, spec: DecodeConfig) -> tuple[float, float]:
    """Evaluate one of two functions whose Pareto front is known, both to be made small.

    Zitzler, Deb and Thiele, "Comparison of Multiobjective Evolutionary Algorithms", Evolutionary Computation 8 (2000):
    the front is where all variables but the first are 0.

    Args:
        name: ``fake/zdt1``, whose front is convex, or ``fake/zdt2``, whose front is not.
        spec: Holds the variables, scaled as :data:`ZDT_SIZES` says.
    """
    values = (float(spec.batch_size), spec.num_beams, spec.chunk_length_s)
    first, *rest = ((value - low) / (high - low) for value, (low, high) in zip(values, ZDT_SIZES.values(), strict=True))
    g = 1 + 9 * sum(rest) / len(rest)
    return first, g * (1 - math.sqrt(first / g)) if name == "fake/zdt1" else g * (1 - (first / g) ** 2)


def _out_of_gpu_memory() -> Exception:
    import torch  # runs have it imported; who only names this engine need not

    return torch.OutOfMemoryError("CUDA out of memory. The fake engine was told to run out of it")


def _compute(steps: float) -> None:
    """Do an amount of work that is the same every time, on one core."""
    for _ in range(round(steps)):
        hashlib.sha256(_STEP)
