import math
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

from bench.doctor import steadiness
from bench.measure.comparison import compare


def test_passes_all_alike_do_not_vary() -> None:
    found = steadiness.judge([0.03] * 100)
    assert found.pass_s == 0.03
    assert found.block_s == pytest.approx(5 * 0.03)
    assert (found.variation, found.block_variation, found.tail, found.outliers) == pytest.approx(
        (0, 0, 0, 0), abs=1e-12
    )
    assert found.trend is None


def test_shares_by_hand() -> None:
    # Blocks of two passes, 1 s and 1.2 s each: they alternate within blocks, so that blocks are alike.
    found = steadiness.judge([1.0, 1.2] * 20)
    assert found.variation == pytest.approx(statistics.stdev([1.0, 1.2] * 20) / 1.1)
    assert found.block_variation == pytest.approx(0, abs=1e-12)
    assert found.tail == pytest.approx(1.2 / 1.1 - 1)


def test_disturbances_that_last_are_not_averaged_away() -> None:
    found = steadiness.judge([1.0] * 50 + [1.2] * 50)
    assert found.block_variation == pytest.approx(found.variation, rel=0.05)
    assert found.trend == pytest.approx(0.2)


def test_far_passes_are_counted() -> None:
    passes = [1.0, 1.01, 0.99, 1.0, 1.02] * 20
    passes[7] = passes[70] = 3.0
    assert steadiness.judge(passes).outliers == pytest.approx(0.02)


def test_getting_faster_is_a_trend_and_noise_is_none() -> None:
    falling = [1.3 - 0.003 * number for number in range(100)]
    assert steadiness.judge(falling).trend == pytest.approx(1.051 / 1.249 - 1, abs=0.01)
    noise = np.random.default_rng(1).normal(1.0, 0.02, 400)
    assert steadiness.judge(noise.tolist()).trend is None


def test_too_few_passes_are_refused() -> None:
    with pytest.raises(ValueError, match="19 passes do not fill 20 blocks"):
        steadiness.judge([1.0] * 19)


def test_replicates_by_hand() -> None:
    # 2 (1.960 + 0.8416)^2 = 15.70; over 3/pi 16.44; and two more.
    assert steadiness.replicates(0.02, 0.02) == math.ceil(16.44) + 2
    assert steadiness.replicates(0.0, 0.05) == 4
    assert steadiness.replicates(0.04, 0.02) == math.ceil(4 * 16.44) + 2


def test_four_runs_are_the_fewest_the_test_can_tell_apart() -> None:
    few, most = range(1, steadiness.FEWEST_RUNS), steadiness.FEWEST_RUNS
    assert compare(few, range(11, 11 + most - 1)).different is False
    assert compare(range(1, most + 1), range(11, 11 + most)).different


@pytest.mark.parametrize("ratio", [0.34, 0.4, 0.6, 1.0])
def test_so_many_replicates_tell_the_difference_four_times_in_five(ratio: float) -> None:
    variation, difference = 0.02, 0.02 / ratio
    runs = steadiness.replicates(variation, difference)
    rng = np.random.default_rng(5)
    told = sum(
        compare(rng.normal(1, variation, runs).tolist(), rng.normal(1 + difference, variation, runs).tolist()).different
        for _ in range(400)
    )
    # Three standard errors of a share of 0.8 in 400 are 0.06; far more runs than needed would tell nearly always.
    assert 0.74 < told / 400 < 0.95


def test_the_busy_process_is_named_with_its_share_since_the_probe_began() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            time.sleep(1.0)  # what it used before the probe does not count
            probe = steadiness.probe(1.0)
        finally:
            busy.kill()
    (found,) = (one for one in probe.busiest if one.pid == busy.pid)
    assert found.name.startswith("python")
    assert found.share < 1.1
    assert os.getpid() not in {one.pid for one in probe.busiest}


def test_the_probe_works_on_one_thread_for_as_long_as_asked() -> None:
    probe = steadiness.probe(1.0)
    assert len(probe.passes_s) >= steadiness.BLOCKS
    assert probe.counters.wall_s >= 1.0
    assert sum(probe.passes_s) == pytest.approx(probe.counters.wall_s, rel=0.1)
    assert probe.counters.process_cpu_s <= 1.1 * probe.counters.wall_s
