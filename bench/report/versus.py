"""Two studies, or two settings, against each other: utterance by utterance, and what else sets them apart."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.config import Task
from bench.errors import StoreError
from bench.measure.comparison import Comparison, compare
from bench.metrics import PEAK_GPU, PEAK_RSS, RTFX, Metric
from bench.report.labels import name_of, value_of
from bench.report.paired import Paired, paired
from bench.report.selection import Selection
from bench.report.sides import Side, Study, matched
from bench.report.validity import count_invalid
from bench.schema import SETTINGS
from bench.score.holm import holm
from bench.score.testset import counted

MACHINE = ("env.cpu_model", "env.cpu_cores", "env.cpu_usable", "env.gpu")
"""Columns that tell machines apart; the GPU's only where both sides ran on one kind of device."""

ONE_SIDED = 0.9
"""Confidence of an interval either end of which alone is missed in 5 % of cases."""

_COMPARED = tuple(name for name in SETTINGS if not name.startswith("executor."))  # which changes no result
_NORMALIZER = "score.normalizer"


@dataclass(frozen=True)
class Ratio:
    """A cost of the second setting as a multiple of the first's.

    Attributes:
        metric: What is shown of it.
        before: Median of the first setting's runs; null without any.
        after: That of the second's.
        seen: The comparison, with an interval of 95 %; null where the two are not compared.
        one_sided: The same with one of 90 %, each end of which counts alone.
        apart: Why they are not compared; null where they are, and where one was not measured.
    """

    metric: Metric
    before: float | None
    after: float | None
    seen: Comparison | None = None
    one_sided: Comparison | None = None
    apart: str | None = None


@dataclass(frozen=True, eq=False)
class SettingPair:
    """Two settings over the same utterances.

    Attributes:
        label: What both are; null where they are unlike.
        first: The first.
        second: The second.
        paired: Their utterances.
        time: Time a second of audio.
        memory: Peaks of RAM, and of GPU memory where both have one.
        p_adjusted: Holm's p-value of the difference of their WER; null where there is none.
    """

    label: str | None
    first: Side
    second: Side
    paired: Paired
    time: Ratio
    memory: tuple[Ratio, ...]
    p_adjusted: float | None = None


@dataclass(frozen=True, eq=False)
class Versus:
    """A comparison.

    Attributes:
        names: What the user named.
        pairs: The pairs of settings, at least one.
        only_first: Settings of the first study that the second has not, where settings were matched.
        only_second: The reverse.
        lost: Settings that ended well in the first study and have no such run in the second.
        settings: What differs between all pairs alike: name, first value, second value.
        environment: Likewise of the environment.
        notes: What to take with care.
    """

    names: tuple[str, str]
    pairs: tuple[SettingPair, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    lost: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]
    environment: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


def versus(first: Selection, second: Selection, valid_only: bool = False, across_machines: bool = False) -> Versus:
    """Compare two settings, or two studies.

    Of two whole studies that share several settings, those are matched one by one; otherwise a study stands for the
    setting its report recommends.

    Args:
        first: What is compared with.
        second: What is compared.
        valid_only: Leave timings that are known not to be valid out.
        across_machines: Compare timings of different machines, too.

    Raises:
        StoreError: There is no such study or setting, or the two cannot be compared: none of their runs ended well,
            they were scored under different normalisers, or have different references or no utterance in common.
    """
    studies = tuple(Study.load(one, valid_only) for one in (first, second))
    settings = matched(*studies) if first.trial is None and second.trial is None else {}
    both = {label: (one, other) for label, (one, other) in settings.items() if one is not None and other is not None}
    if len(both) < 2:
        both, settings = {"": (studies[0].side(), studies[1].side())}, {}
    texts = tuple(study.texts([pair[at] for pair in both.values()]) for at, study in enumerate(studies))
    pairs = _adjusted(
        [
            _pair(label or None, one, other, (texts[0][one.trial_id], texts[1][other.trial_id]), across_machines)
            for label, (one, other) in both.items()
        ]
    )
    names = (studies[0].name, studies[1].name)
    if all(not pair.paired.changes and pair.time.seen is None for pair in pairs):
        raise StoreError(
            f"{names[0]} and {names[1]} have nothing in common to compare: no utterance that both transcribed and"
            f" scored, and no timing ({pairs[0].time.apart or 'none was measured'})"
        )
    tried = studies[1].labels(studies[0].varied_with(studies[1])) if settings else set()
    only_first = tuple(label for label, (_, other) in settings.items() if other is None)
    return Versus(
        names=names,
        pairs=tuple(pairs),
        only_first=tuple(label for label in only_first if label not in tried),
        only_second=tuple(label for label, (one, _) in settings.items() if one is None),
        lost=tuple(label for label in only_first if label in tried),
        settings=_differences(pairs, [*_COMPARED, "model.fingerprint", "data.fingerprint"]),
        environment=_differences(pairs, [name for name in studies[0].runs.columns if name.startswith("env.")]),
        notes=tuple(_notes(pairs, studies, valid_only)),
    )


