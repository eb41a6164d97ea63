"""From a command line to a study's points: Hydra composes, and what it composed is handed back.

Hydra hands a single trial's configuration to its task function; for ``-m``, or a preset whose ``hydra.mode`` is
MULTIRUN, it hands the arguments to the sweeper plugin (``hydra_plugins/asr_sweep``), which comes back here through
:func:`study_of`. Nothing runs inside Hydra, so nothing of it stands between an error and its message.
"""

import difflib
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from bench.config import Config, ExecutorKind, Sampler, Task, flatten
from bench.config.structured import schema
from bench.errors import ConfigError
from bench.inference import parity
from bench.score.race import JUDGED
from bench.search.grid import Grid, enumerate_grid
from bench.search.objectives import deciding_time, parse_goal
from bench.search.points import Candidate, Points, checked_points, name_of, refuse_wrong_values, to_config
from bench.search.space import Point, Space, parse_space, refined
from bench.validation import validate

_PACKAGE = Path(__file__).parents[1]
# Beside the package in a checkout, inside it in a wheel.
_CONF_DIR = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
_NO_TEXT = re.compile("[\ud800-\udfff]")  # how Python writes bytes that are none; results could not hold them
_ONE_COMPOSES = threading.Lock()
_OVERRIDE = re.compile(r"[^-].*=|~")


@dataclass(frozen=True)
class Composed:
    """A study as asked for.

    Attributes:
        config: A configuration to read the study-wide settings from; they are the same in all.
        space: What varies; nothing for a single trial.
        grid: The points of a grid; none where a sampler chooses them.
        points: Makes points of the space into configurations; null for a single trial.
        enqueued: Points to try before any other.
    """

    config: Config
    space: Space
    grid: Grid
    points: Points | None = field(default=None, compare=False)
    enqueued: tuple[Point, ...] = ()

    @property
    def searches(self) -> bool:
        """Whether a sampler chooses the points."""
        return self.points is not None and self.config.search.sampler is not Sampler.grid

    def sources(self) -> list[Config]:
        """List configurations with every model and data set that the study may run."""
        return [*self.grid.points, *(self.points.sources() if self.searches and self.points else ())]


def compose(arguments: Sequence[str]) -> Composed | None:
    """Compose a study from command-line arguments in Hydra's grammar.

    Returns:
        The study; null where the arguments only asked Hydra for information (``--help``, ``--cfg job``).

    Raises:
        ConfigError: An argument is wrong; the message is one line and names the cure.
    """
    for text in arguments:
        if not isinstance(text, str):
            raise ConfigError(f"{text!r} is no text; give each argument as a string, such as 'study=mine'")
        if _NO_TEXT.search(text):
            raise ConfigError(f"{text!r} is not UTF-8 text; give a name that is")
    received: list[DictConfig | Composed] = []
    _register_schema()
    try:
        with _command_line(arguments):
            hydra.main(version_base="1.3", config_path=str(_CONF_DIR), config_name="config")(received.append)()
    # ValueError: a group set to null or a number; OverflowError: an integer of hundreds of digits for a float.
    except (HydraException, OmegaConfBaseException, ValueError, OverflowError) as error:
        raise ConfigError(_in_one_line(error)) from error
    for handed in received:
        return handed if isinstance(handed, Composed) else _single(handed)
    return None


def study_of(arguments: Sequence[str], master: DictConfig, loader: ConfigLoader) -> Composed:
    """Read the space that a sweep's arguments and its preset describe, and enumerate it where it is a grid.

    Args:
        arguments: The task's overrides, sweeps among them.
        master: Hydra's composed configuration of the sweep as a whole.
        loader: Composes again for each combination of groups.

    Raises:
        ConfigError: See :func:`bench.search.grid.enumerate_grid` and :class:`bench.search.points.Points`.
    """

    def is_group(key: str) -> bool:
        return bool(loader.get_group_options(key))

    def compose_point(overrides: Sequence[str]) -> DictConfig:
        return _task_part(loader.load_sweep_config(master, list(overrides)))

    preset = master.hydra.sweeper.params or {}
    if not isinstance(preset, Mapping | DictConfig):
        raise ConfigError(f"hydra.sweeper.params={preset} is no mapping of settings to values; write one a line")
    space = parse_space(arguments, preset, is_group, OverridesParser.create(loader))
    first = to_config(compose_point([*space.fixed, *(f"{group}={names[0]}" for group, names in space.groups.items())]))
    space = refined(space, first.search.space)
    points = Points(space, compose_point)
    _check_goal(first)
    if first.search.sampler is Sampler.grid:
        grid = enumerate_grid(space, points)
        enqueued = checked_points(first.search.enqueue, space, points)
        names = {name_of(candidate.point) for candidate in grid.candidates}
        if strange := [point for point in enqueued if name_of(point) not in names]:
            raise ConfigError(f"search.enqueue: {strange[0]} is no point of this grid; give values that it lists")
        return Composed(grid.points[0], space, grid, points, enqueued)
    refuse_wrong_values(space, points)
    if not space.varies:
        raise ConfigError(f"search={first.search.sampler} has nothing to search; name a setting with several values")
    return Composed(first, space, Grid((), ()), points, checked_points(first.search.enqueue, space, points))


