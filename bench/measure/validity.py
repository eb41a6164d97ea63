"""Whether a timing can be trusted: a certificate made of what was seen while it was taken.

Pure functions of the readings; the limits are below, each with its source.
"""

import statistics
from collections.abc import Iterator, Sequence

from bench.readings import Certificate, Counters, Doubt, Finding, Sample

SPREAD = 0.10
"""Standard deviation of the passes over their mean above which they are too far apart: pyperf warns there."""

OUTLIER = 14.826
"""Distance from the median in units of the median absolute deviation, beyond which a pass is an outlier: hyperfine's
limit, 10 standard deviations of normal data; far above the 3.5 of Iglewicz and Hoaglin (1993), which a few passes of an
undisturbed machine often reach."""

SLOW_START = 0.10
"""Share by which the first pass may be slower than the median of the others."""

DRIFT = 0.05
"""Share by which passes may get faster or slower from their first third to their last, where they do so steadily."""

OTHERS = 0.10
"""Share of the processors' time that other processes may use. The driver's own sampling takes about 1 % of one."""

STOLEN = 0.02
"""Share of the processors' time that the hypervisor may give to others."""

HELD_BACK = 0.01
"""Share of the processors' time for which a container may have been held back for having used up its quota."""

CLOCK = 0.10
"""Share by which a clock may change."""

MAJOR_FAULTS = 100
"""Pages that may be read from disk: a library's code that is met for the first time is a few."""

_SWAPPED_MIB = 1.0
_TICK_S = 0.02  # the kernel books CPU time in ticks of 10 ms; a difference is off by one at either end, per processor
_STEADY_P = 0.05
_FEWEST_FOR_OUTLIER = 5
_FEWEST_FOR_TREND = 5
_FEWEST_CLOCKS = 6
_BUSY_GPU_PCT = 50.0
_HEAT = ("hw_slowdown", "hw_thermal", "hw_power_brake", "sw_thermal")


def certify(
    inference_s: Sequence[float], counters: Counters | None, samples: Sequence[Sample], on_gpu: bool
) -> Certificate:
    """Judge a run's timed passes.

    Args:
        inference_s: Seconds of each pass, in order.
        counters: What happened on the machine meanwhile.
        samples: The timeline's samples from that time.
        on_gpu: Whether the run used a CUDA device.
    """
    findings = [
        *_steadiness(inference_s),
        *(_disturbances(counters) if counters is not None else ()),
        *_clocks(samples, on_gpu),
        *(_gpu(samples) if on_gpu else ()),
    ]
    return Certificate(tuple(findings), tuple(_unchecked(inference_s, counters, samples, on_gpu)))


def _steadiness(inference_s: Sequence[float]) -> Iterator[Finding]:
    """Compare the passes with each other."""
    if len(inference_s) < 2:
        return
    first, rest = inference_s[0], statistics.median(inference_s[1:])
    if first > rest * (1 + SLOW_START):
        more = 100 * (first / rest - 1)
        yield Finding(Doubt.warm_up, f"the first pass took {more:.0f} % longer than the others; raise measure.warmup")
        inference_s = inference_s[1:]  # which explains what the first does to the rest of this
    elif (drift := _drift(inference_s)) is not None:
        yield Finding(Doubt.warm_up, f"the passes changed steadily, by {100 * drift:+.0f} % from first to last third")
    if len(inference_s) < 2:
        return
    mean = statistics.fmean(inference_s)
    if (spread := statistics.stdev(inference_s) / mean) > SPREAD:
        yield Finding(Doubt.spread, f"the passes vary by {100 * spread:.0f} % (standard deviation over mean)")
    if len(inference_s) >= _FEWEST_FOR_OUTLIER:
        middle = statistics.median(inference_s)
        deviation = statistics.median(abs(one - middle) for one in inference_s)
        far = [one for one in inference_s if abs(one - middle) > max(OUTLIER * deviation, DRIFT * middle)]
        if far:
            yield Finding(Doubt.outlier, f"{len(far)} of {len(inference_s)} passes lie far off, such as {far[0]:.3g} s")


