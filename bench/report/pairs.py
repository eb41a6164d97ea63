"""Settings that differ in what is compared and in nothing else that the study varies, paired and judged.

Blocks are never compared, with one exception, and it is here: over the same data, measured in the same way. Where the
checked environment differs too, the pair is judged all the same, and carries a warning with both values.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.measure.comparison import CONFIDENCE, Comparison, compare
from bench.metrics import RTFX
from bench.records import Status
from bench.report.labels import name_of, plain, value_of
from bench.report.tables import BLOCK_FACTORS, THREADS, WARMUP, Block
from bench.score.holm import holm

DEVICE = "device"
FINGERPRINT = "model.fingerprint"

# What must be equal; a study holds to one protocol, so that these differ between data sets alone.
_TASK = ("data.fingerprint", "score.normalizer", WARMUP, "measure.repeats")

# What a setting brings with it, which is no difference of its own.
_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    DEVICE: ("env.gpu", "env.gpu_driver"),
    "threads": (THREADS,),
    "model.name": (FINGERPRINT,),
    "model.weights": (FINGERPRINT,),
}

_LEVEL = 1 - CONFIDENCE
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Side:
    """The runs of one setting in one block.

    Attributes:
        block: Number of the block, from 1.
        trial_id: Its trial.
        settings: Every setting that varies within the study, the device too where it does.
        task: What must be the same on both sides.
        conditions: What should be the same, and is told where it is not.
        seconds: Inference of each run that has a timing, the median of its passes.
    """

    block: int
    trial_id: str
    settings: dict[str, object]
    task: tuple[object, ...]
    conditions: dict[str, object]
    seconds: tuple[float, ...]

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio for each second of the median run; null without a timing."""
        audio_s = self.conditions["audio_s"]
        if not self.seconds or not isinstance(audio_s, int | float):
            return None
        return audio_s / float(pd.Series(self.seconds).median())


@dataclass(frozen=True, eq=False)
class Pair:
    """A setting, and the one it is compared with.

    Attributes:
        side: The setting.
        base: The same with the baseline's values; null where there is none.
        shared: The varied settings that both have in common.
        changed: The values of the compared settings.
        comparison: How many times as fast as the baseline; null where either has no timing.
        p_adjusted: Holm's p-value over all pairs judged with it; null where there are too few runs to judge.
        judged: How many pairs were judged together.
        compared: How many pairs there are to judge, once they have runs enough.
        warnings: What else differs, with both values.
    """

    side: Side
    base: Side | None
    shared: dict[str, object]
    changed: dict[str, object]
    comparison: Comparison | None = None
    p_adjusted: float | None = None
    judged: int = 0
    compared: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def different(self) -> bool:
        """Whether the two are called different, at the 5 % level over all pairs together."""
        return self.p_adjusted is not None and self.p_adjusted <= _LEVEL + _ROUNDING

    @property
    def decidable(self) -> bool:
        """Whether so few runs could be called different at all, were this pair the clearest of all."""
        if self.comparison is None or self.p_adjusted is None:
            return False
        least = 2 / math.comb(sum(self.comparison.counts), self.comparison.counts[0])
        return self.different or least <= _LEVEL / self.judged + _ROUNDING

    @property
    def interval(self) -> str:
        """The 95 % interval as "1.41 to 1.55"; empty where so few runs cannot bound it."""
        found = self.comparison
        return "" if found is None or found.low is None else f"{found.low:.2f} to {found.high:.2f}"

    @property
    def verdict(self) -> str:
        """What can be said, as a phrase."""
        if self.base is None:
            return "nothing to compare it with: the baseline was not run with the same other settings"
        if self.comparison is None:
            return "no timing on one side: its runs failed or were ended early, or their timings are left out"
        if not self.decidable:
            among = f" {self.compared} pairs apart" if self.compared > 1 else ""
            seen = f"{self.comparison.ratio:.2f} times as fast in the runs there are"
            return f"{seen}, but too few to tell{among}: give measure.replicates={self.replicates}"
        if not self.different:
            # The interval is of this pair alone; among many, one such pair is to be expected by chance.
            apart = self.comparison.different
            return f"cannot be told apart{f' among {self.judged} pairs' if apart else ''} ({self.interval})"
        return f"{self.comparison.ratio:.2f} times as fast ({self.interval})"

    @property
    def cell(self) -> str:
        """The verdict in short, for a table."""
        if self.base is None or self.comparison is None:
            return "\N{EN DASH}"
        if not self.decidable:
            return f"{self.comparison.ratio:.2f}, too few runs"
        return f"{self.comparison.ratio:.2f} ({self.interval})" + ("" if self.different else ", not told apart")

    @property
    def replicates(self) -> int:
        """Runs of each setting from which on the clearest pair could be told apart."""
        count = 1
        while 2 / math.comb(2 * count, count) > _LEVEL / max(1, self.compared) + _ROUNDING:
            count += 1
        return count