def _pair(
    label: str | None,
    first: Side,
    second: Side,
    texts: tuple[pd.DataFrame, pd.DataFrame],
    across_machines: bool,
) -> SettingPair:
    names = [str(side.first(_NORMALIZER)) for side in (first, second)]
    if names[0] != names[1]:
        raise StoreError(
            f"{first.name} was scored under {names[0]}, {second.name} under {names[1]}; run one of them again under the"
            f" other's normaliser, as a study of another name: score.normalizer={names[0]} study=NAME"
        )
    apart = _apart(first, second, across_machines)
    memory = [_ratio(PEAK_RSS, first, second, _other_origin(first, second))]
    memory += [_ratio(PEAK_GPU, first, second)] if all(side.values(PEAK_GPU) for side in (first, second)) else []
    return SettingPair(
        label=label,
        first=first,
        second=second,
        paired=paired(*texts, names[0], (first.name, second.name)),
        time=_ratio(RTFX, first, second, apart),
        memory=tuple(memory),
    )


def _apart(first: Side, second: Side, across_machines: bool) -> str | None:
    """Say why times are not compared; null where they are."""
    one, other = (side.first("data.fingerprint") for side in (first, second))
    if one != other:
        return "their data are not the same"
    same_kind = first.first("device") == second.first("device")
    for name in MACHINE if same_kind else MACHINE[:-1]:
        here, there = first.first(name), second.first(name)
        if here != there and not across_machines:
            return (
                f"they ran on different machines ({name_of(name)} {value_of(here, name)} and {value_of(there, name)})"
            )
    return None


def _other_origin(first: Side, second: Side) -> str | None:
    one, other = (side.first("peak_rss_source") for side in (first, second))
    return None if one == other else f"the peaks come from different sources ({one} and {other})"


def _ratio(metric: Metric, first: Side, second: Side, apart: str | None = None) -> Ratio:
    """Compare what the runs of two settings measured; of a speed, the times."""
    values = [side.values(metric) for side in (first, second)]
    shown = [statistics.median(each) if each else None for each in values]
    if not all(values):
        return Ratio(metric, shown[0], shown[1])
    before, after = (each if metric.smaller_is_better else tuple(1 / value for value in each) for each in values)
    comparable = apart is None and min(*before, *after) > 0
    return Ratio(
        metric,
        shown[0],
        shown[1],
        seen=compare(before, after) if comparable else None,
        one_sided=compare(before, after, ONE_SIDED) if comparable else None,
        apart=apart,
    )


def _adjusted(pairs: Sequence[SettingPair]) -> list[SettingPair]:
    """Correct the p-values of all pairs for their number, after Holm (1979)."""
    p_values = [None if (rates := pair.paired.rates) is None else rates.p_value for pair in pairs]
    known = [(at, one) for at, one in enumerate(p_values) if one is not None]
    found = dict(zip((at for at, _ in known), holm([one for _, one in known]), strict=True))
    return [replace(pair, p_adjusted=found.get(at)) for at, pair in enumerate(pairs)]


def _differences(pairs: Sequence[SettingPair], columns: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    """List the columns in which the two sides differ, with the values of all pairs on either."""
    both = [(pair.first, pair.second) for pair in pairs]
    found = []
    for name in columns:
        ours, theirs = ([value_of(side.first(name), name) for side in sides] for sides in zip(*both, strict=True))
        if ours != theirs:
            found.append((name, ", ".join(dict.fromkeys(ours)), ", ".join(dict.fromkeys(theirs))))
    return tuple(found)


def _notes(pairs: Sequence[SettingPair], studies: Sequence[Study], valid_only: bool) -> Iterator[str]:
    """Say what to take with care."""
    sides = [side for pair in pairs for side in (pair.first, pair.second)]
    if failed := sum(side.failed for side in sides):
        yield f"{counted(failed, 'run')} of these settings did not end well; those are left out."
    if doubted := sum(count_invalid(side.runs) for side in sides):
        told = "left out of the times" if valid_only else "not left out; --valid-only does so"
        yield f"{counted(doubted, 'timing')} not valid (column doubts), {told}."
    if studies[0].chosen.study_dir.resolve() != studies[1].chosen.study_dir.resolve():
        yield "Two studies ran at different times; how a machine drifts meanwhile is in no interval."
    if any((side.runs["task"] == Task.finetune.value).any() for side in sides):
        yield "The scores are those of trainings; the luck of training is in no interval here, but in the reports."
