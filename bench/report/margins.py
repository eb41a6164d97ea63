"""Whether a second setting is at most so much worse than a first: shown, refuted, or not shown.

A margin is kept only where the upper end of a one-sided interval of 95 % lies below it. A difference that is merely not
significant keeps none. Of several pairs of settings all have to keep it, which takes no correction for their number: a
wrong pass needs the one that does not keep it to pass (the intersection-union test: Berger, Technometrics 24, 1982).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from bench.errors import ConfigError
from bench.metrics import RTFX
from bench.report.paired import Paired
from bench.report.versus import Ratio, SettingPair, Versus
from bench.score.precision import FEWEST_UNITS, rounded_up
from bench.score.testset import counted

FEWEST_RUNS = 3
"""Runs of each setting from which on ranks bound a ratio on one side at 95 %: 1 in 20 orders is the most extreme."""

_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")


class Outcome(IntEnum):
    """What became of a margin; the larger, the worse."""

    passed = 0
    not_shown = 1
    failed = 2


@dataclass(frozen=True)
class Margin:
    """How much worse is allowed.

    Attributes:
        value: A fraction: 0.005 is half a point of WER, or half a percent.
        relative: Whether it is a share of the first setting's value.
    """

    value: float
    relative: bool

    def __str__(self) -> str:
        return f"{100 * self.value:g} %" if self.relative else f"{100 * self.value:g} points"


@dataclass(frozen=True)
class Margins:
    """What is allowed; null is not asked about."""

    wer: Margin | None = None
    time: Margin | None = None
    memory: Margin | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of one margin.

    Attributes:
        outcome: The worst of all pairs.
        sentence: It, and why, for people.
        beyond: By how much the upper end lies beyond the margin; below 0 where it does not.
    """

    outcome: Outcome
    sentence: str
    beyond: float = 0.0


def read_margin(option: str, text: str | None, points: bool = False) -> Margin | None:
    """Read a margin as written on the command line: ``5%`` is a share, ``0.5`` points of WER.

    Args:
        option: The option's name, for the message.
        text: What was written; null where nothing was.
        points: Whether points are allowed.

    Raises:
        ConfigError: It is no such thing.
    """
    if text is None:
        return None
    number = text.strip().removesuffix("%").strip()
    relative = text.strip().endswith("%")
    if not _NUMBER.fullmatch(number) or not (relative or points):
        forms = "points of WER (0.5) or a share (5%)" if points else "a share (5%)"
        raise ConfigError(f"{option}={text} is no margin; give {forms}, 0 or more")
    return Margin(float(number) / 100, relative)


def judge(found: Versus, margins: Margins) -> list[Verdict]:
    """Judge every margin that was asked about."""
    verdicts = []
    if margins.wer is not None:
        verdicts.append(_overall("WER", found, [_wer(pair, margins.wer) for pair in found.pairs]))
    if margins.time is not None:
        verdicts.append(_overall("Time", found, [_ratio(pair.time, margins.time) for pair in found.pairs]))
    if margins.memory is not None:
        peaks = [[_ratio(ratio, margins.memory) for ratio in pair.memory] for pair in found.pairs]
        verdicts.append(_overall("Memory", found, [_worst(each) for each in peaks]))
    return verdicts


def _overall(what: str, found: Versus, verdicts: Sequence[Verdict]) -> Verdict:
    """Take the worst pair's verdict for the whole."""
    worst = _worst(verdicts)
    if worst.outcome is Outcome.passed and found.lost:
        lost = "; ".join(found.lost[:3]) + (f" and {len(found.lost) - 3} more" if len(found.lost) > 3 else "")
        worst = Verdict(Outcome.not_shown, f"the second has no run that ended well of {lost}")
    told = {Outcome.passed: "passed", Outcome.not_shown: "not shown", Outcome.failed: "failed"}[worst.outcome]
    pair = found.pairs[verdicts.index(worst)] if worst in verdicts else None
    alike = sum(verdict.outcome is worst.outcome for verdict in verdicts)
    which = ""
    if len(verdicts) > 1 and pair is not None:
        every = "all" if alike == len(verdicts) else f"{alike} of"
        which = f" in {every} {len(verdicts)} settings; of {pair.label}, the worst of them"
    return Verdict(worst.outcome, f"{what}: {told}{which}: {worst.sentence}.")


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return max(verdicts, key=lambda verdict: (verdict.outcome, verdict.beyond))


