"""`kill -9` at random instants, of whatever a study consists of: at the end nothing is lost and nothing is there twice.

A run's process is sampled by the driver, so to kill the driver is to kill the sampler.
"""

import random
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import bench
from tests.faults.drivers import Driver, Study

pytestmark = pytest.mark.faults

Start = Callable[..., Driver]

_KINDS = ("driver", "run", "server")
_NO_SERVER = "was killed each time it was started"  # and what is done stays done
_HEAVY = [pytest.mark.slow, pytest.mark.timeout(3 * 3600)]


@dataclass(frozen=True)
class Storm:
    """How a study is disturbed.

    Attributes:
        kills: How many processes are killed in all; a new study begins where one is complete before.
        mean_s: Mean time between two kills, which come as chance has it.
        settings: What the study varies.
    """

    kills: int
    mean_s: float
    settings: tuple[str, ...]


def _victim(driver: Driver, kind: str) -> psutil.Process | None:
    match kind:
        case "run":
            return driver.run()
        case "server":
            return driver.server()
        case _:
            return psutil.Process(driver.process.pid)


def _disturb(driver: Driver, storm: Storm, chance: random.Random, counts: Counter[str]) -> None:
    """Kill parts of a driver, until itself is killed, or done, or there were enough kills."""
    while sum(counts[kind] for kind in _KINDS) < storm.kills:
        try:
            driver.process.wait(chance.expovariate(1 / storm.mean_s))
            return
        except subprocess.TimeoutExpired:
            pass
        kind = chance.choice(_KINDS)
        try:
            amid_run = driver.run() is not None
            victim = _victim(driver, kind)
            if victim is None:  # between two runs, or before the first
                continue
            victim.kill()
        except psutil.NoSuchProcess:
            continue
        counts[kind] += 1
        counts["amid a run"] += amid_run
        if kind == "driver":
            driver.process.wait()
            driver.assert_nothing_left()
            return


def _weather(study: Study, start: Start, storm: Storm, chance: random.Random, counts: Counter[str]) -> None:
    """Start a study again and again until it is complete."""
    while True:
        driver = start(study, *storm.settings)
        counts["starts"] += 1
        _disturb(driver, storm, chance, counts)
        code, out = driver.ended()
        if code == 0:
            counts["studies"] += 1
            counts["files read"] += study.assert_whole()
            return
        assert code == -9 or _NO_SERVER in out, out
        counts["given up"] += code != -9


@pytest.mark.parametrize(
    "storm",
    [
        pytest.param(Storm(2, 1.0, ("-m", "decode.chunk_length_s=range(1,7)", "measure.replicates=2")), id="few"),
        pytest.param(
            Storm(120, 3.0, ("-m", "decode.chunk_length_s=range(1,31)", "measure.replicates=2")),
            id="grid",
            marks=_HEAVY,
        ),
        pytest.param(
            Storm(
                80,
                3.0,
                (
                    "-m",
                    "search=tpe",
                    "search.trials=40",
                    "search.objectives=[wer]",
                    "decode.chunk_length_s=interval(1,6)",
                ),
            ),
            id="search",
            marks=_HEAVY,
        ),
    ],
)
def test_a_study_under_kills_ends_as_undisturbed(
    study: Study, start: Start, storm: Storm, tell: Callable[[Counter[str]], None]
) -> None:
    _check(study, start, storm, tell)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_a_study_of_a_real_model_under_kills(
    tmp_path: Path, start: Start, tell: Callable[[Counter[str]], None]
) -> None:
    settings = (
        "study=s", "model=whisper_tiny_en", "data=demo", "data.limit=2", "threads=1", "measure.warmup=0",
        "executor.max_attempts=1000",
    )  # fmt: skip
    varied = ("-m", "decode.chunk_length_s=20,25,30", "decode.batch_size=1,4", "measure.replicates=2")
    _check(Study(tmp_path / "home", settings), start, Storm(20, 6.0, varied), tell)


def _check(study: Study, start: Start, storm: Storm, tell: Callable[[Counter[str]], None]) -> None:
    twin = study.twin()
    bench.run(*storm.settings, *twin.settings, f"results.root={twin.home / 'results'}")
    counts, chance = Counter[str](), random.Random(storm.kills)
    while sum(counts[kind] for kind in _KINDS) < storm.kills:
        disturbed = Study(study.home.with_name(f"{study.home.name}{counts['studies']}"), study.settings)
        _weather(disturbed, start, storm, chance, counts)
        disturbed.assert_equals(twin)
    tell(counts)
