"""A study to be disturbed, and its undisturbed twin; drivers are processes of their own, seen from outside."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.drivers import Driver, Study


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path]) -> Study:
    """A study "s" of the fake engine over two recordings of 3 s and 5 s; runs take a moment each."""
    settings = (
        "study=s", "engine=fake", "model=fake", "model.name=fake/slow", "data=manifest",
        f"data.path={tone_manifest(3, 5)}", "measure.warmup=0", "decode.stride_length_s=0", "decode.batch_size=16",
        "executor.max_attempts=1000",
    )  # fmt: skip
    return Study(tmp_path / "home", settings)


@pytest.fixture
def start() -> Iterator[Callable[..., Driver]]:
    """Make `start(study, *settings, limit=..., environment=...)`: a driver; none outlives the test."""
    started: list[Driver] = []

    def begin(study: Study, *settings: str, **how: Any) -> Driver:
        driver = Driver(study, settings, **how)
        started.append(driver)
        return driver

    yield begin
    for driver in started:
        driver.process.kill()
        driver.process.communicate()
        driver.assert_nothing_left()