def _wer(pair: SettingPair, margin: Margin) -> Verdict:
    paired = pair.paired
    if failed := paired.unpaired.second_failed:
        return Verdict(
            Outcome.not_shown,
            f"the second could not transcribe {counted(len(failed), 'utterance')} that the first did"
            f" ({failed[0]}{', ...' if len(failed) > 1 else ''})",
        )
    rates = paired.rates
    if rates is None:
        return Verdict(Outcome.not_shown, "there is no WER over utterances that both transcribed")
    bound = paired.excess(1 + margin.value if margin.relative else 1.0)
    if bound is None:
        return Verdict(
            Outcome.not_shown,
            f"too little data: an interval takes {FEWEST_UNITS} independent parts, and there are"
            f" {counted(len(paired.words), 'part')} ({counted(len(paired.changes), 'utterance')} {paired.origin})",
        )
    # A share of the first setting's WER is subtracted where it is random, and told as what it comes to.
    allowed = margin.value * (rates.before.value if margin.relative else 1.0)
    shift, limit = (allowed, 0.0) if margin.relative else (0.0, allowed)
    comes_to = f", which is {100 * allowed:.2f} points" if margin.relative else ""
    asked = f"the margin of {margin}{comes_to}"
    seen = f"(one-sided, 95 %; observed: {100 * rates.difference.value:+.2f})"
    beyond = bound.high - limit
    if beyond < 0:
        told = f"its WER is {_higher('at most', bound.high + shift)} {seen}, below {asked}"
        return Verdict(Outcome.passed, told, beyond)
    if bound.low > limit:
        told = f"its WER is {_higher('at least', bound.low + shift)} {seen}, beyond {asked}"
        return Verdict(Outcome.failed, told, beyond)
    told = f"its WER may be {_higher('up to', bound.high + shift)} {seen}, which is not below {asked}"
    return Verdict(Outcome.not_shown, f"{told}; {_more_data(paired, bound.needed(limit))}", beyond)


def _more_data(paired: Paired, times: float | None) -> str:
    if times is None:
        return "the difference observed is not below it either, so that more data may well refute it"
    count = len(paired.changes)
    needed = rounded_up(count * max(1.0, times))
    return (
        f"too little data: if the difference stays what it is, about {needed:,} such utterances (now {count:,},"
        f" {paired.origin}) would show it in 4 of 5 cases"
    )


def _ratio(ratio: Ratio, margin: Margin) -> Verdict:
    what = (
        "its time for a second of audio"
        if ratio.metric == RTFX
        else f"its {ratio.metric.label[:1].lower()}{ratio.metric.label[1:]}"
    )
    if ratio.apart is not None:
        return Verdict(Outcome.not_shown, f"{what} is not compared: {ratio.apart}")
    if ratio.seen is None or ratio.one_sided is None:
        return Verdict(Outcome.not_shown, f"{what} was not measured in both")
    low, high = ratio.one_sided.low, ratio.one_sided.high
    observed = f"observed: {100 * (ratio.seen.ratio - 1):+.1f} %"
    if low is None or high is None:
        counts = " and ".join(map(str, ratio.seen.counts))
        return Verdict(
            Outcome.not_shown,
            f"too few runs for an interval ({counts}; {observed}); it takes {FEWEST_RUNS} of each"
            f" (measure.replicates={FEWEST_RUNS})",
        )
    limit, asked, seen = 1 + margin.value, f"the margin of {margin}", f"(one-sided, 95 %; {observed})"
    if high < limit:
        return Verdict(Outcome.passed, f"{what} is {_percent(high, 'at most')} {seen}, below {asked}", high - limit)
    if low > limit:
        return Verdict(Outcome.failed, f"{what} is {_percent(low, 'at least')} {seen}, beyond {asked}", high - limit)
    advice = (
        "more runs of each (measure.replicates) would narrow that"
        if ratio.seen.ratio < limit
        else "what was observed is not below it either"
    )
    told = f"{what} may be {_percent(high, 'up to')} {seen}, which is not below {asked}; {advice}"
    return Verdict(Outcome.not_shown, told, high - limit)


def _higher(bound: str, rate: float) -> str:
    """Write how many points higher a WER is at a bound; below 0 it is lower by no less than that."""
    return (
        f"{bound} {100 * rate:.2f} points higher" if rate >= 0 else f"lower by {_less(bound)} {-100 * rate:.2f} points"
    )


def _percent(ratio: float, bound: str) -> str:
    more = 100 * (ratio - 1)
    return f"{bound} {more:.1f} % more" if more >= 0 else f"less by {_less(bound)} {-more:.1f} %"


def _less(bound: str) -> str:
    return "at most" if bound == "at least" else "at least"