def _single(composed: DictConfig) -> Composed:
    config = to_config(composed)
    validate(config)
    parity.require(config)
    if config.search.sampler is not Sampler.grid:
        raise ConfigError(
            f"search={config.search.sampler} chooses among values, and none are given; add -m and a setting with"
            " several values, such as 'decode.chunk_length_s=interval(5,30)'"
        )
    return Composed(config, Space((), {}, {}), Grid((Candidate({}, config),), ()))


def _check_goal(config: Config) -> None:
    goal = parse_goal(config.search.objectives, config.search.constraints)
    executor, timed = config.executor, deciding_time(config.search)
    if timed and executor.kind is ExecutorKind.local and executor.workers != 1:
        raise ConfigError(
            f"{timed} decides how this study goes on, and of runs that share a machine"
            f" (executor.workers={executor.workers}) no timing is valid; use executor.workers=1, or"
            " 'search.objectives=[wer]'"
        )
    if config.task is Task.finetune and config.search.racing and {one.column for one in goal.metrics} != {"wer"}:
        raise ConfigError("search.racing of trainings compares folds by their WER alone; use 'search.objectives=[wer]'")
    if config.search.racing and (late := [one.column for one in goal.metrics if one.column not in JUDGED]):
        raise ConfigError(
            f"search.racing cannot judge {late[0]} before a run has ended; take search.objectives and"
            f" search.constraints from {', '.join(JUDGED)}"
        )


def _task_part(composed: DictConfig) -> DictConfig:
    with open_dict(composed):
        del composed["hydra"]
    return composed


def _register_schema() -> None:
    """Give Hydra the typed schema of ``conf/config.yaml``."""
    ConfigStore.instance().store(name="schema", node=schema())


@contextmanager
def _command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Let Hydra read these arguments, and raise what goes wrong instead of printing it and exiting.

    Hydra is one a process: other threads wait, and a caller within Hydra of its own finds that as it was.
    """
    # Hydra's parser accepts overrides before or after its flags, but not on both sides of one.
    overrides = [text for text in arguments if _OVERRIDE.match(text)]
    with _ONE_COMPOSES:
        argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
        outer, outer_config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
        GlobalHydra.instance().clear()
        sys.argv = ["asr-sweep run", *(text for text in arguments if not _OVERRIDE.match(text)), *overrides]
        os.environ["HYDRA_FULL_ERROR"] = "1"
        try:
            yield
        finally:
            sys.argv = argv
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg = outer, outer_config
            if full_error is None:
                del os.environ["HYDRA_FULL_ERROR"]
            else:
                os.environ["HYDRA_FULL_ERROR"] = full_error


def _in_one_line(error: BaseException) -> str:
    """Say in one line what Hydra and OmegaConf say in several, with the cure."""
    text = str(error)
    if found := re.search(r"Could not find '([^']+)'(?:.*?Available options in '[^']+':\n(.*?)\nConfig)?", text, re.S):
        group, _, choice = found[1].rpartition("/")
        options = " ".join((found[2] or "").split())
        return f"{group or 'config'}={choice} is unknown; use one of: {options or 'none'}"
    if found := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{found[1]} lists several values; add -m to sweep over them, or quote the value"
    cause = error.__cause__ or error
    if key := getattr(cause, "full_key", None):
        reason = str(cause).splitlines()[0]
        if reason.startswith("Key "):
            return _unknown(key)
        return f"{key}: {reason}; mend the value"
    if found := re.search(r"(.*)\n\s*full_key: (\S+)", text):  # what OmegaConf adds to errors of Python's own
        return f"{found[2]}: {found[1]}; mend the value"
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown(found[1])
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return f"{first}; see 'asr-sweep run --help' for the form of arguments"


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key, [name for name, _ in flatten(Config())], n=1, cutoff=0.8)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{key} is no setting; {meant}'asr-sweep run --cfg job' lists them all"