def sides(found: Sequence[Block]) -> list[Side]:
    """List every setting of every block with its timings."""
    devices = {plain(block.factors[DEVICE]) for block in found}
    listed = []
    for number, block in enumerate(found, 1):
        device = {DEVICE: plain(block.factors[DEVICE])} if len(devices) > 1 else {}
        task = tuple(block.factors[name] for name in _TASK)
        for trial, runs in block.runs.groupby("trial_id", sort=True):
            timed = runs[(runs["status"] == Status.ok.value) & runs[RTFX.column].notna()]
            settings = device | {name: plain(runs[name].iloc[0]) for name in block.varied}
            conditions = {name: block.factors[name] for name in BLOCK_FACTORS if name in block.factors}
            conditions = {name: value for name, value in conditions.items() if name not in (*_TASK, DEVICE)}
            conditions[FINGERPRINT] = plain(runs[FINGERPRINT].iloc[0])
            conditions["audio_s"] = plain(timed["audio_s"].median())
            seconds = tuple(float(pd.Series(times).median()) for times in timed["inference_s"])
            listed.append(Side(number, str(trial), settings, task, conditions, seconds))
    return listed


def pairs(found: Sequence[Block], baseline: Mapping[str, object]) -> list[Pair]:
    """Pair every setting with the one that has the baseline's values and is equal in all else that varies.

    Where the baseline was run in several environments, the one that differs least is chosen. All pairs are judged
    together: p-values are Holm's (1979), so that one of many does not seem different by chance.

    Args:
        found: The blocks of a study.
        baseline: Values of one setting, or of several.
    """
    every = sides(found)
    bases = [side for side in every if all(side.settings.get(name) == value for name, value in baseline.items())]
    paired = [_pair(side, bases, baseline) for side in every if side not in bases]
    return _judged(sorted(paired, key=_place))


def _pair(side: Side, bases: Sequence[Side], baseline: Mapping[str, object]) -> Pair:
    shared = {name: value for name, value in side.settings.items() if name not in baseline}
    changed = {name: value for name, value in side.settings.items() if name in baseline}
    fit = [
        base
        for base in bases
        if base.task == side.task and all(base.settings[name] == value for name, value in shared.items())
    ]
    if not fit:
        return Pair(side, None, shared, changed)
    follows = {name for setting in baseline for name in _FOLLOWS.get(setting, ())}
    # One with a timing before one without; of equals the block that ran last.
    base = min(fit, key=lambda one: (not one.seconds, len(list(_differences(side, one, follows))), one.block))
    seen = compare(side.seconds, base.seconds) if side.seconds and base.seconds else None
    warnings = tuple(_differences(side, base, follows)) if seen else ()
    return Pair(side, base, shared, changed, seen, warnings=warnings)


def _differences(side: Side, base: Side, follows: set[str]) -> Iterator[str]:
    """Say what else differs between the two sides of a comparison, with both values."""
    for name, value in side.conditions.items():
        other = base.conditions[name]
        if name not in follows and value != other and not _nearly(value, other):
            yield f"{name_of(name)} differs: {value_of(value, name)} against {value_of(other, name)}"


def _nearly(one: object, other: object) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return numbers and math.isclose(float(str(one)), float(str(other)), rel_tol=1e-6)


def _judged(paired: Sequence[Pair]) -> list[Pair]:
    """Correct the p-values of all pairs that have runs enough for one, after Holm (1979)."""
    compared = sum(pair.comparison is not None for pair in paired)
    decidable = [
        (number, pair.comparison.p_value)
        for number, pair in enumerate(paired)
        if pair.comparison is not None and pair.comparison.decidable
    ]
    corrected = holm([p_value for _, p_value in decidable])
    adjusted = {number: value for (number, _), value in zip(decidable, corrected, strict=True)}
    return [
        replace(pair, p_adjusted=adjusted.get(number), judged=len(decidable), compared=compared)
        for number, pair in enumerate(paired)
    ]


def _place(pair: Pair) -> tuple[Any, ...]:
    """Order pairs by their other settings, then by the compared one, numbers as numbers."""
    values = [*pair.shared.values(), *pair.changed.values()]
    return (*((one is None, isinstance(one, str), 0 if one is None else one) for one in values), pair.side.block)
