"""Which points to try, and what follows from them for the others.

Points that run the same model on the same device form a *stratum*, which is tried by itself: two points that share the
settings most common in it, one with its shortest windows and one with its longest, give the speed of windows, the time
that does not grow with the data, and memory. Every further value of another setting (batch size, dtype, beams, threads,
...) is tried once; what it changes there is taken to hold wherever the value occurs, times by a factor, the rest by a
difference.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bench.config import Config, flatten
from bench.forecast.model import Line, Speed, Work, fit_line, fit_speed
from bench.forecast.probes import Point, Probe, Wanted
from bench.forecast.windows import window_lengths_s, work_of
from bench.records import Status

Level: TypeAlias = tuple[str, object]
"""A setting and one of its values."""

_LOADED = ("device", "engine", "model.name", "model.weights", "model.compile")
# What tells on a run through its windows alone, or not at all.
_NO_LEVELS = {"decode.chunk_length_s", "decode.stride_length_s", "model.max_window_s", "model.hop_length", *_LOADED}
_ALIKE = 1.1  # windows whose lengths differ by less than this factor tell nothing of what length does

_RATE_HZ = 16_000
_SAMPLE_BYTES = 4
_MIB = 2**20


@dataclass(frozen=True)
class Foretold:
    """What a run is going to take; all null where that is unknown, and ``unknown`` says why."""

    seconds: float | None = None
    peak_rss_mib: float | None = None
    peak_gpu_mib: float | None = None
    unknown: str | None = None


@dataclass(frozen=True)
class Effect:
    """What a value of a setting changes: decoding by a factor, the rest by a difference."""

    factor: float
    fixed_s: float = 0.0
    rss_mib: float = 0.0
    gpu_mib: float = 0.0


def stratum_of(config: Config) -> tuple[object, ...]:
    """Name the stratum of a point."""
    settings = dict(flatten(config))
    return tuple(settings[name] for name in _LOADED)


def levels_of(config: Config) -> frozenset[Level]:
    """List the settings of a point whose values may change what a window takes."""
    return frozenset(
        (name, value)
        for name, value in flatten(config)
        if (name.startswith(("model.", "decode.")) or name == "threads") and name not in _NO_LEVELS
    )


def choose(points: Sequence[Point]) -> list[Wanted]:
    """Choose what to try of a stratum, the speed of windows first."""
    variants: dict[frozenset[Level], list[Point]] = {}
    for point in points:
        variants.setdefault(levels_of(point.config), []).append(point)
    base = _base(variants)
    by_length = sorted(variants[base], key=lambda point: point.work.mean_s)
    shortest, longest = by_length[0], by_length[-1]
    # Without a warm-up, only a second batch can tell what is particular to the first.
    batches = 1 if shortest.config.measure.warmup else 2
    if longest.work.mean_s < _ALIKE * shortest.work.mean_s:
        wanted = [Wanted(longest, batches, "speed")]
    else:
        wanted = [Wanted(shortest, batches, "shortest windows"), Wanted(longest, 1, "longest windows")]
    middle_s = math.sqrt(shortest.work.mean_s * longest.work.mean_s)
    known = set(base)
    while lacking := {variant: variant - known for variant in variants if variant - known}:
        # One new value at a time where the grid has such a point, and as much like the first points as can be.
        variant = min(lacking, key=lambda one: (len(lacking[one]), len(one - base)))
        point = min(variants[variant], key=lambda one: _distance(one.work.mean_s, middle_s))
        new = frozenset(lacking[variant])
        why = ", ".join(f"{name}={value}" for name, value in sorted(new, key=str))
        wanted.append(Wanted(point, 1, why, new))
        known |= new
    return wanted


def _base(variants: dict[frozenset[Level], list[Point]]) -> frozenset[Level]:
    """Choose the settings that occur with most windows of different length, then those whose values are most common."""
    common = Counter(level for variant, points in variants.items() for level in variant for _ in points)

    def rank(variant: frozenset[Level]) -> tuple[int, int]:
        lengths = {round(point.work.mean_s, 3) for point in variants[variant]}
        return len(lengths), sum(common[level] for level in variant)

    return max(variants, key=rank)


def _distance(one_s: float, other_s: float) -> float:
    return abs(math.log(one_s / other_s)) if one_s > 0 and other_s > 0 else 0.0


class Stratum:
    """What probes tell of the points of a stratum.

    Args:
        probes: All of the stratum's, in the order of :func:`choose`.
    """

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._failed = [probe for probe in probes if not probe.ended_well]
        basic = [probe for probe in probes if probe.ended_well and not probe.wanted.levels]
        self._tells = bool(basic)
        self._effects: dict[Level, Effect] = {}
        if not basic:
            return
        self._speed: Speed = fit_speed([batch for probe in basic for batch in probe.batches])
        self._rest = _ratio(sum(probe.rest_s for probe in basic), sum(probe.audio_s for probe in basic))
        self._fixed_s = sum(probe.fixed_s for probe in basic) / len(basic)
        self._rss = _peaks((probe.batch_windowed_s, _without_audio(probe)) for probe in basic)
        self._gpu = _peaks((probe.batch_windowed_s, probe.peak_gpu_mib) for probe in basic)
        alone = [(probe.single, probe.single_s) for probe in basic if probe.single is not None]
        self._alone = _ratio(sum(took_s for _, took_s in alone), sum(self._speed.seconds(work) for work, _ in alone))
        for probe in probes:
            if probe.ended_well and probe.wanted.levels:
                self._learn(probe)

    def foretell(self, point: Point) -> Foretold:
        """Predict what a run of a point takes."""
        if (reason := self._unknown(point)) is not None:
            return Foretold(unknown=reason)
        measure = point.config.measure
        effect = self._effect(levels_of(point.config))
        decoded_s = self._speed.seconds(point.work)
        batches_s = measure.warmup * self._speed.seconds(point.batch) + measure.repeats * decoded_s
        batches_s += self._speed.first_s if point.work.windows else 0.0
        batches_s += self._alone * self._speed.seconds(_one_at_a_time(point))
        rest_s = measure.repeats * self._rest * point.data.audio_s
        gpu_mib = None if self._gpu is None else self._gpu.at(point.batch.windowed_s) + effect.gpu_mib
        rss_mib = None
        if self._rss is not None:
            rss_mib = self._rss.at(point.batch.windowed_s) + effect.rss_mib + _audio_mib(point.data.audio_s)
        seconds = max(0.0, self._fixed_s + effect.fixed_s) + effect.factor * batches_s + rest_s
        return Foretold(seconds, rss_mib, gpu_mib)

    def _learn(self, probe: Probe) -> None:
        """Ascribe what a probe shows, beyond what is known of its other values, to the one that is new.

        Several new values that the grid only has together are one, then: the first of them stands for all.
        """
        levels = levels_of(probe.wanted.point.config)
        others = self._effect(levels - probe.wanted.levels)
        first_s = 0.0 if probe.warmed_up else self._speed.first_s
        expected_s = others.factor * (self._speed.seconds(probe.decoded) + first_s)
        rss, gpu = _without_audio(probe), probe.peak_gpu_mib
        new, *rest = sorted(probe.wanted.levels, key=str)
        self._effects.update((level, Effect(1.0)) for level in rest)
        self._effects[new] = Effect(
            factor=probe.decoded_s / expected_s if expected_s > 0 else 1.0,
            fixed_s=probe.fixed_s - self._fixed_s - others.fixed_s,
            rss_mib=_beyond(rss, self._rss, probe) - others.rss_mib,
            gpu_mib=_beyond(gpu, self._gpu, probe) - others.gpu_mib,
        )

    def _effect(self, levels: Iterable[Level]) -> Effect:
        """Sum up the effects of some values; one that the first points have is without any."""
        known = [self._effects[level] for level in levels if level in self._effects]
        return Effect(
            math.prod(one.factor for one in known),
            sum(one.fixed_s for one in known),
            sum(one.rss_mib for one in known),
            sum(one.gpu_mib for one in known),
        )

    def _unknown(self, point: Point) -> str | None:
        """Say why nothing is known of a point; null where something is."""
        levels = levels_of(point.config)
        for probe in self._failed:
            tried = probe.wanted.point
            too_large = probe.status is Status.oom and point.batch.windowed_s >= tried.batch.windowed_s
            same = point.job.trial_id == tried.job.trial_id
            if not self._tells or same or probe.wanted.levels & levels or (too_large and not probe.wanted.levels):
                return f"a probe ended in {probe.status}: {probe.reason}"
        return None


def _one_at_a_time(point: Point) -> Work:
    """Sum up the windows of what is transcribed one at a time; the first of it is, twice."""
    chosen = point.data.lengths_s[: point.config.measure.single_stream]
    return work_of(window_lengths_s([*chosen[:1], *chosen], point.config.decode))


def _audio_mib(audio_s: float) -> float:
    """Size of decoded audio, which runs map into their memory."""
    return audio_s * _RATE_HZ * _SAMPLE_BYTES / _MIB


def _without_audio(probe: Probe) -> float | None:
    return None if probe.peak_rss_mib is None else probe.peak_rss_mib - _audio_mib(probe.audio_s)


def _peaks(points: Iterable[tuple[float, float | None]]) -> Line | None:
    known = [(windowed_s, mib) for windowed_s, mib in points if mib is not None]
    return fit_line(known) if known else None


def _beyond(mib: float | None, line: Line | None, probe: Probe) -> float:
    return 0.0 if mib is None or line is None else mib - line.at(probe.batch_windowed_s)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
