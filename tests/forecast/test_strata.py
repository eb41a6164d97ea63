"""What is tried of a grid and what follows, on a machine whose law is known: every run keeps it exactly."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.config import Config, DecodeConfig, DType, MeasureConfig, ModelConfig
from bench.forecast.model import Timed, Work
from bench.forecast.probes import Part, Point, Probe, Wanted, point_of
from bench.forecast.strata import Stratum, choose, stratum_of
from bench.forecast.windows import batch_windows, take, window_lengths_s, work_of
from bench.records import Job, Status, Utterance

DATA = Part(tuple(Utterance(f"u{n}", Path(f"{n}.wav"), "") for n in range(3)), (600.0, 900.0, 40.0))

# The machine: seconds a window and a second within windows take, how batch size and dtype change that, and the rest.
WINDOW_S, WINDOWED_S, FIRST_S, FIXED_S, REST, ALONE = 0.3, 0.02, 2.5, 1.5, 0.001, 1.7
FACTORS: dict[object, float] = {4: 1.5, 16: 1.0, 32: 0.9, DType.float32: 1.0, DType.bfloat16: 0.6}
MORE_MIB: dict[object, float] = {4: 0.0, 16: 0.0, 32: 30.0, DType.float32: 0.0, DType.bfloat16: -100.0}


def _point(config: Config) -> Point:
    decode = config.decode
    name = f"{config.device}-{decode.chunk_length_s}-{decode.stride_length_s}-{decode.batch_size}-{config.model.dtype}"
    job = Job("s", name, 0, 0, config, "", DATA.utterances, None, "data", "fingerprint")
    return point_of(job, DATA)


def _grid(measure: MeasureConfig | None = None, device: str = "cpu") -> list[Point]:
    values = itertools.product((5.0, 10.0, 30.0), (0.0, 1.0), (16, 4, 32), (DType.float32, DType.bfloat16))
    return [
        _point(
            Config(
                device=device,
                model=ModelConfig(dtype=dtype),
                decode=DecodeConfig(chunk_length_s=chunk, stride_length_s=stride, batch_size=batch),
                measure=measure or MeasureConfig(warmup=0),
            )
        )
        for chunk, stride, batch, dtype in values
    ]


def _factor(config: Config) -> float:
    return FACTORS[config.decode.batch_size] * FACTORS[config.model.dtype]


def _decoding_s(config: Config, work: Work) -> float:
    return _factor(config) * (WINDOW_S * work.windows + WINDOWED_S * work.windowed_s)


def _peak_mib(config: Config, batch: Work, audio_s: float) -> float:
    others = MORE_MIB[config.decode.batch_size] + MORE_MIB[config.model.dtype]
    return 800 + 0.5 * batch.windowed_s + others + audio_s * 16_000 * 4 / 2**20


def _gpu_mib(config: Config, batch: Work) -> float | None:
    return 300 + 2 * batch.windowed_s + MORE_MIB[config.model.dtype] if config.device == "cuda" else None


def _alone(config: Config, lengths_s: Sequence[float]) -> Work:
    """Sum up what is transcribed one at a time: the first of it twice."""
    chosen = lengths_s[: config.measure.single_stream]
    return work_of(window_lengths_s([*chosen[:1], *chosen], config.decode))


def _try(wanted: Wanted) -> Probe:
    """Do what a run would report that keeps the law."""
    config = wanted.point.config
    size = batch_windows(config.decode)
    taken = take(DATA.utterances, DATA.lengths_s, config.decode, size * wanted.batches, seed=0)
    whole = dict(zip((item.utterance_id for item in DATA.utterances), DATA.lengths_s, strict=True))
    lengths_s = [item.duration_s or whole[item.utterance_id] for item in taken]
    windows = window_lengths_s(lengths_s, config.decode)
    works = [work_of(windows[at : at + size]) for at in range(0, len(windows), size)]
    cold_s = _factor(config) * FIRST_S
    warm = config.measure.warmup > 0
    laps = [
        Timed(work, _decoding_s(config, work) + cold_s * (at == 0 and not warm), first=at == 0 and not warm)
        for at, work in enumerate(works)
    ]
    warm_ups = [Timed(works[0], _decoding_s(config, works[0]) + cold_s, first=True)] if warm else []
    audio_s = sum(lengths_s)
    once = dataclasses.replace(config, measure=dataclasses.replace(config.measure, single_stream=1))
    alone = _alone(once, lengths_s) if config.measure.single_stream else None
    return Probe(
        wanted,
        Status.ok,
        None,
        wall_s=0.0,
        audio_s=audio_s,
        batches=(*warm_ups, *laps),
        decoded=work_of(windows),
        decoded_s=sum(lap.seconds for lap in laps),
        rest_s=REST * audio_s,
        batch_windowed_s=works[0].windowed_s,
        fixed_s=FIXED_S,
        single=alone,
        single_s=ALONE * _decoding_s(config, alone) if alone else 0.0,
        peak_gpu_mib=_gpu_mib(config, works[0]),
        peak_rss_mib=_peak_mib(config, works[0], audio_s),
    )


def _run_s(point: Point) -> float:
    config, measure = point.config, point.config.measure
    passes_s = measure.repeats * (_decoding_s(config, point.work) + REST * DATA.audio_s)
    warm_ups_s = measure.warmup * _decoding_s(config, point.batch)
    single_s = ALONE * _decoding_s(config, _alone(config, DATA.lengths_s))
    return FIXED_S + _factor(config) * FIRST_S + warm_ups_s + passes_s + single_s * (measure.single_stream > 0)


def _failing(which: Callable[[Wanted], bool], status: Status, wanted: Sequence[Wanted]) -> list[Probe]:
    return [Probe(each, status, "it failed", 1.0) if which(each) else _try(each) for each in wanted]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    "measure",
    [MeasureConfig(warmup=0), MeasureConfig(warmup=1, single_stream=2), MeasureConfig(warmup=3, repeats=5)],
)
def test_on_a_machine_that_keeps_the_law_every_run_is_foretold_exactly(measure: MeasureConfig, device: str) -> None:
    points = _grid(measure, device)
    stratum = Stratum([_try(each) for each in choose(points)])
    for point in points:
        found = stratum.foretell(point)
        assert found.seconds == pytest.approx(_run_s(point), rel=1e-6)
        assert found.peak_rss_mib == pytest.approx(_peak_mib(point.config, point.batch, DATA.audio_s))
        assert found.peak_gpu_mib == pytest.approx(_gpu_mib(point.config, point.batch))


def test_two_points_show_the_windows_and_each_further_value_is_tried_once() -> None:
    points = _grid()
    wanted = choose(points)
    shortest, longest, *others = wanted
    assert shortest.point.config.decode.chunk_length_s == 5
    assert longest.point.config.decode.chunk_length_s == 30
    tried = sorted(str(level) for each in others for level in each.levels)
    # One variant is what the others are compared with; three batch sizes and two dtypes leave three values.
    assert len(others) == len(tried) == 3
    base = shortest.point.config
    assert {base.decode.batch_size, *(each.point.config.decode.batch_size for each in others)} == {4, 16, 32}
    assert {base.model.dtype, *(each.point.config.model.dtype for each in others)} == {DType.float32, DType.bfloat16}
    assert {each.point.job.trial_id for each in wanted} <= {point.job.trial_id for point in points}


def test_a_grid_of_one_point_takes_one_probe() -> None:
    (point, *_) = _grid()
    (wanted,) = choose([point])
    assert Stratum([_try(wanted)]).foretell(point).seconds == pytest.approx(_run_s(point), rel=1e-6)


def test_windows_of_much_the_same_length_take_one_probe() -> None:
    points = [point for point in _grid() if point.config.decode.chunk_length_s == 30]
    wanted = choose(points)
    assert len([each for each in wanted if not each.levels]) == 1


def test_values_that_only_occur_together_are_tried_together() -> None:
    pairs = [(16, DType.float32), (4, DType.bfloat16)]
    points = [point for point in _grid() if (point.config.decode.batch_size, point.config.model.dtype) in pairs]
    wanted = choose(points)
    assert [len(each.levels) for each in wanted] == [0, 0, 2]
    stratum = Stratum([_try(each) for each in wanted])
    for point in points:
        assert stratum.foretell(point).seconds == pytest.approx(_run_s(point), rel=1e-6)


def test_devices_are_strata() -> None:
    assert len({stratum_of(point.config) for device in ("cpu", "cuda") for point in _grid(device=device)}) == 2
    first = _grid()[0].config
    assert stratum_of(first) == stratum_of(dataclasses.replace(first, threads=2, seed=5))


def test_a_value_that_cannot_be_tried_is_unknown_and_the_others_are_not() -> None:
    points = _grid()
    wanted = choose(points)
    bad = next(level for each in wanted for level in each.levels)
    stratum = Stratum(_failing(lambda each: bad in each.levels, Status.error, wanted))
    for point in points:
        has_it = bad in ({"decode.batch_size": point.config.decode.batch_size, "model.dtype": point.config.model.dtype}
                         .items())  # fmt: skip
        found = stratum.foretell(point)
        assert (found.seconds is None) == has_it
        assert (found.unknown == "a probe ended in error: it failed") == has_it


def test_where_memory_ran_out_batches_as_large_are_unknown() -> None:
    points = _grid()
    wanted = choose(points)
    stratum = Stratum(_failing(lambda each: each.why == "longest windows", Status.oom, wanted))
    (largest,) = [each.point.batch.windowed_s for each in wanted if each.why == "longest windows"]
    for point in points:
        assert (stratum.foretell(point).seconds is None) == (point.batch.windowed_s >= largest)


def test_where_nothing_can_be_tried_everything_is_unknown() -> None:
    points = _grid()
    stratum = Stratum(_failing(lambda each: True, Status.error, choose(points)))
    assert all(stratum.foretell(point).seconds is None for point in points)
