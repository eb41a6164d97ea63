"""The certificate on made-up readings; that real ones lead to it is tested with the executor."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from bench.measure.validity import certify
from bench.readings import Certificate, Counters, Doubt, Sample

QUIET = Counters(
    wall_s=10.0,
    cpus=4,
    process_cpu_s=20.0,
    waiting_s=0.1,
    machine_busy_s=20.5,
    stolen_s=0.1,
    quota_throttled_s=0.0,
    swapped_mib=0.0,
    major_faults=3,
    thermal_events=0,
)
STEADY = (1.0, 1.01, 0.99, 1.0, 1.02, 0.98)
SAMPLES = tuple(Sample(0.1 * at, "inference", cpu_mhz=3000.0) for at in range(20))
GPU = tuple(
    Sample(0.1 * at, "inference", gpu_util_pct=95.0, gpu_clock_mhz=1900.0, gpu_processes=1, gpu_slowdown="")
    for at in range(20)
)


def doubts(certificate: Certificate) -> list[Doubt]:
    return [finding.doubt for finding in certificate.findings]


def on_cpu(passes: tuple[float, ...] = STEADY, **changes: Any) -> Certificate:
    return certify(passes, dataclasses.replace(QUIET, **changes), SAMPLES, on_gpu=False)


def on_gpu(**changes: Any) -> Certificate:
    """A run on a GPU whose later half of samples is changed."""
    late = tuple(dataclasses.replace(sample, **changes) for sample in GPU[10:])
    return certify(STEADY, QUIET, (*GPU[:10], *late), on_gpu=True)


def test_an_undisturbed_run_is_valid_and_everything_was_looked_at() -> None:
    assert on_cpu() == Certificate()
    assert on_gpu() == Certificate()
    assert on_cpu().valid


# What changes, the doubt, and the figures that its detail must give.
DISTURBED = [
    # 26 - 20 - 0.08 s of ticks, of 40 s: 14.8 %.
    ({"machine_busy_s": 26.0, "waiting_s": 3.5}, Doubt.contention, ("15 %", "4 processors", "waited 3.5 s")),
    ({"machine_busy_s": 60.0, "waiting_s": None}, Doubt.contention, ("100 %",)),
    ({"stolen_s": 2.0}, Doubt.steal, ("5.0 %",)),
    ({"quota_throttled_s": 0.5}, Doubt.quota, ("0.5 s", "threads=4")),
    ({"swapped_mib": 64.0}, Doubt.swapping, ("64 MiB",)),
    ({"major_faults": 5000}, Doubt.disk, ("5000 pages",)),
    ({"thermal_events": 7}, Doubt.throttled, ("7 times",)),
]


@pytest.mark.parametrize(("changes", "doubt", "figures"), DISTURBED)
def test_every_disturbance_is_found_and_told_with_its_figures(
    changes: dict[str, Any], doubt: Doubt, figures: tuple[str, ...]
) -> None:
    certificate = on_cpu(**changes)
    assert not certificate.valid
    assert doubts(certificate) == [doubt]
    assert all(figure in certificate.findings[0].detail for figure in figures)


@pytest.mark.parametrize(
    "changes",
    [
        {"machine_busy_s": 23.9},
        {"stolen_s": 0.8},
        {"quota_throttled_s": 0.3},
        {"swapped_mib": 0.5},
        {"major_faults": 90},
    ],
)
def test_what_every_machine_does_now_and_then_is_no_disturbance(changes: dict[str, Any]) -> None:
    assert on_cpu(**changes).valid


def test_the_ticks_of_the_kernel_do_not_make_a_short_run_crowded() -> None:
    # 50 ms on two processors, of which the kernel booked three ticks of 10 ms that were the run's own.
    brief = Counters(wall_s=0.05, cpus=2, process_cpu_s=0.05, machine_busy_s=0.08, stolen_s=0.01)
    certificate = certify((0.05,), brief, (), on_gpu=False)
    assert certificate.findings == ()
    assert {Doubt.contention, Doubt.steal} <= set(certificate.unchecked)  # it could not have been seen
    longer = certify((0.5,), dataclasses.replace(brief, wall_s=0.5), (), on_gpu=False)
    assert Doubt.contention not in longer.unchecked
    assert Doubt.steal in longer.unchecked


def test_strangers_beside_a_container_that_may_use_little_are_no_contention() -> None:
    # 3 s of others' work on 64 processors in 10 s are half a percent, whatever the container's share is.
    container = Counters(wall_s=10.0, cpus=64, quota_cpus=2.0, process_cpu_s=20.0, machine_busy_s=23.0, stolen_s=0.5)
    assert certify(STEADY, container, SAMPLES, on_gpu=False).valid
    held = dataclasses.replace(container, quota_throttled_s=20.0)
    (finding,) = certify(STEADY, held, SAMPLES, on_gpu=False).findings
    assert finding.doubt is Doubt.quota
    assert "threads=2" in finding.detail


@pytest.mark.parametrize(
    ("passes", "doubt"),
    [
        ((1.2, 1.0, 1.0, 1.01, 0.99, 1.0), Doubt.warm_up),  # a slow start
        ((1.0, 0.99, 0.97, 0.95, 0.93, 0.91, 0.9), Doubt.warm_up),  # still getting faster
        ((1.0, 1.02, 1.04, 1.05, 1.07, 1.09, 1.1), Doubt.warm_up),  # getting hot
        ((1.0, 1.3, 0.95, 1.2), Doubt.spread),
        ((1.0, 1.0, 1.001, 0.999, 1.0, 1.0, 1.2), Doubt.outlier),
    ],
)
def test_passes_that_do_not_agree_are_doubted(passes: tuple[float, ...], doubt: Doubt) -> None:
    assert doubts(on_cpu(passes)) == [doubt]


def test_a_drift_that_is_steady_but_small_is_none() -> None:
    assert on_cpu((1.0, 1.005, 1.01, 1.015, 1.02, 1.025)).valid


def test_normal_passes_of_a_good_machine_are_hardly_ever_doubted() -> None:
    noise = np.random.default_rng(0)
    doubted = sum(not on_cpu(tuple(noise.normal(1.0, 0.02, 8))).valid for _ in range(500))
    assert doubted <= 10


@pytest.mark.parametrize(
    ("changes", "doubt", "figures"),
    [
        ({"gpu_processes": 3}, Doubt.gpu_shared, ("2 other",)),
        ({"gpu_slowdown": "hw_thermal+power_cap"}, Doubt.throttled, ("hw_thermal",)),
        ({"gpu_clock_mhz": 1500.0}, Doubt.clock, ("1900", "1500 MHz")),
    ],
)
def test_what_disturbs_a_gpu_is_found(changes: dict[str, Any], doubt: Doubt, figures: tuple[str, ...]) -> None:
    certificate = on_gpu(**changes)
    assert doubts(certificate) == [doubt]
    assert all(figure in certificate.findings[0].detail for figure in figures)


def test_a_gpu_at_its_power_limit_runs_as_it_should_and_an_idle_ones_clock_means_nothing() -> None:
    assert on_gpu(gpu_slowdown="power_cap").valid
    assert on_gpu(gpu_util_pct=0.0, gpu_clock_mhz=300.0).valid


def test_a_processor_whose_clock_changed_is_doubted() -> None:
    samples = [Sample(0.1 * at, "inference", cpu_mhz=3000.0 if at < 10 else 2400.0) for at in range(20)]
    assert doubts(certify(STEADY, QUIET, samples, on_gpu=False)) == [Doubt.clock]


def test_what_could_not_be_looked_at_is_said() -> None:
    alone = certify((1.0,), QUIET, SAMPLES, on_gpu=False)
    assert alone.valid
    assert set(alone.unchecked) == {Doubt.warm_up, Doubt.spread, Doubt.outlier}
    blind = certify(STEADY, None, (), on_gpu=False)
    assert blind.valid
    assert set(blind.unchecked) == {
        *(Doubt.contention, Doubt.steal, Doubt.quota, Doubt.swapping, Doubt.disk, Doubt.throttled, Doubt.clock)
    }


def test_a_container_that_hides_processes_cannot_tell_whether_the_gpu_is_shared() -> None:
    hidden = [dataclasses.replace(sample, gpu_processes=0) for sample in GPU]
    assert Doubt.gpu_shared in certify(STEADY, QUIET, hidden, on_gpu=True).unchecked
