"""What a search proposes: never the same twice, nothing impossible, and better than chance on published functions."""

import statistics
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from bench.config import DecodeConfig, Sampler
from bench.errors import ConfigError
from bench.inference.fake import ZDT_SIZES, zdt
from bench.search.adaptive import Proposer, rebuilt
from bench.search.compose import Composed, compose
from bench.search.coordinates import Coordinates, size
from bench.search.objectives import Goal, parse_goal
from bench.search.points import checked_points, name_of
from bench.search.space import Point
from bench.search.trials import Outcome, Trial

ZDT_SPACE = ["decode.batch_size=range(1,22)", "decode.num_beams=range(1,7)", "decode.chunk_length_s=range(20,31,2)"]
ZDT_GOAL = parse_goal(["features_mib", "cache_mib"], [])


def searched(*arguments: str, sampler: str = "tpe") -> Composed:
    study = compose(["-m", "engine=fake", "model=fake", "decode.stride_length_s=0", f"search={sampler}", *arguments])
    assert study is not None
    return study


def proposer(study: Composed, goal: Goal = ZDT_GOAL, seed: int = 0, enqueued: tuple[Point, ...] = ()) -> Proposer:
    assert study.points is not None
    return Proposer(study.space, study.points, goal, study.config.search.sampler, seed, enqueued)


def zdt_trial(number: int, point: Point, spec: DecodeConfig, name: str = "fake/zdt1") -> Trial:
    first, second = zdt(name, spec)
    return Trial(number, point, Outcome.ok, {"features_mib": first, "cache_mib": second})


def search_zdt(name: str, sampler: str, seed: int, count: int) -> list[Trial]:
    proposing = proposer(searched(*ZDT_SPACE, sampler=sampler), seed=seed)
    trials: list[Trial] = []
    for number in range(count):
        candidate = proposing.propose(trials)
        assert candidate is not None
        trials.append(zdt_trial(number, candidate.point, candidate.config.decode, name))
    return trials


def hypervolume(found: Sequence[tuple[float, float]]) -> float:
    """Area that the points dominate, up to (1.1, 1.1), as the literature on ZDT has it."""
    reference = np.array([1.1, 1.1])
    within = np.array([point for point in found if max(point) < 1.1]).reshape(-1, 2)
    return float(compute_hypervolume(within, reference)) if len(within) else 0.0


def reached(trials: Sequence[Trial]) -> float:
    return hypervolume([(trial.values["features_mib"], trial.values["cache_mib"]) for trial in trials])


