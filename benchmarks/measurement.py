"""Whether the measurements are right, against witnesses from outside: ``python -m benchmarks.measurement``.

* The peak of memory against that of ``/usr/bin/time -v`` around one run, executed in that very process.
* The phases of a run of a minute, with the overhead, against the wall time seen by a process that only watches.
* Memory of a known size against what is reported.
* How often a run that was left alone is called valid, and one beside a busy loop on every processor not valid.
* How often the comparison calls settings different that are the same (A/A), and that differ by ten percent (A/B): every
  setting has runs of its own, all of them through the whole harness, in one shuffled order.
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from bench.config import Config
from bench.jobs import JobMaker
from bench.measure.comparison import compare
from bench.measure.counters import affinity
from bench.records import Job, RunResult
from bench.search.compose import Composed, compose
from bench.search.grid import Grid
from bench.search.points import Candidate
from bench.search.space import Space
from bench.store import load_runs
from bench.sweep import run_study

_FAKE = ["engine=fake", "model=fake", "decode.stride_length_s=0", "measure.warmup=1"]
_BALLAST_MIB = 1024
_LONG_REPEATS = 8
_VALIDITY_RUNS = 10
_POLL_S = 0.005


class _Silent:
    """A listener that says nothing."""

    def planned(self, total: int, done: int, skipped: int) -> None:
        pass

    def noted(self, message: str) -> None:
        pass

    def progressed(self, note: str) -> None:
        pass

    def warned(self, message: str) -> None:
        pass

    def finished(self, result: RunResult, will_retry: bool) -> None:
        pass


def main() -> None:
    """Run all checks, or serve as the process of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="execute the run with the settings in this file, in this very process")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7, help="runs of each setting")
    options = parser.parse_args()
    if options.run:
        _run_here(options.run)
        return
    with tempfile.TemporaryDirectory() as folder:
        _print_peak(Path(folder), ["model=whisper_tiny_en", "data.limit=2"], "whisper-tiny.en")
        _print_peak(Path(folder), [*_FAKE, "model.name=fake/ballast", "data.limit=2"], f"{_BALLAST_MIB} MiB of ballast")
        _print_ballast(folder)
        _print_wall(folder)
        _print_validity(folder)
        _print_pairs(folder, options.pairs, options.runs)


def _run_here(path: Path) -> None:
    """Execute one run in this process and print the peak it reports."""
    from bench.trial import run

    memory = run(_job(json.loads(path.read_text())), _nobody).memory
    print(max(memory.load_peak_rss_mib or 0.0, memory.peak_rss_mib or 0.0))


def _job(settings: list[str]) -> Job:
    (job,) = JobMaker([]).jobs(_composed(settings).grid.candidates[0])
    return job


def _nobody(phase: str) -> None:
    """Is told of a phase, and does nothing."""


def _print_peak(folder: Path, settings: list[str], what: str) -> None:
    written = folder / "settings.json"
    written.write_text(json.dumps(settings))
    command = ["/usr/bin/time", "-v", sys.executable, "-m", "benchmarks.measurement", "--run", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ours = float(done.stdout.splitlines()[-1])
    theirs = float(re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)[1]) / 1024  # type: ignore[index]
    _print(f"peak RSS, {what}", f"{ours:.1f} MiB", f"/usr/bin/time -v: {theirs:.1f} MiB", ours / theirs - 1, 0.02)


def _print_ballast(folder: str) -> None:
    """Compare a run that allocates a known size with one that does the same work and does not."""
    peaks_mib = {}
    for name in ("ok", "ballast"):
        row = _study(folder, f"known_{name}", [*_FAKE, f"model.name=fake/{name}", "data.limit=2"]).iloc[0]
        peaks_mib[name] = row["peak_rss_mib"] - row["rss_at_start_mib"]
    risen = peaks_mib["ballast"] - peaks_mib["ok"]
    _print(
        "peak, less that without", f"{risen:.1f} MiB", f"allocated: {_BALLAST_MIB} MiB", risen / _BALLAST_MIB - 1, 0.01
    )


def _print_wall(folder: str) -> None:
    """Compare the parts of a run with the life of its process, as seen by one that only watches."""
    settings = ["study=long", f"results.root={folder}", "decode.batch_size=16", f"measure.repeats={_LONG_REPEATS}"]
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as driver:
        seen = _lifetimes(psutil.Process(driver.pid))
    row = load_runs(f"{folder}/long").iloc[0]
    parts = ["files_s", "load_s", "audio_decode_s", "single_stream_s", "overhead_s"]
    told = sum(row[part] for part in parts) + sum(row["warmup_s"]) + sum(row["inference_s"])
    # Of all processes below the driver the server and its helper live longest; then comes the run's own.
    watched = min(seen, key=lambda life: abs(life - told))
    _print("phases and overhead", f"{told:.2f} s", f"a watcher: {watched:.2f} s", told / watched - 1, 0.03)


