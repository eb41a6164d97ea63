"""What still fits: after a run out of memory, the largest batch or chunk that does not."""

from collections.abc import Iterator, Sequence

from bench.config import Config
from bench.errors import ImpossiblePoint
from bench.search.points import Candidate, Points, name_of
from bench.search.space import Point
from bench.search.trials import Outcome, Trial

_BATCH, _CHUNK = "decode.batch_size", "decode.chunk_length_s"


def next_size(trials: Sequence[Trial], points: Points) -> Candidate | None:
    """Choose the next size to try for a setting that ran out of memory: the middle between what fits and what does not.

    Sizes are whole numbers, of windows or of seconds. The batch is made smaller first; the chunk, where not even a
    batch of one fits. A size stands for all smaller ones.

    Args:
        trials: All trials so far.
        points: Makes points into configurations.

    Returns:
        The point to try; null where nothing is left to find out.
    """
    known = {name_of(trial.point) for trial in trials}
    for trial in trials:
        if trial.outcome is Outcome.oom:
            for point in _smaller(trial.point, trials, points):
                if name_of(point) not in known:
                    try:
                        return points.candidate(point)
                    except ImpossiblePoint:  # a chunk that its strides fill
                        continue
    return None


def _smaller(point: Point, trials: Sequence[Trial], points: Points) -> Iterator[Point]:
    config = points.candidate(point).config
    if isinstance(config.decode.batch_size, int):
        yield from _between(point, _BATCH, trials, points)
    if config.decode.batch_size == 1:
        yield from _between(point, _CHUNK, trials, points)


def _between(point: Point, key: str, trials: Sequence[Trial], points: Points) -> Iterator[Point]:
    """Yield the middle of what is open, if anything is, among the trials that differ from a point in one setting."""
    same = [trial for trial in trials if _without(trial.point, key) == _without(point, key)]
    found = {trial.number: _size(points.candidate(trial.point).config, key) for trial in same}
    sizes = {number: size for number, size in found.items() if size is not None}
    alike = [trial for trial in same if trial.number in sizes]
    fits = max((sizes[trial.number] for trial in alike if trial.outcome in (Outcome.ok, Outcome.pruned)), default=0)
    fails = min(sizes[trial.number] for trial in alike if trial.outcome is Outcome.oom)
    middle = int(fits + fails) // 2
    if fits < middle < fails:
        yield {**point, key: middle}
    elif fits == 0 and middle == 0 and key == _BATCH and fails > 1:
        yield {**point, key: 1}


def _without(point: Point, key: str) -> str:
    return name_of({name: value for name, value in point.items() if name != key})


def _size(config: Config, key: str) -> float | None:
    """Return a batch or chunk; null for a batch that runs find by themselves."""
    if key == _CHUNK:
        return config.decode.chunk_length_s
    return None if isinstance(config.decode.batch_size, str) else config.decode.batch_size
