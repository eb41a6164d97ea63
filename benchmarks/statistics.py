"""Whether intervals and tests hold what they promise, and how fast they are: ``python -m benchmarks.statistics``.

Errors are drawn for words that are grouped in utterances, and these in clusters (speakers): each cluster has a rate of
its own, each utterance one around that, and every setting makes some of its errors with the others and some alone.

* How often the 95 % interval of a WER holds the true one, by clusters, their sizes and the WER.
* How often any of 24 equal settings is called different from the best, and how often one that is 30 % worse is.
* How often two equal settings are called different: by units, and by matched pairs of utterances.
* Seconds for 200 settings, 10,000 utterances and 10,000 resamples.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.score.interval import difference, measured
from bench.score.segments import matched_pairs
from bench.score.tied import LEVEL, exchange_p_value, tied_with_best

Generator = np.random.Generator
Counts = NDArray[np.int64]

# Median words of a cluster, and the deviation of the logarithm of its words: none, as usual, and extreme.
_WORDS = 120
_SIZES = {"equal": 0.0, "unequal": 0.5, "very unequal": 0.9}

# Correlation of the errors of words in one utterance, and in one cluster: see bench.score.precision.
_WITHIN_UTTERANCE = 0.1
_WITHIN_CLUSTER = 0.04


def sizes(clusters: int, spread: float, chance: Generator) -> list[Counts]:
    """Draw the words of each utterance, a list for each cluster."""
    totals = np.maximum(8, chance.lognormal(np.log(_WORDS), spread, clusters)).astype(int)
    return [np.diff([*range(0, total, 12), total]) for total in totals.tolist()]


def rates(words: list[Counts], wer: float, chance: Generator) -> NDArray[np.float64]:
    """Draw the rate of each utterance, shape ``(utterances,)``, of the mean ``wer``."""
    spread = 1 / _WITHIN_CLUSTER - 1
    within = (1 - _WITHIN_CLUSTER) / (_WITHIN_UTTERANCE - _WITHIN_CLUSTER) - 1
    means = np.repeat(chance.beta(wer * spread, (1 - wer) * spread, len(words)), [len(one) for one in words])
    means = np.clip(means, 1e-6, 1 - 1e-6)
    return chance.beta(means * within, (1 - means) * within)


def settings_errors(
    flat: Counts, rate: NDArray[np.float64], factors: NDArray[np.float64], chance: Generator
) -> NDArray[np.float64]:
    """Draw the errors of settings in utterances, half of them in common, shape ``(settings, utterances)``."""
    common = chance.binomial(flat, rate / 2)
    own = np.clip(rate * (factors[:, np.newaxis] - 0.5), 0, 1)
    return (common + chance.binomial(flat, own)).astype(np.float64)


def covered(clusters: int, spread: float, wer: float, simulations: int, seed: int) -> float:
    """Share of simulations whose interval holds the true WER; those without an interval are left out."""
    chance = np.random.default_rng(seed)
    held = []
    for _ in range(simulations):
        words = sizes(clusters, spread, chance)
        flat = np.concatenate(words)
        numbers = np.repeat(np.arange(clusters), [len(one) for one in words])
        errors = chance.binomial(flat, rates(words, wer, chance)).astype(np.float64)
        if (found := measured(errors, flat.astype(np.float64), numbers)) is not None:
            low, high = found.ends
            held.append(low <= wer <= high)
    return float(np.mean(held))


def families(
    clusters: int, factors: NDArray[np.float64], wer: float, simulations: int, seed: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the errors of several settings by cluster, and the words of each cluster."""
    chance = np.random.default_rng(seed)
    for _ in range(simulations):
        words = sizes(clusters, _SIZES["unequal"], chance)
        flat = np.concatenate(words)
        errors = settings_errors(flat, rates(words, wer, chance), factors, chance)
        starts = np.cumsum([0, *(len(one) for one in words[:-1])])
        yield np.add.reduceat(errors, starts, axis=1), np.add.reduceat(flat, starts).astype(np.float64)


def any_called_different(
    clusters: int, settings: int, wer: float, simulations: int, seed: int, resamples: int
) -> float:
    """Share of simulations in which any of several equal settings is called different from the best."""
    found = families(clusters, np.ones(settings), wer, simulations, seed)
    return float(np.mean([not tied_with_best(errors, resamples=resamples).tied.all() for errors, _ in found]))


