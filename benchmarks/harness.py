"""What the harness adds to a run: its fixed cost, and the cost of watching.

Both are measured on real runs of whisper-tiny.en over the shortest demo recording, through the same loop as any study.
Run it on an idle machine: ``make bench``.
"""

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.assets.recordings import ensure_demo_recordings
from bench.records import RunResult
from bench.search.compose import compose
from bench.sweep import run_study

_FIXED_COST_RUNS = 11
_WATCHED_RUNS = 3
_FRESH_INTERPRETERS = 3


@dataclass
class _Clock:
    """A listener that notes when runs end, by the wall and by the driver's own CPU time."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    results: list[RunResult] = field(default_factory=list)

    def planned(self, total: int, done: int, skipped: int) -> None:
        pass

    def noted(self, message: str) -> None:
        pass

    def progressed(self, note: str) -> None:
        pass

    def warned(self, message: str) -> None:
        pass

    def finished(self, result: RunResult, will_retry: bool) -> None:
        self.wall_s.append(time.perf_counter())
        self.cpu_s.append(time.process_time())
        self.results.append(result)


def main() -> None:
    """Measure and print."""
    print("The harness on its own work; medians, with minimum and maximum.\n")
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "shortest.csv"
        demo = ensure_demo_recordings() / "manifest.csv"
        shortest = min(demo.read_text().splitlines()[1:], key=lambda line: float(line.rsplit(",", 1)[1]))
        manifest.write_text(f"path,text,speaker,duration_s\n{shortest}\n")
        data = ["data=manifest", f"data.path={manifest}", f"data.root={demo.parent}", f"results.root={folder}"]
        _print_fixed_cost(data)
        _print_fresh_interpreter()
        _print_watching_cost(data)


def _study(name: str, arguments: list[str]) -> _Clock:
    clock = _Clock()
    study = compose([f"study={name}", *arguments])
    assert study is not None
    run_study(study, "make bench", clock)
    return clock


def _print_fixed_cost(data: list[str]) -> None:
    clock = _study("fixed", [*data, f"measure.replicates={_FIXED_COST_RUNS}"])
    fixed_s = []
    # A cycle reaches from one run's end to the next one's, so it holds everything: queue, process, scoring, writing.
    for (before_s, after_s), result in zip(itertools.pairwise(clock.wall_s), clock.results[1:], strict=True):
        assert result.outcome is not None
        outcome = result.outcome
        work_s = outcome.load_s + sum(outcome.warmup_s) + sum(one.inference_s for one in outcome.passes)
        fixed_s.append(after_s - before_s - work_s)
    _print("fixed cost of a run (all but load, warm-up, inference) [s]", fixed_s)


def _print_fresh_interpreter() -> None:
    seconds = []
    for _ in range(_FRESH_INTERPRETERS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import bench.trial, bench.inference.whisper"], check=True)
        seconds.append(time.perf_counter() - started)
    _print("the same imports in a fresh interpreter [s]", seconds)


def _print_watching_cost(data: list[str]) -> None:
    clock = _study("watched", [*data, f"measure.replicates={_WATCHED_RUNS + 1}", "measure.repeats=8"])
    share_pct = []
    for (before_s, after_s), result in zip(itertools.pairwise(clock.cpu_s), clock.results[1:], strict=True):
        assert result.outcome is not None
        share_pct.append(100 * (after_s - before_s) / sum(result.outcome.cpu_s))
    _print("CPU of the driver (sampler, loop, writing) against CPU of the run's inference [%]", share_pct, decimals=2)


def _print(label: str, values: list[float], decimals: int = 3) -> None:
    low, mid, high = min(values), statistics.median(values), max(values)
    print(f"{label}: {mid:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f}, n={len(values)})", flush=True)


if __name__ == "__main__":
    main()
