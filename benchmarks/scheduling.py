"""What it takes to hand out a run and keep what comes of it, beyond the run's own process.

A thousand runs of the engine that does nothing, through the same loop as any study: one at a time, two at a time, and
on Ray. Of each way this is the time that workers stood idle: workers times the seconds from the first run's end to the
last one's, less what the runs' processes took from being asked for until they were gone, a run. What such a process
takes is told beside it (a fork of the server that has the libraries imported, the run, and its end), and so are the
seconds that the driver itself computed, which other work on the machine does not lengthen.

Run it on an idle machine: ``make bench``. The number of runs may be given.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.records import RunResult
from bench.search.compose import compose
from bench.sweep import run_study
from benchmarks.recordings import tone_manifest

_RUNS = 1000
_LIMIT_S = 0.050
_WAYS = {
    "one at a time": (1, []),
    "two at a time": (2, ["executor.workers=2"]),
    "on Ray, two at a time": (2, ["executor=ray", "executor.workers=2"]),
}


class _Ends:
    """A listener that notes when runs end."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self.cpu_s: list[float] = []
        self.wall_s: list[float] = []

    def planned(self, total: int, done: int, skipped: int) -> None:
        pass

    def noted(self, message: str) -> None:
        pass

    def progressed(self, note: str) -> None:
        pass

    def warned(self, message: str) -> None:
        pass

    def finished(self, result: RunResult, will_retry: bool) -> None:
        self.at_s.append(time.perf_counter())
        self.cpu_s.append(time.process_time())
        self.wall_s.append(result.wall_s)


def main(runs: int = _RUNS) -> None:
    """Measure and print."""
    print(f"{runs} runs of engine=fake; seconds a run.\n")
    with tempfile.TemporaryDirectory() as folder:
        data = ["engine=fake", "model=fake", "data=manifest", f"data.path={tone_manifest(Path(folder))}", "threads=1"]
        points = f"decode.num_beams=range(1,{runs + 1})"  # means nothing to this engine, so all take the same time
        for number, (name, (workers, settings)) in enumerate(_WAYS.items()):
            study = compose(
                ["-m", f"study={number}", f"results.root={folder}", "measure.warmup=0", *data, points, *settings]
            )
            assert study is not None
            ends = _Ends()
            run_study(study, "make bench", ends)
            # The first runs pay for what is set up once.
            first = len(ends.at_s) // 20
            count = len(ends.at_s) - first - 1
            elapsed_s = ends.at_s[-1] - ends.at_s[first]
            overhead_s = (workers * elapsed_s - sum(ends.wall_s[first + 1 :])) / count
            driver_s = (ends.cpu_s[-1] - ends.cpu_s[first]) / count
            print(
                f"{name}: {overhead_s:.4f} (the driver's own {driver_s:.4f}) beyond a process of"
                f" {statistics.median(ends.wall_s):.3f}, {count / elapsed_s:.1f} runs a second; at most {_LIMIT_S:.3f}:"
                f" {'kept' if overhead_s <= _LIMIT_S else 'MISSED'}",
                flush=True,
            )


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
