"""The studies there are, a row each."""

import pandas as pd

from bench.errors import BenchError
from bench.metrics import RTFX, WER
from bench.printable import clean
from bench.report.description import description
from bench.report.finetuning import trains
from bench.report.judged import FOLDER
from bench.report.passage import Passage
from bench.report.tables import searched
from bench.storage import Place, size_of
from bench.store import list_studies, load_runs

_HEADS = ("study", "task", "data", "runs", "lowest WER", "highest RTFx", "MiB", "last run")
_DASH = "\N{EN DASH}"


def listing(root: Place) -> Passage | None:
    """List the studies under a folder, those that cannot be read with the reason; null where there are none."""
    rows: list[tuple[str, ...]] = []
    broken = []
    for folder in list_studies(root):
        size = _DASH
        try:
            size = f"{size_of(folder) / 2**20:.1f}"
            rows.append(_row(folder, size))
        except (BenchError, OSError) as error:  # whatever is wrong with a study, the others are listed
            rows.append((folder.name, "cannot be read", *(_DASH,) * 4, size, _DASH))
            broken.append(f"{folder.name}: {error}")
    return Passage(heads=_HEADS, rows=tuple(rows), lines=tuple(broken), words=4) if rows else None


def statuses(runs: pd.DataFrame) -> str:
    """Count runs by how they ended: "22 ok, 1 oom"."""
    counts = runs["status"].value_counts().sort_index()
    ordered = sorted(counts.items(), key=lambda item: (item[0] != "ok", item[0]))
    return ", ".join(f"{count} {status}" for status, count in ordered) or "none"


def _row(folder: Place, size: str) -> tuple[str, ...]:
    config = description(folder).get("config") or {}
    every = load_runs(folder)
    runs = searched(every)
    task = "fine-tune" if trains(every, config) else "transcribe"
    if (folder / FOLDER / "study.yaml").exists():
        task += ", judged"
    # Rates of different data or devices do not compare, so no extreme of them means anything.
    alike = len(runs[["data.fingerprint", "device"]].drop_duplicates()) <= 1
    names = [clean(str(name)) for name in runs["data.name"].dropna().unique()]
    return (
        folder.name,
        task,
        names[0] if len(names) == 1 else f"{len(names)} data sets" if names else _DASH,
        statuses(runs),
        WER.show(runs["wer"].min()) if alike else "mixed",
        RTFX.show(runs["rtfx"].max()) if alike else "mixed",
        size,
        str(runs["started_at"].max())[:16] if len(runs) else _DASH,
    )