def whole_grid(name: str) -> list[tuple[float, float]]:
    axes = [range(1, 22), range(1, 7), range(20, 31, 2)]
    assert [(axis[0], axis[-1]) for axis in axes] == list(ZDT_SIZES.values())
    return [
        zdt(name, DecodeConfig(batch_size=batch, num_beams=beams, chunk_length_s=chunk))
        for batch, beams, chunk in product(*axes)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fake/zdt1", "fake/zdt2"])
def test_the_sampler_finds_the_front_in_a_fraction_of_the_grid(name: str) -> None:
    """Three seeds and a ninth of the grid here; ten seeds and a third of it in the slow test below."""
    true = hypervolume(whole_grid(name))
    tpe = [reached(search_zdt(name, "tpe", seed, 84)) for seed in range(3)]
    chance = [reached(search_zdt(name, "random", seed, 84)) for seed in range(3)]
    assert statistics.median(tpe) >= 0.95 * true
    assert statistics.median(tpe) > statistics.median(chance)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
@pytest.mark.parametrize("name", ["fake/zdt1", "fake/zdt2"])
def test_ten_seeds_of_every_sampler_beat_chance(name: str, sampler: str) -> None:
    grid = whole_grid(name)
    # The Gaussian process takes a second a trial and needs few of them.
    count = 40 if sampler == "gp" else len(grid) // 3
    found = [reached(search_zdt(name, sampler, seed, count)) for seed in range(10)]
    chance = [reached(search_zdt(name, "random", seed, count)) for seed in range(10)]
    assert statistics.median(found) >= 0.95 * hypervolume(grid)
    assert statistics.median(found) > statistics.median(chance)


@pytest.mark.parametrize("sampler", list(Sampler)[1:])
def test_no_point_is_tried_twice_and_every_possible_one_in_the_end(sampler: Sampler) -> None:
    study = searched("decode.batch_size=1,2,4,8", "decode.chunk_length_s=2,4", "seed=1,2", sampler=sampler)
    proposing = proposer(study)
    trials: list[Trial] = []
    while (candidate := proposing.propose(trials)) is not None:
        value = float(candidate.config.decode.batch_size) / candidate.config.decode.chunk_length_s
        trials.append(Trial(len(trials), candidate.point, Outcome.ok, {"features_mib": value, "cache_mib": -value}))
    assert len(trials) == len({name_of(trial.point) for trial in trials}) == 16


@pytest.mark.parametrize("sampler", list(Sampler)[1:])
def test_proposals_with_trials_on_their_way(sampler: Sampler) -> None:
    """Each follows from what has ended and what is on its way, and is none of either."""
    proposing = proposer(searched(*ZDT_SPACE, sampler=sampler))
    ended = search_zdt("fake/zdt1", sampler, 0, 12)
    running: list[Point] = []
    for _ in range(4):
        candidate = proposing.propose(ended, running=running)
        again = proposer(searched(*ZDT_SPACE, sampler=sampler)).propose(ended, running=list(running))
        assert candidate is not None
        assert again is not None
        assert candidate.point == again.point
        running.append(candidate.point)
    names = {name_of(point) for point in running}
    assert len(names) == 4
    assert not names & {name_of(trial.point) for trial in ended}
    assert proposing.propose(ended, running=[]) == proposing.propose(ended)


def test_nothing_is_proposed_where_all_that_is_left_is_on_its_way() -> None:
    proposing = proposer(searched("decode.batch_size=1,2,4"))
    running: list[Point] = []
    while (candidate := proposing.propose([], running=running)) is not None:
        running.append(candidate.point)
    assert sorted(point["decode.batch_size"] for point in running) == [1, 2, 4]


@pytest.mark.parametrize("sampler", list(Sampler)[1:])
def test_impossible_points_are_never_proposed(sampler: Sampler) -> None:
    study = searched("decode.chunk_length_s=interval(1,8)", "decode.stride_length_s=interval(0,4)", sampler=sampler)
    proposing = proposer(study)
    trials: list[Trial] = []
    for number in range(14):
        candidate = proposing.propose(trials)
        assert candidate is not None
        decode = candidate.config.decode
        assert 2 * decode.stride_length_s < decode.chunk_length_s
        values = {"features_mib": decode.chunk_length_s, "cache_mib": decode.stride_length_s}
        trials.append(Trial(number, candidate.point, Outcome.ok, values))


@pytest.mark.parametrize("sampler", list(Sampler)[1:])
def test_a_proposal_depends_on_nothing_but_seed_and_history(sampler: Sampler) -> None:
    space = ["decode.batch_size=tag(log,interval(1,64))", "decode.chunk_length_s=interval(20,30)"]
    trials: list[Trial] = []
    first = proposer(searched(*space, sampler=sampler), seed=5)
    for number in range(13):
        candidate = first.propose(trials)
        again = proposer(searched(*space, sampler=sampler), seed=5).propose(list(trials))
        assert candidate is not None
        assert again == candidate
        values = {
            "features_mib": float(candidate.config.decode.batch_size),
            "cache_mib": candidate.config.decode.chunk_length_s,
        }
        trials.append(Trial(number, candidate.point, Outcome.ok, values))
    other = proposer(searched(*space, sampler=sampler), seed=6).propose(trials)
    assert other != first.propose(trials)


def test_points_to_try_first_come_first() -> None:
    study = searched("decode.batch_size=range(1,65)", "seed=1,2")
    assert study.points is not None
    given: list[Point] = [{"decode.batch_size": 48, "seed": 2}, {"seed": 1, "decode.batch_size": 3}]
    enqueued = checked_points(given, study.space, study.points)
    proposing = proposer(study, enqueued=enqueued)
    trials: list[Trial] = []
    for expected in given:
        candidate = proposing.propose(trials)
        assert candidate is not None
        assert candidate.point == expected
        trials.append(zdt_trial(len(trials), candidate.point, DecodeConfig(batch_size=1)))
    following = proposing.propose(trials)
    assert following is not None
    assert following.point not in given


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"decode.batch_size": 2, "threads": 1}, "threads does not vary"),
        ({"decode.batch_size": 2}, "leaves seed open"),
        ({"decode.batch_size": 0, "seed": 1}, "decode.batch_size=0 is too small"),
        ({"decode.batch_size": "many", "seed": 1}, "decode.batch_size=many is no number"),
    ],
)
def test_points_that_cannot_come_first_are_refused(point: Point, said: str) -> None:
    study = searched("decode.batch_size=1,2,4", "seed=1,2")
    assert study.points is not None
    with pytest.raises(ConfigError, match=said):
        checked_points([point], study.space, study.points)