def _drift(inference_s: Sequence[float]) -> float | None:
    """Share by which the passes changed from their first third to their last; null unless they did so steadily."""
    if len(inference_s) < _FEWEST_FOR_TREND:
        return None
    from scipy.stats import kendalltau  # here, since it takes half a second to import

    third = max(1, len(inference_s) // 3)
    drift = statistics.median(inference_s[-third:]) / statistics.median(inference_s[:third]) - 1
    # Mann (1945): Kendall's rank correlation of a series with time tells a trend without assuming its form.
    steady = kendalltau(range(len(inference_s)), inference_s).pvalue < _STEADY_P
    return drift if steady and abs(drift) > DRIFT else None


def _disturbances(counters: Counters) -> Iterator[Finding]:
    """Say what else went on."""
    available_s = counters.wall_s * counters.cpus
    unsure_s = _TICK_S * counters.cpus
    if counters.machine_busy_s is not None:
        others_s = counters.machine_busy_s - counters.process_cpu_s - unsure_s
        if others_s > OTHERS * available_s:
            waited = (
                "" if counters.waiting_s is None else f"; the run's threads waited {counters.waiting_s:.1f} s for one"
            )
            share = min(1.0, others_s / available_s)
            yield Finding(
                Doubt.contention,
                f"other processes used {100 * share:.0f} % of the {counters.cpus} processors' time{waited}",
            )
    if counters.stolen_s is not None and counters.stolen_s - unsure_s > STOLEN * available_s:
        share = counters.stolen_s / available_s
        yield Finding(Doubt.steal, f"the hypervisor gave {100 * share:.1f} % of the processors' time to others")
    if counters.quota_throttled_s is not None and counters.quota_throttled_s > HELD_BACK * available_s:
        yield Finding(
            Doubt.quota,
            f"the container had used up its share of CPU for {counters.quota_throttled_s:.2g} s; raise its limit, or"
            f" use threads={max(1, int(counters.quota_cpus or counters.cpus))}",
        )
    if counters.swapped_mib is not None and counters.swapped_mib > _SWAPPED_MIB:
        yield Finding(Doubt.swapping, f"the machine moved {counters.swapped_mib:.0f} MiB to or from swap")
    if counters.major_faults is not None and counters.major_faults > MAJOR_FAULTS:
        yield Finding(Doubt.disk, f"{counters.major_faults} pages had to be read from disk")
    if counters.thermal_events:
        yield Finding(Doubt.throttled, f"processors slowed down because of heat {counters.thermal_events} times")


def _clocks(samples: Sequence[Sample], on_gpu: bool) -> Iterator[Finding]:
    """Compare the device's clock in the first half of the time with the second."""
    clocks = _clocks_mhz(samples, on_gpu)
    if len(clocks) < _FEWEST_CLOCKS:
        return
    half = len(clocks) // 2
    early, late = statistics.median(clocks[:half]), statistics.median(clocks[half:])
    if abs(late - early) > CLOCK * max(early, late):
        device = "GPU" if on_gpu else "processors"
        yield Finding(Doubt.clock, f"the clock of the {device} went from {early:.0f} to {late:.0f} MHz")


def _clocks_mhz(samples: Sequence[Sample], on_gpu: bool) -> list[float]:
    if on_gpu:  # an idle GPU, between passes say, clocks down
        busy = [sample for sample in samples if (sample.gpu_util_pct or 0.0) >= _BUSY_GPU_PCT]
        return [sample.gpu_clock_mhz for sample in busy if sample.gpu_clock_mhz is not None]
    return [sample.cpu_mhz for sample in samples if sample.cpu_mhz is not None]


def _gpu(samples: Sequence[Sample]) -> Iterator[Finding]:
    processes = max((sample.gpu_processes or 0 for sample in samples), default=0)
    if processes > 1:
        yield Finding(Doubt.gpu_shared, f"{processes - 1} other process(es) computed on the GPU")
    reasons = {reason for sample in samples for reason in (sample.gpu_slowdown or "").split("+")}
    if hot := sorted(reasons.intersection(_HEAT)):
        yield Finding(Doubt.throttled, f"the GPU's clocks were held down: {', '.join(hot)}")


def _unchecked(
    inference_s: Sequence[float], counters: Counters | None, samples: Sequence[Sample], on_gpu: bool
) -> Iterator[Doubt]:
    """Name what the readings do not allow to judge."""
    if len(inference_s) < 2:
        yield from (Doubt.warm_up, Doubt.spread)
    if len(inference_s) < _FEWEST_FOR_OUTLIER:
        yield Doubt.outlier
    # Ticks hide what a limit would find in a short time.
    shown = counters is not None and counters.wall_s
    readings = {
        Doubt.contention: counters.machine_busy_s if counters and shown >= _TICK_S / OTHERS else None,
        Doubt.steal: counters.stolen_s if counters and shown >= _TICK_S / STOLEN else None,
        Doubt.quota: counters and counters.quota_throttled_s,
        Doubt.swapping: counters and counters.swapped_mib,
        Doubt.disk: counters and counters.major_faults,
    }
    yield from (doubt for doubt, reading in readings.items() if reading is None)
    if on_gpu:
        if all(sample.gpu_slowdown is None for sample in samples):
            yield Doubt.throttled
        if not any(sample.gpu_processes for sample in samples):  # a container hides them, even the run's own
            yield Doubt.gpu_shared
    elif counters is None or counters.thermal_events is None:
        yield Doubt.throttled
    if len(_clocks_mhz(samples, on_gpu)) < _FEWEST_CLOCKS:
        yield Doubt.clock
