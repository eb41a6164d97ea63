"""Whom a run is raced against."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.jobs import JobMaker
from bench.ledger import Ledger
from bench.races import Race
from bench.rivals import Rivals
from bench.search.compose import compose
from bench.search.objectives import parse_goal


class _Rows(Ledger):
    """A ledger of given rows; the texts are those of a real run."""

    def __init__(self, study_dir: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(study_dir)
        (self._real,) = super().rows("search")
        self._given = list(rows)

    def rows(self, part: str) -> list[Mapping[str, Any]]:
        return self._given

    def texts(self, run_id: str) -> list[dict[str, Any]]:
        return super().texts(self._real["run_id"])


@pytest.fixture
def race(tmp_path: Path, tone_manifest: Callable[..., Path]) -> Callable[..., Race]:
    """Make `race(objectives, constraints, *changes)`: the race of a run, with a finished one for each change."""
    arguments = [
        "study=s", f"results.root={tmp_path}", "engine=fake", "model=fake", "data=manifest",
        f"data.path={tone_manifest(3, 5)}", "decode.stride_length_s=0", "search.racing=true", "search.objectives=[wer]",
    ]  # fmt: skip
    runs = bench.run(*arguments)
    study = compose([*arguments, "threads=1"])
    assert study is not None
    (job,) = JobMaker([]).jobs(study.grid.candidates[0])
    (row,) = Ledger(tmp_path / "s").rows("search")
    assert row["run_id"] == runs["run_id"].item()

    def make(objectives: list[str], constraints: list[str], *changes: dict[str, Any]) -> Race:
        rows = [{**row, "trial_number": number, **change} for number, change in enumerate(changes)]
        return Rivals(parse_goal(objectives, constraints), _Rows(tmp_path / "s", rows)).race(job)

    return make


def test_the_rivals_are_the_front_of_the_finished_runs(race: Callable[..., Race]) -> None:
    front = race(
        ["wer", "rtfx"], [],
        {"run_id": "slow", "wer": 0.1, "rtfx": 10.0},
        {"run_id": "fast", "wer": 0.2, "rtfx": 30.0},
        {"run_id": "worse", "wer": 0.2, "rtfx": 20.0},
        {"run_id": "the same as slow", "wer": 0.1, "rtfx": 10.0},
    )  # fmt: skip
    assert {rival.run_id for rival in front.rivals} == {"slow", "fast"}
    assert front.objectives == ("wer", "rtfx")
    assert front.level == 0.05


def test_for_one_objective_there_is_one_rival_and_it_has_its_stages_errors_and_peaks(race: Callable[..., Race]) -> None:
    found = race(["wer"], [], {"wer": 0.1}, {"wer": 0.05}, {"wer": 0.05})
    (rival,) = found.rivals
    # Blocks of two recordings with 6 and 10 words, all of which the fake engine hears.
    assert rival.errors == (0.0, 0.0)
    assert rival.stage_share[-1] == 1.0
    assert len(rival.stage_s) == len(rival.stage_share)
    assert rival.peaks_mib["peak_rss_mib"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"status": "pruned"},
        {"status": "oom"},
        {"data.fingerprint": "other"},
        {"race_stage_s": None},
        {"wer": None},
        {"peak_rss_mib": 1e6},
    ],
)
def test_a_run_that_cannot_be_compared_is_no_rival(race: Callable[..., Race], change: dict[str, Any]) -> None:
    bounds = ["peak_rss_mib<=100000"]
    assert race(["wer"], bounds, change).rivals == ()
    assert len(race(["wer"], bounds, {}).rivals) == 1