def worse_called_different(
    clusters: int, settings: int, wer: float, simulations: int, seed: int, resamples: int
) -> tuple[float, float]:
    """Shares of simulations in which a setting 30 % worse is called different, and in which any other one is."""
    factors = np.ones(settings)
    factors[-1] = 1.3
    judged = [
        tied_with_best(errors, resamples=resamples).tied
        for errors, _ in families(clusters, factors, wer, simulations, seed)
    ]
    return float(np.mean([not one[-1] for one in judged])), float(np.mean([not one[:-1].all() for one in judged]))


def pairs_called_different(clusters: int, wer: float, simulations: int, seed: int) -> tuple[float, float, float]:
    """Shares of simulations in which two equal settings differ: by exchanges, by the interval, by matched pairs."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(simulations):
        words = sizes(clusters, _SIZES["unequal"], chance)
        flat = np.concatenate(words)
        ours, theirs = settings_errors(flat, rates(words, wer, chance), np.ones(2), chance)
        starts = np.cumsum([0, *(len(one) for one in words[:-1])])
        one, other, total = (np.add.reduceat(each, starts) for each in (ours, theirs, flat))
        segments = matched_pairs(ours, theirs).p_value
        found.append(
            (
                exchange_p_value(one - other, resamples=2000) <= LEVEL,
                difference(one, other, total).excludes_zero,
                segments is not None and segments <= LEVEL,
            )
        )
    exchanged, outside, matched = np.mean(found, axis=0).tolist()
    return exchanged, outside, matched


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    count = parser.parse_args().simulations
    print(f"{count} simulations of each case; one share of 5 % is known to ±{196 * (0.05 * 0.95 / count) ** 0.5:.1f}\n")
    _print_coverage(count)
    _print_families(count)
    _print_pairs(count)
    _print_speed()


def _print_coverage(count: int) -> None:
    rows = [
        [clusters, name, *(f"{100 * covered(clusters, spread, wer, count, seed=1):.1f}" for wer in (0.03, 0.1, 0.3))]
        for clusters in (5, 10, 30, 60)
        for name, spread in _SIZES.items()
    ]
    print("95 % interval of the WER: true WERs held [%]; the report warns below 10 clusters")
    _print_table(["clusters", "sizes", "WER 3 %", "WER 10 %", "WER 30 %"], rows)


def _print_families(count: int) -> None:
    rows = []
    for clusters in (30, 60, 120):
        equal = any_called_different(clusters, 24, 0.1, count, seed=2, resamples=2000)
        worse, others = worse_called_different(clusters, 24, 0.1, count, seed=3, resamples=2000)
        rows.append([clusters, clusters * _WORDS, *(f"{100 * share:.1f}" for share in (equal, worse, others))])
    print("24 settings with a WER of 10 %, all together at the 5 % level: called different [%]")
    heads = ["clusters", "words, about", "any of 24 equal", "the one 30 % worse", "any of the 23 equal beside it"]
    _print_table(heads, rows)


def _print_pairs(count: int) -> None:
    rows = [
        [clusters, *(f"{100 * share:.1f}" for share in pairs_called_different(clusters, 0.1, count, seed=4))]
        for clusters in (10, 30, 60)
    ]
    print("Two equal settings with a WER of 10 %, at the 5 % level: called different [%]")
    _print_table(["clusters", "exchanges", "interval", "matched pairs of utterances"], rows)


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print(pd.DataFrame(rows, columns=list(heads)).to_string(index=False), "\n", flush=True)


def _print_speed() -> None:
    chance = np.random.default_rng(5)
    errors = chance.poisson(1.2, (200, 10_000)).astype(np.float64)
    words = np.full(10_000, 12.0)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for row in errors:
        measured(row, words, np.arange(10_000))
    tied = tied_with_best(errors).tied.sum()
    took_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    print(
        f"200 settings, 10,000 utterances, 10,000 resamples: intervals of all and the tied set ({tied} of 200) in"
        f" {took_s:.1f} s ({cpu_s:.1f} s of processors)"
    )


if __name__ == "__main__":
    main()
