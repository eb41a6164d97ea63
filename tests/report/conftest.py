import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bench.records import RunResult
from bench.report import build
from bench.report.tables import Block, blocks
from bench.store import load_runs
from tests.report.builder import grid_study, study


@pytest.fixture
def blocks_of(tmp_path: Path) -> Callable[..., list[Block]]:
    """Write runs to a study and split what the store loads into blocks."""

    def split(*runs: RunResult) -> list[Block]:
        return blocks(load_runs(study(tmp_path / "hand", runs)))

    return split


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A realistic sweep of 16 trials with an out-of-memory and an error."""
    return grid_study(tmp_path_factory.mktemp("results") / "grid")


@pytest.fixture(scope="session")
def grid_runs(grid: Path) -> pd.DataFrame:
    return load_runs(grid)


@pytest.fixture(scope="session")
def grid_report(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(grid, tmp_path_factory.mktemp("reports"))


def text_of(page: str) -> str:
    """Reduce a page to what a reader sees, in order; the table of contents repeats headings and is left out."""
    body = re.sub(r"(?s)<(script|nav)\b.*?</\1>", "", page[page.index("<body>") :])
    return " ".join(re.sub(r"<[^>]+>", " ", body).replace("\N{NO-BREAK SPACE}", " ").split())
