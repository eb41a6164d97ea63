"""How the settings were found: what proposed them, what it was after, what became of the trials, and what fitted."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.config import Sampler
from bench.errors import ConfigError
from bench.metrics import WER, Metric
from bench.printable import clean
from bench.records import Status
from bench.report.labels import describe, plain
from bench.report.limits import breaches, values_of
from bench.report.races import raced, races
from bench.report.tables import Block
from bench.search.objectives import Goal, parse_goal
from bench.search.trials import Outcome, Trial, trial_of

_BATCH, _CHUNK = "decode.batch_size", "decode.chunk_length_s"
_USUAL_OBJECTIVES = ("wer", "rtfx")
_MOST_SIZES = 20

_ENDS = {
    Status.ok.value: "ran to {} end",
    Status.pruned.value: "{} ended early by racing",
    Status.oom.value: "ran out of memory",
}


def goal_of(config: Mapping[str, Any]) -> Goal:
    """Read what a study is after from its description; of an older version, WER and speed without any bound.

    Raises:
        ConfigError: The description names what is no metric here.
    """
    objectives, constraints = (config.get(f"search.{name}") for name in ("objectives", "constraints"))
    for found in (objectives, constraints):
        if not isinstance(found, list | None) or not all(isinstance(one, str) for one in found or []):
            raise ConfigError(f"study.yaml: {found!r} is no list of objectives or constraints; restore the file")
    return parse_goal(objectives or _USUAL_OBJECTIVES, constraints or ())


def searches(found: Sequence[Block], config: Mapping[str, Any]) -> bool:
    """Tell whether a study's points were proposed by a sampler, or its runs raced."""
    return _sampler(config) != Sampler.grid or raced(found)


def search_section(
    found: Sequence[Block], goal: Goal, config: Mapping[str, Any], points: int | None = None
) -> dict[str, Any] | None:
    """Gather the section "The search".

    Args:
        found: The blocks of a study.
        goal: What it is after.
        config: The settings of the latest start.
        points: Points of the grid in the latest start; null where that is unknown.

    Returns:
        ``told`` (sentences), ``sizes`` (what fits in memory, a sentence a setting) and ``racing`` (see
        :func:`bench.report.races.races`; null without races); null for a grid whose trials all fitted and ran alone.
    """
    # A trial whose runs were made on two machines is in two blocks, and one trial all the same.
    statuses = {trial: str(status) for block in found for trial, status in block.table["status"].items()}
    ends = Counter(map(_end, statuses.values()))
    if not found or not (searches(found, config) or ends[Status.oom.value]):
        return None
    sizes = [line for block in found for line in _sizes(block, f"{block.title}: " if len(found) > 1 else "")]
    more = [f"{len(sizes) - _MOST_SIZES} more settings are in the tables."] if len(sizes) > _MOST_SIZES else []
    return {
        "told": [
            _trials_told(ends, config, points),
            *_goal_told(goal, config),
            *(_bests(found, goal) if searches(found, config) else ()),
        ],
        "sizes": [*sizes[:_MOST_SIZES], *more],
        "racing": races(found, goal, config) if raced(found) else None,
    }


def trials_of(block: Block, goal: Goal) -> list[Trial]:
    """Sum up a block's trials as the search saw them, by number; those of older versions tell no point."""
    needed = ["trial_id", "trial_number", "point", "status", "race_wer", "race_rtfx"]
    columns = dict.fromkeys([*needed, *(metric.column for metric in goal.metrics)])
    known = block.runs.loc[block.runs["trial_number"].notna() & block.runs["point"].map(_is_point), list(columns)]
    trials = [_trial(runs, goal) for _, runs in known.groupby("trial_id", sort=True)]
    return sorted(trials, key=lambda trial: trial.number)


def direction(metric: Metric) -> str:
    """Name a metric with its direction."""
    return f"{metric.label} ({'lower' if metric.smaller_is_better else 'higher'} is better)"


def _trial(runs: pd.DataFrame, goal: Goal) -> Trial:
    """Sum up a trial; one that racing ended is no failure, even if it had no value yet for all that is looked at."""
    trial = trial_of(int(runs["trial_number"].iloc[0]), runs.to_dict("records"), goal.metrics)  # type: ignore[arg-type]
    statuses = set(runs["status"])
    if Status.pruned.value in statuses and statuses <= {Status.ok.value, Status.pruned.value}:
        return dataclasses.replace(trial, outcome=Outcome.pruned)
    return trial


