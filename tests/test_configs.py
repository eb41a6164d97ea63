"""Every file of conf/ composes, by the very command its comment gives."""

import dataclasses
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from bench.config import Merge
from bench.search.compose import Composed, compose

CONF = Path(__file__).parents[1] / "conf"
FILES = sorted(CONF.rglob("*.yaml"))
COMMAND = re.compile(r"asr-sweep run(?: .*)?$")


def leading_comment(path: Path) -> list[str]:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line)
    return lines


def commands(path: Path) -> list[list[str]]:
    """The arguments of every `asr-sweep run` that the file's leading comment gives."""
    found = (COMMAND.search(line) for line in leading_comment(path))
    return [shlex.split(match[0])[2:] for match in found if match]


def composed(arguments: list[str]) -> Composed:
    study = compose(arguments)
    assert study is not None
    return study


def test_there_are_configurations() -> None:
    assert {path.relative_to(CONF).as_posix() for path in FILES} >= {"config.yaml", "experiment/demo.yaml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONF).as_posix())
def test_the_leading_comment_gives_a_command_that_composes(path: Path) -> None:
    given = commands(path)
    assert given, f"{path.name} names no command"
    for arguments in given:
        study = composed(arguments)
        assert study.searches or study.grid.points
    choice = f"{path.parent.relative_to(CONF).as_posix()}={path.stem}"
    if path != CONF / "config.yaml":
        assert choice in given[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONF).as_posix())
def test_a_preset_that_sweeps_enumerates_more_than_one_point(path: Path) -> None:
    arguments = commands(path)[0]
    study = composed(arguments)
    sweeps = "MULTIRUN" in path.read_text(encoding="utf-8") or "-m" in arguments
    assert (study.searches or len(study.grid.points) > 1) is sweeps


def test_the_demo_covers_enough_to_draw_from() -> None:
    points = composed(["experiment=demo"]).grid.points
    pairs = {(point.decode.chunk_length_s, point.decode.stride_length_s) for point in points}
    assert len(pairs) == len(points) >= 12
    assert pairs >= {(5.0, 0.0), (10.0, 0.0), (10.0, 1.0), (30.0, 5.0)}
    assert {point.study for point in points} == {"demo"}


def test_segmentation_weighs_every_strategy_and_merge_that_can_be() -> None:
    study = composed(["experiment=segmentation"])
    kinds = Counter((point.decode.strategy.value, point.decode.merge.value) for point in study.grid.points)
    # Two chunks by two strides for chunks, two chunks for cuts at silences, and Whisper's own window.
    assert kinds == {("chunked", "aligned"): 4, ("chunked", "pipeline"): 4, ("vad", "aligned"): 2,
                     ("sequential", "aligned"): 1}  # fmt: skip


def test_segmentation_suits_a_model_without_an_algorithm_of_its_own() -> None:
    points = composed(["experiment=segmentation", "model=wav2vec2", "decode.strategy=chunked,vad"]).grid.points
    assert {point.decode.strategy.value for point in points} == {"chunked", "vad"}


def test_pipeline_and_aligned_presets_differ_in_the_merge_alone() -> None:
    aligned, pipeline = (composed([f"decode={name}"]).config.decode for name in ("chunked", "pipeline"))
    assert dataclasses.replace(aligned, merge=Merge.pipeline) == pipeline != aligned
