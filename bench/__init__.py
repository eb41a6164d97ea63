"""asr-sweep: benchmarks and hyperparameter sweeps for speech recognition.

From Python, what the command line does::

    import bench

    runs = bench.run("-m", "study=mine", "decode.chunk_length_s=10,20,30")
    bench.figures.heatmap(runs, bench.metrics.WER)
    utterances = bench.load_utterances("results/mine")
    bench.compare("results/mine", "decode.chunk_length_s")
    bench.rescore("results/mine", "whisper_basic")
    bench.write_report("results/mine")
    bench.transcribe("talk.mp3", from_study="results/mine")

Everything is imported when it is first used: ``import bench`` costs nothing, and the driver of a sweep never loads
torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench import metrics
    from bench.api import compare, rescore, run, transcribe, write_report
    from bench.report import figures
    from bench.store import load_runs, load_scores, load_timeline, load_utterances

__all__ = [
    "compare",
    "figures",
    "load_runs",
    "load_scores",
    "load_timeline",
    "load_utterances",
    "metrics",
    "rescore",
    "run",
    "transcribe",
    "write_report",
]

_HOMES = {
    "compare": "bench.api",
    "rescore": "bench.api",
    "run": "bench.api",
    "transcribe": "bench.api",
    "write_report": "bench.api",
    "load_runs": "bench.store",
    "load_utterances": "bench.store",
    "load_timeline": "bench.store",
    "load_scores": "bench.store",
}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("bench.metrics")
    if name == "figures":
        return importlib.import_module("bench.report.figures")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
