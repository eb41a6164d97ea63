"""How long a study of many finished runs takes to start its next one: ``python -m benchmarks.resume``.

The runs of a grid are left as a driver leaves them, merged a thousand a file; the first thousand are written and merged
by the real store. Then a grid with some points more is started in an interpreter of its own, and ended with its first
run. Told are the seconds from asking for the interpreter to the start of that run.
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench import store
from bench.attempts import Attempt
from bench.compaction import ROLL_AT, compact
from bench.jobs import JobMaker
from bench.layout import MEMBERS, MERGED
from bench.records import Job, RunResult, Status
from bench.search.compose import compose
from bench.sweep import run_study
from benchmarks.recordings import tone_manifest

_RUNS = 20_000
_ACROSS = 100  # values of one of the grid's two settings
_LIMIT_S = 10.0


class _First:
    """A listener that ends a study with its first run, and keeps that."""

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.result: RunResult | None = None

    def planned(self, total: int, done: int, skipped: int) -> None:
        """Say how long it took to know what is done."""
        print(f"  {done:,} of {total:,} runs known to be done after {time.time() - self.began_s:.1f} s", flush=True)

    def noted(self, message: str) -> None:
        pass

    def warned(self, message: str) -> None:
        print(f"  {message}", flush=True)

    def progressed(self, note: str) -> None:
        pass

    def finished(self, result: RunResult, will_retry: bool) -> None:
        """Keep the run, and end the study as Ctrl-C does."""
        self.result = result
        raise KeyboardInterrupt


def main() -> None:
    """Measure and print; or, as the process that is measured, resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=_RUNS, help="finished runs (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to write them, to be kept; or where they are already")
    parser.add_argument("--resume", type=float, help="serve as the process that is measured, for this program")
    options = parser.parse_args()
    if options.resume is not None:
        _resume(options.folder, options.runs, options.resume)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        print(f"Resuming a study of {options.runs:,} finished runs, in a process of its own.\n")
        if not (folder / "many").exists():
            _write(folder, options.runs)
        print(f"its folder holds {sum(1 for _ in folder.rglob('*.parquet'))} parquet files", flush=True)
        command = [sys.executable, "-m", "benchmarks.resume", "--folder", str(folder), "--runs", str(options.runs)]
        subprocess.run([*command, "--resume", str(time.time())], check=True)


def _grid(folder: Path, runs: int, more: int = 0) -> list[str]:
    """Ask for a grid of that many points, or of some values more."""
    data = ["engine=fake", "model=fake", "data=manifest", f"data.path={tone_manifest(folder)}", "measure.warmup=0"]
    beams, batches = runs // _ACROSS + 1, _ACROSS + 1 + more  # they mean nothing to this engine
    space = [f"decode.num_beams=range(1,{beams})", f"decode.batch_size=range(1,{batches})"]
    return ["-m", "study=many", f"results.root={folder}", *data, *space]


def _write(folder: Path, runs: int) -> None:
    """Leave the runs of the grid as a driver leaves them: merged, a thousand a file."""
    study = compose(_grid(folder, runs))
    assert study is not None
    first = _First(time.time())
    run_study(study, "make bench", first)
    assert first.result is not None
    done, study_dir = first.result.job.run_id, folder / "many"
    maker = JobMaker(study.grid.points[:1])
    jobs = [job for candidate in study.grid.candidates for job in maker.jobs(candidate) if job.run_id != done]
    jobs.sort(key=lambda job: job.run_id)
    batches = [jobs[start : start + ROLL_AT] for start in range(0, len(jobs), ROLL_AT)]
    began_s = time.perf_counter()
    for job in batches[0]:
        store.write_run(study_dir, dataclasses.replace(first.result, job=dataclasses.replace(job, attempt=1)))
    written_s = time.perf_counter()
    compact(study_dir)
    merged_s = time.perf_counter()
    print(f"writing: {1000 * (written_s - began_s) / len(batches[0]):.1f} ms a run")
    print(f"merging {len(batches[0]):,} runs: {merged_s - written_s:.1f} s", flush=True)
    for number, batch in enumerate(batches[1:], start=2):
        for table in ("runs", "utterances", "timeline"):
            _write_like(study_dir / table, batch, number)


def _write_like(folder: Path, jobs: list[Job], number: int) -> None:
    """Write a merged file as the first one is, of other runs; writing each by itself would take an hour."""
    (first,) = folder.glob(f"{MERGED}000001-*.parquet")
    table = pq.read_table(first)
    before = pa.array(sorted(set(table["run_id"].to_pylist())))
    place = pc.index_in(table["run_id"], before)
    # The runs of the first file that have no counterpart are left out.
    table, place = (one.filter(pc.less(place, len(jobs))) for one in (table, place))
    changed = {
        "run_id": [job.run_id for job in jobs],
        "trial_id": [job.trial_id for job in jobs],
        "point": [job.point for job in jobs],
        "decode.num_beams": [job.config.decode.num_beams for job in jobs],
        "decode.batch_size": [job.config.decode.batch_size for job in jobs],
    }
    for name, values in changed.items():
        if name in table.column_names:
            kind = table.schema.field(name)
            column = pc.take(pa.array(values, kind.type), place)
            table = table.set_column(table.column_names.index(name), kind, column)
    if "trial_number" in table.column_names:
        numbers = pa.array(range(number * ROLL_AT, number * ROLL_AT + len(table)), pa.int32())
        table = table.set_column(table.column_names.index("trial_number"), "trial_number", numbers)
    members = "\n".join(Attempt(job.run_id, 1, Status.ok).file_name for job in jobs)
    pq.write_table(table.replace_schema_metadata({MEMBERS: members}), folder / f"{MERGED}{number:06}-bench.parquet")


def _resume(folder: Path, runs: int, began_s: float) -> None:
    study = compose(_grid(folder, runs, more=1))
    assert study is not None
    print(f"  composed after {time.time() - began_s:.1f} s", flush=True)
    first = _First(began_s)
    run_study(study, "make bench", first)
    assert first.result is not None
    seconds = datetime.fromisoformat(first.result.started_at).timestamp() - began_s
    verdict = "kept" if seconds < _LIMIT_S else "MISSED"
    print(f"the first new run started after {seconds:.1f} s; limit {_LIMIT_S:g} s: {verdict}")


if __name__ == "__main__":
    main()
