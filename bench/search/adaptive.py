"""Which point to try next, by Optuna: a pure function of the seed and of what came of the trials so far.

No study object outlives a proposal. Each is made from a study rebuilt from the trials' results and a sampler seeded by
the search's seed and the trial's number, so a search that was killed goes on exactly as it would have.

Where several trials run at a time, a proposal is a pure function of that and of the points that are on their way. Which
trials have ended when it is made depends on how long they took, so such a search is not the same twice; after a kill it
goes on from what had ended, and what was on its way is proposed anew.
"""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from bench.config import Sampler
from bench.errors import ImpossiblePoint
from bench.search.coordinates import Coordinates, size
from bench.search.grid import points_of
from bench.search.objectives import Goal
from bench.search.points import Candidate, Points, name_of
from bench.search.space import Interval, Point, Space
from bench.search.trials import Outcome, Trial

# With fewer than ten results a model of the space knows nothing; it is what Optuna's samplers take, too.
_STARTUP_TRIALS = 10
# Optuna's 50 is more than most sweeps of costly runs have trials.
_POPULATION = 20
# Proposals that are impossible or known are asked for again this often, each time with another seed.
_TRIES = 20
_MOST_ENUMERATED = 20_000


@dataclass(frozen=True)
class Proposer:
    """Proposes points.

    Attributes:
        space: Where to look.
        points: Makes points into configurations.
        goal: What is sought.
        sampler: How to look.
        seed: Seeds every proposal, together with the trial's number.
        enqueued: Points to try before any other.
    """

    space: Space
    points: Points
    goal: Goal
    sampler: Sampler
    seed: int
    enqueued: tuple[Point, ...] = ()

    def propose(
        self,
        trials: Sequence[Trial],
        is_known: Callable[[Candidate], bool] = lambda _: False,
        running: Sequence[Point] = (),
    ) -> Candidate | None:
        """Choose the next point.

        A point that was tried before is not tried again, and one that no run can honour not at all: the sampler is
        asked anew, and in a finite space the nearest point to its proposal that is left is taken.

        Args:
            trials: All trials that have ended so far, by number.
            is_known: Tells whether a setting was tried under another point, in a space of another form.
            running: Points that are being tried, in the order they were begun.

        Returns:
            The point; null where every possible one has been tried.

        Raises:
            ConfigError: A value is wrong in any combination.
        """
        known = {name_of(point) for point in (*(trial.point for trial in trials), *running)}

        def fresh(points: Iterable[Point]) -> Candidate | None:
            for point in points:
                if name_of(point) not in known and (candidate := self._possible(point)) and not is_known(candidate):
                    return candidate
            return None

        if (candidate := fresh(self.enqueued)) is not None:
            return candidate
        coordinates = Coordinates(self.space, self.points)
        number, count = len(trials) + len(running), size(self.space)
        finite = count is not None and count <= _MOST_ENUMERATED
        proposal: Point = {}
        for attempt in range(1 if finite else _TRIES):
            proposal = self._ask(trials, running, coordinates, number, attempt)
            if (candidate := fresh([proposal])) is not None:
                return candidate
        return fresh(self._nearest(proposal, coordinates) if finite else self._at_random(coordinates, number))

    def _ask(
        self, trials: Sequence[Trial], running: Sequence[Point], coordinates: Coordinates, number: int, attempt: int
    ) -> Point:
        study = rebuilt(trials, coordinates, self.goal)
        for point in running:
            if (parameters := coordinates.parameters(point)) is not None:
                study.add_trial(
                    optuna.create_trial(state=TrialState.RUNNING, params=parameters[0], distributions=parameters[1])
                )
        study.sampler = _sampler(self.sampler, _seed(self.seed, number, attempt), several=bool(running))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features that Optuna calls experimental, and of mixed spaces
            return coordinates.suggest(study.ask())

    def _nearest(self, proposal: Point, coordinates: Coordinates) -> Iterator[Point]:
        """List the points of a finite space by their distance from a proposal; ties in the order of the grid."""
        everything = points_of(_listed(self.space), self.points)
        yield from sorted(everything, key=lambda point: coordinates.distance(proposal, point))

    def _at_random(self, coordinates: Coordinates, number: int) -> Iterator[Point]:
        for attempt in range(1000):
            study = optuna.create_study(sampler=RandomSampler(_seed(self.seed, number, _TRIES + attempt)))
            yield coordinates.suggest(study.ask())

    def _possible(self, point: Point) -> Candidate | None:
        try:
            return self.points.candidate(point)
        except ImpossiblePoint:
            return None


def rebuilt(trials: Sequence[Trial], coordinates: Coordinates, goal: Goal) -> optuna.Study:
    """Make a study in memory from results; what does not lie in the space, or failed, is left out."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["minimize" if metric.smaller_is_better else "maximize" for metric in goal.objectives]
    )
    study.add_trials(list(_frozen(trials, coordinates, goal)))
    return study


def _frozen(trials: Sequence[Trial], coordinates: Coordinates, goal: Goal) -> Iterator[FrozenTrial]:
    """Write results as Optuna's trials.

    A point that ran out of memory is a complete trial that breaks a constraint, with the worst values seen: told as
    failed, samplers go on proposing its like. One that racing ended has the values it had by then.
    """
    usable = [trial for trial in trials if trial.outcome is not Outcome.failed]
    bounded = bool(goal.constraints) or any(trial.outcome is Outcome.oom for trial in usable)
    told = [trial for trial in usable if trial.outcome is not Outcome.oom]
    worst = [
        (max if metric.smaller_is_better else min)((trial.values[metric.column] for trial in told), default=0.0)
        for metric in goal.objectives
    ]
    complete = itertools.count()
    for trial in usable:
        if (parameters := coordinates.parameters(trial.point)) is None:
            continue
        out_of_memory = trial.outcome is Outcome.oom
        limits = {
            str(one): 1.0 if out_of_memory else one.excess(trial.values[one.metric.column]) for one in goal.constraints
        }
        limits["memory"] = 1.0 if out_of_memory else -1.0
        yield optuna.create_trial(
            state=TrialState.COMPLETE,
            params=parameters[0],
            distributions=parameters[1],
            values=worst if out_of_memory else [trial.values[metric.column] for metric in goal.objectives],
            constraints=limits if bounded else None,
            # Rebuilt trials carry no generation, and NSGA-II would take all of them for the first.
            system_attrs={NSGAIISampler._get_generation_key(): next(complete) // _POPULATION},
        )


def _sampler(name: Sampler, seed: int, several: bool) -> BaseSampler:
    makers: dict[Sampler, Callable[[], BaseSampler]] = {
        Sampler.random: lambda: RandomSampler(seed),
        # What runs is taken for bad meanwhile, so that nothing like it is proposed: without it, the same again.
        Sampler.tpe: lambda: TPESampler(n_startup_trials=_STARTUP_TRIALS, seed=seed, constant_liar=several),
        Sampler.nsga2: lambda: NSGAIISampler(population_size=_POPULATION, seed=seed),
        Sampler.gp: lambda: GPSampler(n_startup_trials=_STARTUP_TRIALS, seed=seed),
    }
    return makers[name]()


def _seed(seed: int, number: int, attempt: int) -> int:
    return int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])


def _listed(space: Space) -> Space:
    """Write intervals of whole numbers as lists."""
    values = {
        key: tuple(range(int(domain.low), int(domain.high) + 1)) if isinstance(domain, Interval) else domain
        for key, domain in space.values.items()
    }
    return Space(space.fixed, space.groups, values, space.combinations, space.conditions)
