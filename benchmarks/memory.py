"""Whether memory grows with the recording: ``python -m benchmarks.memory``.

The same speech, repeated to ten minutes and to an hour, goes through the core in batches of the same size, each length
in a process of its own. What counts is anonymous memory (RssAnon), looked at every 20 ms; pages of the decoded audio
are mapped from a file, and the kernel takes them back when it needs to.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import wave
from pathlib import Path

import numpy as np

from bench.assets.weights import ensure_weights
from bench.config import Config, DecodeConfig, DType, ModelConfig
from bench.records import Utterance
from benchmarks.recordings import long_utterance, samples_of

_LENGTHS_MIN = (10, 60)
_BATCH = 16
_RATE_HZ = 16_000
_EVERY_S = 0.02
_MODEL = "packaged/whisper-tiny.en"


def main() -> None:
    """Measure both lengths, or serve as the process of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", help="serve as the process that transcribes one file, for this program")
    chosen = parser.parse_args().recording
    if chosen:
        print(json.dumps(_peaks(Path(chosen))))
        return
    print(f"Anonymous memory of {_MODEL}, bfloat16, 30 s windows, stride 5 s, batches of {_BATCH}\n")
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in _LENGTHS_MIN:
            path = Path(folder) / f"{minutes}min.wav"
            _write_repeated(path, minutes)
            command = [sys.executable, "-m", "benchmarks.memory", "--recording", str(path)]
            finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            after_load_mib, peak_mib = json.loads(finished.stdout.splitlines()[-1])
            peaks.append(peak_mib)
            print(f"{minutes:3} min: {after_load_mib:.0f} MiB after load, {peak_mib:.0f} MiB at most", flush=True)
    print(f"difference: {peaks[1] - peaks[0]:.0f} MiB")


def _write_repeated(path: Path, minutes: int) -> None:
    once = (samples_of(long_utterance()) * 32767).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        missing = minutes * 60 * _RATE_HZ
        while missing > 0:
            file.writeframes(once[:missing].tobytes())
            missing -= len(once)


def _peaks(path: Path) -> tuple[float, float]:
    """Anonymous memory after loading and at most from then on, in MiB."""
    from bench.inference.engines import load_engine
    from bench.inference.transcribe import transcribe
    from bench.measure.clock import PhaseClock
    from bench.measure.memory import bound_heap

    bound_heap()  # as every run does
    decode = DecodeConfig(batch_size=_BATCH)
    config = Config(model=ModelConfig(name=_MODEL, dtype=DType.bfloat16), decode=decode)
    engine = load_engine(config, str(ensure_weights(_MODEL)))
    after_load_mib = _anonymous_mib()
    seen = [after_load_mib]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY_S):
            seen.append(_anonymous_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    transcribe(engine, [samples_of(Utterance("all", path, ""))], decode, _BATCH, PhaseClock())
    done.set()
    watcher.join()
    return after_load_mib, max(seen)


def _anonymous_mib() -> float:
    found = re.search(r"^RssAnon:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("this system's kernel does not tell anonymous memory apart (RssAnon in /proc/self/status)")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