def test_a_setting_varies_only_under_its_condition() -> None:
    study = searched(
        "decode.strategy=chunked,vad",
        "decode.stride_length_s=interval(1,4)",
        "decode.chunk_length_s=interval(10,30)",
        "search.space.when=['decode.stride_length_s if decode.strategy=chunked else 0']",
    )
    proposing = proposer(study)
    trials: list[Trial] = []
    for number in range(16):
        candidate = proposing.propose(trials)
        assert candidate is not None
        decode = candidate.config.decode
        assert (decode.stride_length_s == 0) is (decode.strategy == "vad")
        values = {"features_mib": decode.chunk_length_s, "cache_mib": decode.stride_length_s}
        trials.append(Trial(number, candidate.point, Outcome.ok, values))
    assert {trial.point["decode.strategy"] for trial in trials} == {"chunked", "vad"}


def test_settings_that_vary_together_stay_together() -> None:
    pairs = [(10, 1), (20, 2), (30, 5)]
    combine = ",".join(f"{{decode.chunk_length_s:{chunk},decode.stride_length_s:{stride}}}" for chunk, stride in pairs)
    study = searched(f"search.space.combine=[{combine}]", "decode.batch_size=1,2")
    proposing = proposer(study)
    trials: list[Trial] = []
    while (candidate := proposing.propose(trials)) is not None:
        trials.append(zdt_trial(len(trials), candidate.point, DecodeConfig(batch_size=1)))
    assert {(trial.point["decode.chunk_length_s"], trial.point["decode.stride_length_s"]) for trial in trials} == {
        *pairs
    }
    assert len(trials) == 6


def test_what_runs_out_of_memory_is_avoided() -> None:
    """Told as infeasible with finite values, the sampler keeps away, though what it seeks grows towards the limit."""
    study = searched("decode.batch_size=interval(1,100)", "decode.chunk_length_s=interval(10,30)")
    proposing = proposer(study, parse_goal(["rtfx"], []))
    trials: list[Trial] = []
    for number in range(40):
        candidate = proposing.propose(trials)
        assert candidate is not None
        batch = candidate.config.decode.batch_size
        assert isinstance(batch, int)
        if batch > 30:
            trials.append(Trial(number, candidate.point, Outcome.oom, {}))
        else:
            trials.append(Trial(number, candidate.point, Outcome.ok, {"rtfx": float(batch)}))
    late = [trial.outcome for trial in trials[15:]]
    assert late.count(Outcome.oom) < 0.5 * len(late)  # by chance 70 %
    assert max(trial.values.get("rtfx", 0) for trial in trials) >= 27


