"""How well the machine repeats itself: one fixed piece of work, again and again, on one processor."""

import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from bench.doctor.facts import Busy, Probe
from bench.measure import counters, validity

PASS_S = 0.03
"""What a pass takes, about: long beside the clock's resolution and the scheduler's slices of a few milliseconds."""

BLOCKS = 20
"""Groups of consecutive passes. What disturbs one pass often disturbs the next, so the mean of many passes varies more
than independent passes would let it; that of a block is measured, not derived."""

FEWEST_RUNS = 4
"""Runs of each setting that :func:`bench.measure.comparison.compare` needs before it can call two different."""

_WARM_UP_S = 0.3  # clocks rise within milliseconds, and the buffers are touched for the first time
_VALUES = 1 << 18  # 1 MiB a buffer: beyond the first cache, as a layer's activations are
_BUSY = 0.02  # share of one processor below which a process is not worth a word
_LONGEST_NAME = 15  # as the kernel keeps them
_Z_LEVEL = statistics.NormalDist().inv_cdf(1 - 0.05 / 2)
_Z_POWER = statistics.NormalDist().inv_cdf(0.8)
_RANK_EFFICIENCY = 3 / math.pi  # of the rank test beside the t-test for normal data; Lehmann (1975), Nonparametrics
_DISCRETE = 2  # runs that the test's few possible levels cost in small samples; a simulation stands in the tests


@dataclass(frozen=True)
class Steadiness:
    """How far passes of the same work lie apart; all but the first two are shares.

    Attributes:
        pass_s: Their median, in seconds.
        block_s: Seconds of a block.
        variation: Standard deviation of the passes over their mean.
        block_variation: The same of the blocks.
        tail: By how much the slowest tenth lies above the median, at least.
        outliers: Of all passes, by the limit of :mod:`bench.measure.validity`.
        trend: How much the last third of the blocks took longer than the first, where they rise or fall steadily; null
            where they do not.
    """

    pass_s: float
    block_s: float
    variation: float
    block_variation: float
    tail: float
    outliers: float
    trend: float | None = None


def probe(seconds: float) -> Probe:
    """Repeat the work for so many seconds, and watch what else runs.

    The work is arithmetic on arrays, which numpy does on one thread whatever it was built with.
    """
    source = np.linspace(0.1, 1.0, _VALUES, dtype=np.float32)
    target = np.empty_like(source)

    def work(rounds: int) -> float:
        started = time.perf_counter()
        for _ in range(rounds):
            np.multiply(source, source, out=target)
            np.add(target, source, out=target)
            np.sqrt(target, out=target)
        return time.perf_counter() - started

    warm_until = time.perf_counter() + _WARM_UP_S
    round_s = work(1)
    while time.perf_counter() < warm_until:
        round_s = min(round_s, work(1))
    rounds = max(1, round(PASS_S / round_s))
    used_before = _cpu_s()
    before = counters.read()
    passes_s: list[float] = []
    while len(passes_s) < BLOCKS or time.perf_counter() - before.at_s < seconds:
        passes_s.append(work(rounds))
    seen = counters.between(before, counters.read())
    return Probe(tuple(passes_s), seen, _busiest(used_before, _cpu_s(), seen.wall_s))


def judge(passes_s: Sequence[float]) -> Steadiness:
    """Sum up passes of the same work, at least as many as there are blocks."""
    if len(passes_s) < BLOCKS:
        raise ValueError(f"{len(passes_s)} passes do not fill {BLOCKS} blocks")
    median = statistics.median(passes_s)
    deviation = statistics.median(abs(one - median) for one in passes_s)
    far = max(validity.OUTLIER * deviation, validity.DRIFT * median)
    groups = np.array_split(np.array(passes_s), BLOCKS)
    blocks = [float(group.mean()) for group in groups]
    return Steadiness(
        pass_s=median,
        block_s=statistics.fmean(float(group.sum()) for group in groups),
        variation=statistics.stdev(passes_s) / statistics.fmean(passes_s),
        block_variation=statistics.stdev(blocks) / statistics.fmean(blocks),
        tail=float(np.quantile(passes_s, 0.9)) / median - 1,
        outliers=sum(abs(one - median) > far for one in passes_s) / len(passes_s),
        trend=_trend(blocks),
    )


def replicates(variation: float, difference: float) -> int:
    """Runs of each of two settings that tell a difference of their times in four cases of five.

    The size of two samples for a two-sided test at the 5 % level with a power of 80 %, ``2 (z_0.975 + z_0.8)^2
    variation^2 / difference^2`` (any text on sample sizes, such as van Belle, Statistical Rules of Thumb, 2008, ch. 2),
    divided by the efficiency of the rank test that asr-sweep compares runs with, 3/pi, and two more for its
    discreteness; and never fewer than that test needs.

    Args:
        variation: Standard deviation of a setting's runs over their mean.
        difference: What is to be told, as a share of the mean.
    """
    normal = 2 * ((_Z_LEVEL + _Z_POWER) * variation / difference) ** 2
    return max(FEWEST_RUNS, math.ceil(normal / _RANK_EFFICIENCY) + _DISCRETE)


def _trend(blocks: Sequence[float]) -> float | None:
    from scipy.stats import kendalltau  # here, since it takes half a second to import

    third = len(blocks) // 3
    change = statistics.median(blocks[-third:]) / statistics.median(blocks[:third]) - 1
    # Mann (1945): the rank correlation of a series with time.
    return change if abs(change) > validity.DRIFT and kendalltau(range(len(blocks)), blocks).pvalue < 0.05 else None


def _cpu_s() -> dict[tuple[int, float], tuple[str, float]]:
    """Names and CPU seconds so far of every other process that can be seen, by its id and start, since ids return."""
    used = {}
    for process in psutil.process_iter(["pid", "name", "cpu_times", "create_time"]):
        times = process.info["cpu_times"]
        if times is not None and process.pid != os.getpid():
            known = process.pid, process.info["create_time"]
            used[known] = str(process.info["name"]), times.user + times.system
    return used


def _busiest(
    before: dict[tuple[int, float], tuple[str, float]], after: dict[tuple[int, float], tuple[str, float]], wall_s: float
) -> tuple[Busy, ...]:
    shares = [
        Busy(name[:_LONGEST_NAME], known[0], (used_s - before.get(known, ("", 0.0))[1]) / wall_s)
        for known, (name, used_s) in after.items()
    ]
    return tuple(sorted((one for one in shares if one.share > _BUSY), key=lambda one: -one.share))