def _lifetimes(driver: psutil.Process) -> list[float]:
    """Watch all processes below the driver until it is gone; the seconds that each lived."""
    first, last = dict[psutil.Process, float](), dict[psutil.Process, float]()
    while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
        now = time.monotonic()
        with contextlib.suppress(psutil.Error):
            for process in driver.children(recursive=True):
                first.setdefault(process, now)
                last[process] = now
        time.sleep(_POLL_S)
    return [last[process] - first[process] for process in first]


def _print_validity(folder: str) -> None:
    settings = [*_FAKE, "model.name=fake/work", "measure.repeats=3", f"measure.replicates={_VALIDITY_RUNS}"]
    alone = _study(folder, "alone", settings)
    with _busy_everywhere():
        crowded = _study(folder, "crowded", settings)
    for name, runs in (("left alone", alone), ("beside a busy loop on every processor", crowded)):
        doubts = [one["doubt"] for doubts in runs["doubts"] for one in doubts]
        counts = ", ".join(f"{doubt} {doubts.count(doubt)}" for doubt in dict.fromkeys(doubts)) or "no doubts"
        print(f"{name}: {runs['valid'].sum()} of {len(runs)} runs valid ({counts})", flush=True)


@contextlib.contextmanager
def _busy_everywhere() -> Iterator[None]:
    processes = [multiprocessing.Process(target=_spin, args=(cpu,), daemon=True) for cpu in affinity()]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _spin(cpu: int) -> None:
    psutil.Process().cpu_affinity([cpu])
    while True:
        pass


def _print_pairs(folder: str, pairs: int, runs: int) -> None:
    """Settings differ in their seed alone, which the work does not depend on; those of B compute ten percent more."""
    base = ["study=pairs", f"results.root={folder}", *_FAKE, "model.name=fake/work", "data.limit=2"]
    plain = _composed([*base, f"measure.replicates={runs}", "measure.warmup=0", "measure.sample_hz=1"]).config
    slower = dataclasses.replace(plain, model=dataclasses.replace(plain.model, name="fake/more_work"))
    groups = {"A": (plain, 0), "A again": (plain, pairs), "B": (slower, 0)}
    points = [
        Candidate({}, dataclasses.replace(config, seed=first + number))
        for config, first in groups.values()
        for number in range(pairs)
    ]
    run_study(Composed(plain, Space((), {}, {}), Grid(tuple(points), ())), "make bench", _Silent())
    table = load_runs(f"{folder}/pairs")
    seconds = table.assign(s=table["inference_s"].map(lambda passes: passes[0])).groupby(["model.name", "seed"])["s"]
    of: dict[Any, list[float]] = {key: list(values) for key, values in seconds}
    print(f"{len(table)} runs of {table['wall_s'].median():.2f} s; {runs} of each setting, all shuffled", flush=True)
    for name, other, shift, expected in (
        ("A/A, the same", "fake/work", pairs, "at most 10"),
        ("A/B, ten percent slower", "fake/more_work", 0, "at least 90"),
    ):
        found = [compare(of["fake/work", at], of[other, at + shift]) for at in range(pairs)]
        called = sum(one.different for one in found)
        ratio = pd.Series([one.ratio for one in found]).median()
        covered = sum((one.low or 0) <= (1.1 if shift == 0 else 1.0) <= (one.high or 9) for one in found)
        print(
            f"{name}: {called} of {pairs} pairs called different (expected of 100: {expected}); median ratio"
            f" {ratio:.3f}; {covered} intervals hold the true ratio",
            flush=True,
        )


def _study(folder: str, name: str, settings: list[str]) -> pd.DataFrame:
    run_study(_composed([f"study={name}", f"results.root={folder}", *settings]), "make bench", _Silent())
    return load_runs(f"{folder}/{name}")


def _composed(settings: list[str]) -> Composed:
    study = compose(settings)
    assert study is not None
    assert isinstance(study.config, Config)
    return study


def _print(what: str, ours: str, theirs: str, off: float, allowed: float) -> None:
    print(f"{what}: {ours}; {theirs}; off by {100 * off:+.2f} % (allowed: {100 * allowed:.0f} %)", flush=True)


if __name__ == "__main__":
    main()