def test_out_of_memory_is_told_as_complete_with_the_worst_values_and_a_broken_bound() -> None:
    study = searched("decode.batch_size=interval(1,100)")
    assert study.points is not None
    goal = parse_goal(["wer", "rtfx"], ["peak_rss_mib<=300"])
    trials = [
        Trial(0, {"decode.batch_size": 3}, Outcome.ok, {"wer": 0.1, "rtfx": 20.0, "peak_rss_mib": 150.0}),
        Trial(1, {"decode.batch_size": 9}, Outcome.pruned, {"wer": 0.4, "rtfx": 30.0, "peak_rss_mib": 330.0}),
        Trial(2, {"decode.batch_size": 90}, Outcome.oom, {}),
        Trial(3, {"decode.batch_size": 5}, Outcome.failed, {}),
    ]
    told = rebuilt(trials, Coordinates(study.space, study.points), goal).trials
    assert [trial.params for trial in told] == [{"decode.batch_size": size} for size in (3, 9, 90)]
    assert {trial.state.name for trial in told} == {"COMPLETE"}
    assert [trial.values for trial in told] == [[0.1, 20.0], [0.4, 30.0], [0.4, 20.0]]
    assert [trial.constraints for trial in told] == [
        {"peak_rss_mib<=300": -0.5, "memory": -1.0},
        {"peak_rss_mib<=300": pytest.approx(0.1), "memory": -1.0},
        {"peak_rss_mib<=300": 1.0, "memory": 1.0},
    ]


def test_a_constraint_is_kept_while_searching() -> None:
    study = searched("decode.batch_size=interval(1,100)", "decode.chunk_length_s=interval(10,30)")
    proposing = proposer(study, parse_goal(["rtfx"], ["peak_rss_mib<=300"]))
    trials: list[Trial] = []
    for number in range(40):
        candidate = proposing.propose(trials)
        assert candidate is not None
        batch = float(candidate.config.decode.batch_size)
        trials.append(Trial(number, candidate.point, Outcome.ok, {"rtfx": batch, "peak_rss_mib": 10 * batch}))
    late = [trial.values["peak_rss_mib"] <= 300 for trial in trials[15:]]
    assert sum(late) > 0.5 * len(late)  # by chance 30 %


def test_failed_trials_and_those_of_another_space_do_not_disturb() -> None:
    study = searched("decode.batch_size=range(1,9)")
    trials = [
        Trial(0, {"decode.batch_size": 3}, Outcome.failed, {}),
        Trial(1, {"decode.batch_size": 400}, Outcome.ok, {"features_mib": 1.0, "cache_mib": 1.0}),
        Trial(2, {"decode.batch_size": 4, "seed": 3}, Outcome.ok, {"features_mib": 1.0, "cache_mib": 1.0}),
    ]
    candidate = proposer(study).propose(trials)
    assert candidate is not None
    assert candidate.point != {"decode.batch_size": 3}


@pytest.fixture(scope="module")
def mixed() -> Composed:
    """A space with every kind of dimension."""
    return searched(
        "decode.batch_size=tag(log,interval(1,64))",
        "decode.chunk_length_s=5.5,10,30,20",
        "decode.language=en,null",
        "model=fake,whisper",
        "decode.stride_length_s=interval(0,2)",
    )


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_points_become_parameters_and_back(mixed: Composed, data: st.DataObject) -> None:
    assert mixed.points is not None
    point = {
        "model": data.draw(st.sampled_from(["fake", "whisper"])),
        "decode.batch_size": data.draw(st.integers(1, 64)),
        "decode.chunk_length_s": data.draw(st.sampled_from([5.5, 10, 30, 20])),
        "decode.language": data.draw(st.sampled_from(["en", None])),
        "decode.stride_length_s": data.draw(st.floats(0, 2)),
    }
    coordinates = Coordinates(mixed.space, mixed.points)
    written = coordinates.parameters(point)
    assert written is not None
    parameters, distributions = written
    for key, distribution in distributions.items():
        assert distribution._contains(distribution.to_internal_repr(parameters[key])), key
    back = {key: value for name in parameters for key, value in coordinates._set_by(name, parameters[name]).items()}
    assert back == point
    assert coordinates.distance(point, point) == 0
    assert coordinates.parameters({**point, "decode.chunk_length_s": 7}) is None


def test_the_size_of_a_space() -> None:
    def count(*arguments: str) -> int | None:
        return size(searched(*arguments).space)

    assert count("seed=1,2", "threads=1,2,3") == 6
    assert count("seed=1,2", "threads=interval(1,4)") == 8
    assert count("seed=1,2", "decode.chunk_length_s=interval(1,4)") is None
    assert count("search.space.combine=[{seed:1,threads:1},{seed:2,threads:2}]", "decode.batch_size=1,2,3") == 6
