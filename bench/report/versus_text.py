"""A comparison of two settings or studies in words and tables, for a terminal or a pull request."""

from collections.abc import Iterator, Sequence

from bench.measure.comparison import Comparison
from bench.metrics import RTFX, WER
from bench.report.labels import name_of
from bench.report.margins import Verdict
from bench.report.paired import Change, Rates
from bench.report.passage import Passage
from bench.report.standing import p_of
from bench.report.versus import Ratio, SettingPair, Versus
from bench.score.interval import Interval
from bench.score.precision import FEWEST_UNITS
from bench.score.testset import counted

_MOST_CHANGED = 5
_MOST_NAMED = 5
_DASH = "\N{EN DASH}"


def passages(found: Versus, verdicts: Sequence[Verdict]) -> list[Passage]:
    """Write a comparison down, its verdict first."""
    first, second = found.names
    told = [Passage(f"{second} against {first}", lines=tuple(verdict.sentence for verdict in verdicts))]
    told.append(_one(found, found.pairs[0]) if found.pairs[0].label is None else _several(found))
    told += _changed(found)
    if found.settings:
        rows = tuple((name_of(name), *values) for name, *values in found.settings)
        told.append(Passage("What differs in their settings", ("setting", first, second), rows, words=3))
    if found.environment:
        rows = tuple((name_of(name), *values) for name, *values in found.environment)
        told.append(Passage("What differs in their environment", ("", first, second), rows, words=3))
    notes = (*_unpaired(found), *found.notes)
    return [*told, Passage("To be taken with care", lines=notes)] if notes else told


def _one(found: Versus, pair: SettingPair) -> Passage:
    """Set out a single pair, a row a measure."""
    rates, rows = pair.paired.rates, []
    if rates is not None:
        rows.append((WER.label, _rate(rates.before), _rate(rates.after), _difference(rates)))
    for ratio in (pair.time, *pair.memory):
        values = (ratio.metric.show(ratio.before), ratio.metric.show(ratio.after))
        if ratio.before is not None or ratio.after is not None:
            rows.append((ratio.metric.label, *values, _times(ratio)))
    return Passage(
        heads=("", *found.names, "second against first"),
        rows=tuple(rows),
        lines=(
            f"{found.names[0]} is {pair.first.label}, {found.names[1]} is {pair.second.label}.",
            *_basis(found),
        ),
    )


def _several(found: Versus) -> Passage:
    """Set out matched settings, a row each."""
    rows = []
    for pair in found.pairs:
        rates = pair.paired.rates
        wer = (_DASH, _DASH, _DASH) if rates is None else (_value(rates.before), _value(rates.after), _points(rates))
        adjusted = _DASH if pair.p_adjusted is None else p_of(pair.p_adjusted)
        ratios = [_ratio(ratio) for ratio in (pair.time, pair.memory[0])]
        rows.append((str(pair.label), *wer, adjusted, *ratios))
    memory = found.pairs[0].memory[0].metric.label
    first, second = found.names
    heads = ("setting", f"WER {first}", f"WER {second}", "difference", "p (Holm)", "time ratio", f"{memory} ratio")
    some = [
        f"{counted(len(labels), 'setting')} only in {name}: {_few(labels)}."
        for name, labels in zip(found.names, (found.only_first, found.only_second), strict=True)
        if labels
    ]
    if found.lost:
        some.append(f"{counted(len(found.lost), 'setting')} of {first} ended badly in {second}: {_few(found.lost)}.")
    return Passage(heads=heads, rows=tuple(rows), lines=(f"{len(rows)} settings are in both.", *some, *_basis(found)))


def _basis(found: Versus) -> Iterator[str]:
    """Say what intervals rest on, or why there are none."""
    paired, time = found.pairs[0].paired, found.pairs[0].time
    if paired.rates is not None:
        words = counted(round(float(paired.words.sum())), "reference word")
        amount = f"{counted(len(paired.changes), 'utterance')} {paired.origin}, {words}"
        if not paired.has_units:
            few = f"an interval takes {FEWEST_UNITS} independent parts of them"
            yield f"WER is over what both transcribed: {amount}. There is no interval: {few}."
        else:
            yield (
                f"WER is over what both transcribed: {amount}. Intervals are of 95 % each, over"
                f" {len(paired.words):,} {paired.noun}, taken as independent; p is of a test that exchanges the two in"
                " each of them."
            )
    else:
        yield "There is no WER: no utterance was transcribed and scored under both."
    if time.apart is not None:
        more = "; --across-machines compares them all the same" if "machine" in time.apart else ""
        yield f"Times are not compared: {time.apart}{more}."
    elif time.seen is not None and time.seen.low is None:
        one, other = time.seen.counts
        yield f"The ratio of times has no interval: there are {one} and {other} runs, and it takes 4 of each."


