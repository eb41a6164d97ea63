"""What reading a manifest of 100,000 lines takes: ``python -m benchmarks.manifest``.

Each format is read in a process of its own, whose peak memory is told beside that of one that reads a single line.
"""

import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_LINES = 100_000
_ROUNDS = 3
_LIMIT_S = 3.0
_LIMIT_MIB = 500.0


def main() -> None:
    """Measure and print; or, with a file as the argument, read it and print seconds and peak MiB."""
    if len(sys.argv) > 1:
        print(*_read(Path(sys.argv[1])))
        return
    print(f"Reading a manifest, medians of {_ROUNDS} processes each:\n")
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("csv", "tsv", "jsonl"):
            _, alone_mib = _measured(_written(Path(folder), ending, 1))
            seconds, peak_mib = _measured(_written(Path(folder), ending, _LINES))
            print(
                f"{_LINES:,} lines of {ending}: {seconds:.2f} s (limit {_LIMIT_S:g} s), peak {peak_mib:.0f} MiB"
                f" (limit {_LIMIT_MIB:g} MiB), {peak_mib - alone_mib:.0f} MiB more than for a single line"
            )


def _measured(path: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.manifest", str(path)]
    told = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(_ROUNDS)]
    return statistics.median(float(one[0]) for one in told), statistics.median(float(one[1]) for one in told)


def _read(path: Path) -> tuple[float, float]:
    from bench.data.sources.entries import Utterances
    from bench.data.sources.manifest import read_manifest

    started = time.perf_counter()
    found = Utterances(path.parent)
    for entry in read_manifest(path):
        found.add(entry)
    seconds = time.perf_counter() - started
    if any(item.error is not None for item in found.found):
        sys.exit(f"{path} was not read as it was written")
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _written(folder: Path, ending: str, lines: int) -> Path:
    path = folder / f"{lines}.{ending}"
    rows = (
        {
            "path": f"clips/{number % 1000:03}/recording_{number:06}.mp3",
            "text": f"the sentence with the number {number} is about as long as most of those that people read out",
            "speaker": f"speaker{number % 500}",
            "duration_s": 3 + number % 7,
        }
        for number in range(lines)
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        if ending == "jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            table = csv.DictWriter(
                file, ["path", "text", "speaker", "duration_s"], delimiter="\t" if ending == "tsv" else ","
            )
            table.writeheader()
            table.writerows(rows)
    return path


if __name__ == "__main__":
    main()
