"""A study: which trials it has, how they are chosen and executed, and where results go."""

import functools
import operator
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, is_dataclass
from enum import StrEnum
from typing import Any

from bench.config.training import FinetuneConfig
from bench.config.trial import DataConfig, DecodeConfig, Engine, MeasureConfig, ModelConfig, ScoreConfig


class Task(StrEnum):
    """What a trial is: transcribing with given weights, or training them first, by cross-validation."""

    transcribe = "transcribe"
    finetune = "finetune"


class ExecutorKind(StrEnum):
    """Where runs are executed: on this machine, or on the nodes of a Ray cluster."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class ExecutorConfig:
    """How runs are executed.

    Attributes:
        kind: Where.
        workers: Runs at a time. More than one share this machine, and none of their timings is valid. Null is as many
            as a Ray cluster has room for.
        address: An existing Ray cluster, ``HOST:PORT`` or ``auto``; null starts one on this machine.
        memory_gib: Memory that a run on Ray asks for, in GiB; null asks for none in particular.
        timeout_s: Wall-clock limit of one run in seconds; null is no limit.
        max_attempts: Attempts at a run that ends in ``error`` or ``timeout``, over all starts of the study.
    """

    kind: ExecutorKind = ExecutorKind.local
    workers: int | None = 1
    address: str | None = None
    memory_gib: float | None = None
    timeout_s: float | None = None
    max_attempts: int = 3


class Sampler(StrEnum):
    """What proposes the points of a study.

    ``grid`` tries every combination; the others are Optuna's, and see what came of the points before.
    """

    grid = "grid"
    random = "random"
    tpe = "tpe"
    nsga2 = "nsga2"
    gp = "gp"


class OnOom(StrEnum):
    """What follows a point that runs out of memory: nothing, or the search for the largest one that does not."""

    record = "record"
    bisect = "bisect"


@dataclass(frozen=True)
class SpaceConfig:
    """What the grammar of overrides cannot say of a space.

    Attributes:
        combine: Settings that vary together: a list of mappings from setting to value, one of which a point takes.
        when: Settings that vary under a condition only, each as ``SETTING if OTHER=VALUE|VALUE else VALUE``; without
            the last part such a setting keeps its default where the condition is not met.
    """

    combine: list[dict[str, Any]] = field(default_factory=list)
    when: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SearchConfig:
    """How a study chooses its points, and when it ends.

    Attributes:
        sampler: What proposes points.
        trials: Trials of a study that is no grid, those of earlier starts included.
        objectives: Metrics to make good, each in its own direction.
        constraints: Bounds such as ``peak_rss_mib<=8000``; what breaks one is never recommended.
        space: More about the space.
        enqueue: Points to try first, as mappings from setting to value.
        oom: What follows a point that runs out of memory.
        racing: End a run early that is worse than the best so far beyond doubt.
        racing_level: Greatest probability that racing ends a run that deserves to go on.
        racing_margin: How much better than the best so far a run must be to deserve it, as a share of the best's value:
            with 0.1, a run goes on until it is beyond doubt not a tenth better.
        budget_s: Seconds that all runs of the study may take; null is no limit.
        budget_cost: The same at ``measure.price_per_hour``.
        dry_run: Predict time, memory and cost of a grid from a few short runs, and run nothing else.
        holdout: Share of the data kept aside, by speaker or recording, to judge the chosen setting on.
    """

    sampler: Sampler = Sampler.grid
    trials: int = 40
    objectives: list[str] = field(default_factory=lambda: ["wer", "rtfx"])
    constraints: list[str] = field(default_factory=list)
    space: SpaceConfig = field(default_factory=SpaceConfig)
    enqueue: list[dict[str, Any]] = field(default_factory=list)
    oom: OnOom = OnOom.record
    racing: bool = False
    racing_level: float = 0.05
    racing_margin: float = 0.0
    budget_s: float | None = None
    budget_cost: float | None = None
    dry_run: bool = False
    holdout: float = 0.0


@dataclass(frozen=True)
class ResultsConfig:
    """Where outputs go: ``root/<study>`` holds the records, ``reports/<study>`` the report."""

    root: str = "results"
    reports: str = "reports"


@dataclass(frozen=True)
class Config:
    """One trial's complete configuration; a sweep varies any of its leaves.

    Attributes:
        study: Name of the study, a folder under ``results.root``.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        engine: What executes the model: one of :class:`Engine`, or an engine that an installed package offers.
        threads: CPU threads of the run; null leaves the library's choice.
        seed: Seeds the order of the grid and every random generator of a run.
        task: What a trial is.
    """

    study: str = "default"
    task: Task = Task.transcribe
    device: str = "cpu"
    engine: str = Engine.transformers.value
    threads: int | None = None
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    search: SearchConfig = field(default_factory=SearchConfig, hash=False)  # the same in all points of a study
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    results: ResultsConfig = field(default_factory=ResultsConfig)


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(dotted name, value)`` of every leaf, in declaration order; enums become their plain strings."""
    for name, get in _leaves(config.__class__):
        value = get(config)
        yield prefix + name, value.value if isinstance(value, StrEnum) else value


@functools.cache  # a grid flattens each of its points, several times
def _leaves(kind: type, prefix: str = "") -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """List the leaves of a dataclass by their dotted names, with what reads each."""
    found: list[tuple[str, Callable[[Any], Any]]] = []
    for name, annotation in typing.get_type_hints(kind).items():
        if is_dataclass(annotation):
            found += _leaves(typing.cast(type, annotation), f"{prefix}{name}.")
        else:
            found.append((prefix + name, operator.attrgetter(prefix + name)))
    return tuple(found)