def _is_point(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _sampler(config: Mapping[str, Any]) -> str:
    return clean(str(config.get("search.sampler") or Sampler.grid.value))


def _end(status: str) -> str:
    return status if status in _ENDS else "failed"


def _trials_told(ends: Mapping[str, int], config: Mapping[str, Any], points: int | None) -> str:
    total, sampler = sum(ends.values()), _sampler(config)
    if sampler == Sampler.grid:
        done = f"{total} of {points}" if points is not None and points > total else str(total)
        lead = f"A grid, of which {done} setting{'' if done == '1' else 's'} ran"
    else:
        allowed = config.get("search.trials")
        done = f"{total} of {allowed}" if isinstance(allowed, int) and total <= allowed else str(total)
        lead = f"The sampler {sampler} chose the settings; {done} trial{'' if done == '1' else 's'} ran"
    parts = [
        f"{count} {_ENDS.get(end, 'failed').format(_form(end, count))}"
        for end in (*_ENDS, "failed")
        if (count := ends.get(end, 0))
    ]
    return f"{lead}: {', '.join(parts)}."


def _form(end: str, count: int) -> str:
    one, many = ("its", "their") if end == Status.ok.value else ("was", "were")
    return one if count == 1 else many


def _goal_told(goal: Goal, config: Mapping[str, Any]) -> Iterator[str]:
    if "search.objectives" in config:
        plural = "s" if len(goal.objectives) > 1 else ""
        apart = (
            "" if WER in goal.objectives else " What is recommended above goes by WER, and then speed, all the same."
        )
        yield f"Objective{plural}: {', '.join(map(direction, goal.objectives))}.{apart}"
    if goal.constraints:
        plural = "s" if len(goal.constraints) > 1 else ""
        kept = "nothing is recommended that breaks one, though a sampler may try it"
        yield f"Constraint{plural}: {', '.join(map(str, goal.constraints))}; {kept}."


def _bests(found: Sequence[Block], goal: Goal) -> Iterator[str]:
    """Name the best setting by each objective, which may be none of those that settings are recommended by."""
    for block in found:
        out = breaches(block)
        prefix = f"{block.title}: best" if len(found) > 1 else "Best"
        parts = []
        for metric in goal.objectives:
            values = {trial: value for trial, value in values_of(block, metric).items() if trial not in out}
            finished = [trial for trial in values if block.row(trial)["status"] == Status.ok.value]
            if finished:
                best = (min if metric.smaller_is_better else max)(finished, key=lambda trial: values[trial])
                parts.append(f"by {metric.label}: {block.row(best)['label']} ({metric.show(values[best])})")
        if parts:
            yield f"{prefix} {'; '.join(parts)}."


def _sizes(block: Block, prefix: str) -> Iterator[str]:
    """Say what fits in memory: of each setting that ran out of it, the largest batch, then the longest chunk."""
    batch = block.runs.groupby("trial_id")[_BATCH].first()
    table = block.table.assign(**{_BATCH: batch.reindex(block.table.index)})
    if _BATCH in block.varied:
        yield from _largest(table, _BATCH, block.varied, prefix)
    if _CHUNK in block.varied:
        # A shorter chunk is what is left once not even a batch of one fits.
        yield from _largest(table[table[_BATCH] == 1], _CHUNK, block.varied, prefix)


def _largest(table: pd.DataFrame, key: str, varied: Sequence[str], prefix: str) -> Iterator[str]:
    others = [name for name in varied if name != key]
    groups: dict[tuple[object, ...], list[tuple[float, str]]] = {}
    for _, row in table.dropna(subset=[key]).iterrows():
        groups.setdefault(tuple(plain(row[name]) for name in others), []).append((float(row[key]), str(row["status"])))
    for values, sizes in sorted(groups.items(), key=lambda item: str(item[0])):
        fails = min((size for size, status in sizes if status == Status.oom.value), default=None)
        if fails is not None:
            fitting = (size for size, status in sizes if status in (Status.ok.value, Status.pruned.value))
            fits = max((size for size in fitting if size < fails), default=None)
            lead = f"with {describe(dict(zip(others, values, strict=True)))}, " if others else ""
            said = f"{lead}{_fit(key, fits, fails)}"
            yield prefix + (said if prefix else said[:1].upper() + said[1:])


def _fit(key: str, fits: float | None, fails: float) -> str:
    too_large = describe({key: fails})
    if fits is None:
        return f"not even {too_large} fits." if fails == 1 else f"{too_large} runs out of memory, the smallest tried."
    if fails - fits <= 1:
        return f"{describe({key: fits})} is the largest that fits: {too_large} runs out of memory."
    return f"{describe({key: fits})} fits and {too_large} runs out of memory; nothing between was tried."