def _changed(found: Versus) -> Iterator[Passage]:
    """List the utterances that changed most."""
    sums: dict[str, Change] = {}
    for pair in found.pairs:
        for one in pair.paired.changes:
            had = sums.get(one.utterance_id, Change(one.utterance_id, 0, 0.0, 0.0))
            sums[one.utterance_id] = Change(
                one.utterance_id, had.words + one.words, had.before + one.before, had.after + one.after
            )
    over = "" if len(found.pairs) == 1 else f" (errors over {len(found.pairs)} settings)"
    ordered = sorted(sums.values(), key=lambda one: (-one.more, one.utterance_id))
    worse = [one for one in ordered if one.more > 0]
    better = [one for one in reversed(ordered) if one.more < 0]
    for told, listed in (("worse", worse), ("better", better)):
        if listed:
            rows = tuple(
                (one.utterance_id, f"{one.words}", f"{one.before:g}", f"{one.after:g}", f"{one.more:+g}")
                for one in listed[:_MOST_CHANGED]
            )
            more = f", the {len(rows)} that did most" if len(listed) > len(rows) else ""
            title = f"{counted(len(listed), 'utterance')} of {len(sums)} got {told}{more}{over}"
            yield Passage(title, ("utterance", "words", "errors before", "after", "change"), rows)
    if sums and not worse and not better:
        yield Passage(lines=("No utterance has more or fewer errors under one than under the other.",))


def _unpaired(found: Versus) -> Iterator[str]:
    """Name the utterances that were not compared."""
    names = found.names
    seen = [pair.paired.unpaired for pair in found.pairs]
    for told, lists in (
        (f"only in {names[0]}, and not compared", [one.first_only for one in seen]),
        (f"only in {names[1]}, and not compared", [one.second_only for one in seen]),
        (f"could not be transcribed in {names[0]}, and are not compared", [one.first_failed for one in seen]),
        (f"could not be transcribed in {names[1]}, and are not compared", [one.second_failed for one in seen]),
        ("are of different length in the two, so that their audio may differ", [one.other_audio for one in seen]),
    ):
        ids = list(dict.fromkeys(name for each in lists for name in each))
        if ids:
            yield f"{counted(len(ids), 'utterance')} {told}: {_few(ids)}."


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _value(interval: Interval) -> str:
    return WER.show(interval.value)


def _rate(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return _value(interval)
    return f"{_value(interval)} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _points(rates: Rates) -> str:
    """Write the difference of two rates in points, with its interval."""
    found = rates.difference
    told = f"{100 * found.value:+.2f}"
    if found.low is None or found.high is None:
        return told
    return f"{told} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _difference(rates: Rates) -> str:
    if rates.p_value is None:
        return f"{_points(rates)} points"
    return f"{_points(rates)} points, p = {p_of(rates.p_value)}".replace("= <", "<")


def _times(ratio: Ratio) -> str:
    """Write how the second compares with the first, in the words of the measure."""
    if ratio.apart is not None:
        return f"not compared: {ratio.apart}"
    if ratio.seen is None:
        return _DASH
    if ratio.metric == RTFX:
        return f"{_spread(ratio.seen, inverse=True)} times as fast"
    return f"{_spread(ratio.seen)} times as much"


def _ratio(ratio: Ratio) -> str:
    return _DASH if ratio.seen is None else _spread(ratio.seen)


def _spread(seen: Comparison, inverse: bool = False) -> str:
    """Write a ratio with its interval, or the other way round."""
    value = 1 / seen.ratio if inverse else seen.ratio
    if seen.low is None or seen.high is None:
        return f"{value:.2f}"
    low, high = (1 / seen.high, 1 / seen.low) if inverse else (seen.low, seen.high)
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
