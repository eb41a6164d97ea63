"""What a report says of a study that fine-tunes: which setting to train with, how sure that is, and what it gained."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench.config import NormalizerName, Task
from bench.metrics import WER, Metric
from bench.records import Status
from bench.report.alignment import Place, aligned
from bench.report.content import common, environment_of
from bench.report.crossvalidation import CrossValidation, FoldScore, Setting, cross_validated
from bench.report.judged import FOLDER, Change, Judged, judged
from bench.report.labels import clean, plain, value_of
from bench.report.sheet import sheet
from bench.report.tables import Block, blocks, differences, searched
from bench.score.normalize import normalizer
from bench.score.resampled import LEVEL
from bench.store import load_curves, load_runs, load_utterances, read_study

_MOST_NAMED = 8
_MOST_FOLDS = 12  # columns of a table
_MOST_RUNS = 60
_MOST_CHANGES = 8
_MOST_PLACES = 80
_DASH = "\N{EN DASH}"
_TEST_SET = ("finetune.test.split", "finetune.test.share")

_MIB = ("train.peak_rss_mib", "Peak RAM"), ("train.peak_gpu_reserved_mib", "Peak GPU memory")


@dataclass(frozen=True, eq=False)
class Finetuning:
    """What a fine-tuning study has found so far.

    Attributes:
        name: The study.
        runs: Its runs.
        found: Its blocks; they tell what differed between runs.
        told: Its own description; any part may be missing.
        validation: Its settings by their folds; null where there are none.
        outcome: The model before and after, over the test data; null where that was not judged.
        final: The description of the judging, likewise.
        curves: How its trainings went.
    """

    name: str
    runs: pd.DataFrame
    found: list[Block]
    told: Mapping[str, Any]
    validation: CrossValidation | None
    outcome: Judged | None
    final: Mapping[str, Any]
    curves: pd.DataFrame

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the latest start."""
        return self.told.get("config") or {}

    @cached_property
    def labels(self) -> dict[str, str]:
        """What is particular to each trial, as a phrase."""
        blocked = {str(trial): str(row["label"]) for block in self.found for trial, row in block.table.iterrows()}
        settings = self.validation.settings if self.validation else ()
        return blocked | {one.trial_id: one.label for one in settings}

    @property
    def without_folds(self) -> pd.DataFrame:
        """Runs that were trained on all the data and judged on the test data; those of the lowest WER first."""
        return self.runs[self.runs["fold"].isna()].sort_values("wer", kind="stable", na_position="last")

    @property
    def shown(self) -> dict[str, str]:
        """The trials whose curves are shown, by what they are: the best setting and the worst that has all folds."""
        if self.validation is None:
            ended = self.without_folds.dropna(subset=["train.steps"]).drop_duplicates("trial_id")
            some = dict.fromkeys([*ended["trial_id"].head(1), *ended["trial_id"].tail(1)])
            return {self.labels[trial]: trial for trial in some}
        complete = [one for one in self.validation.settings if one.is_complete]
        if len(complete) < 2:
            return {one.label: one.trial_id for one in complete}
        return {
            f"Best: {complete[0].label}": complete[0].trial_id,
            f"Worst: {complete[-1].label}": complete[-1].trial_id,
        }

    @property
    def typical_run(self) -> Mapping[Any, Any] | None:
        """The run whose course is shown: the first that ended well of the best setting; null where none did."""
        good = self.runs[self.runs["status"].eq(Status.ok.value)].sort_values("replicate", kind="stable")
        best = next(iter(self.shown.values()), None)
        mine = good[good["trial_id"].eq(best)] if best is not None else good
        return None if mine.empty else mine.to_dict("records")[0]


def trains(runs: pd.DataFrame, config: Mapping[str, Any]) -> bool:
    """Tell whether a study fine-tunes; a study has one task."""
    tasks = set(runs["task"].dropna()) or {config.get("task")}
    return Task.finetune.value in tasks


def read_finetuning(study_dir: Path) -> Finetuning:
    """Gather what a fine-tuning study has found.

    Raises:
        StoreError: There is no such study, or a file cannot be read.
    """
    runs = searched(load_runs(study_dir))
    outcome = judged(study_dir)
    return Finetuning(
        name=study_dir.resolve().name,
        runs=runs,
        found=blocks(runs),
        told=read_study(study_dir) or {},
        validation=cross_validated(study_dir),
        outcome=outcome,
        final=(read_study(study_dir / FOLDER) or {}) if outcome else {},
        curves=load_curves(study_dir),
    )


def finetuning_content(study_dir: Path, found: Finetuning) -> dict[str, Any]:
    """Gather everything a report says in words, in the shape its templates want."""
    texts = common(found.found, load_utterances(study_dir), found.told)
    context: dict[str, Any] = {"study": found.name, "sections": [], "devices": None, "scaling": [], "not_compared": []}
    if found.runs.empty:
        return texts | context | {"training": None}
    context["sections"] = [
        {
            "title": found.found[0].title,
            **_verdict(found),
            "environment": environment_of(found.found[0]),
            "transcripts": {"rows": [], "left_out": 0},
        }
    ]
    training = {
        "settings": _settings_sheet(found.validation) if found.validation else None,
        "notes": list(_caveats(found)),
        "costs": _costs(found),
        "outcome": _outcome(found),
    }
    return texts | context | {"training": training}


def _verdict(found: Finetuning) -> dict[str, Any]:
    """Write the headline, what else there is to know at once, and what became of the other settings."""
    if found.validation is None:
        headline, others = _single(found)
        return {"headline": headline, "beside": [], "costs": others, "certainty": []}
    certainty = []
    if found.validation.best is not None and len(found.validation.settings) > 1:
        certainty = ["The best of several is chosen by the scores that are told of it, which flatters it a little."]
    return {
        "headline": _headline(found.validation),
        "beside": list(_judging(found)),
        "costs": list(_others(found.validation)),
        "certainty": certainty,
    }


def _headline(found: CrossValidation) -> str:
    best = found.best
    if best is None or best.mean is None:
        return f"No setting can be recommended: none has been trained in all of its {found.folds} folds."
    told = f"WER {_spread(best)}, mean{' and standard deviation' if best.spread is not None else ''}"
    told += f" of {found.folds} folds"
    complete = sum(one.is_complete for one in found.settings)
    if complete > 1:
        return f"Recommended: {best.label} ({told}), the most accurate of {complete} settings."
    if len(found.settings) > 1:
        return f"Only one setting can be judged: {best.label} ({told})."
    return f"Only one setting was trained: {told}."


def _spread(setting: Setting) -> str:
    rate = WER.show(setting.mean)
    return rate if setting.spread is None else rate.replace(" %", f" % ± {WER.scale * setting.spread:.1f}")


def _judging(found: Finetuning) -> Iterator[str]:
    """Say what fine-tuning gained over the model as it was, or how to find out."""
    best = found.validation.best if found.validation else None
    if found.outcome is not None:
        yield from (f"{_sentence(text)}." for text in found.outcome.sentences)
        if best is not None and found.final.get("point", best.point) != best.point:
            label = clean(str(found.final.get("label")))
            yield f"What was judged is {label}, which was the best setting then and is no longer."
    elif best is not None:
        unset = (
            "" if any(found.config.get(name) for name in _TEST_SET) else ", with finetune.test.split=test added to run"
        )
        command = shlex.join(["asr-sweep", "finetune-final", found.name])
        yield f"What it gains over the model as it was has not been judged on the test data yet: {command}{unset}"


def _others(found: CrossValidation) -> Iterator[str]:
    """Say what became of all settings but the best."""
    if found.tied:
        yield f"Cannot be told from it: {_names(found.tied)}."
    worse = [one for one in found.settings if one.is_complete and not one.is_tied]
    if worse:
        yield f"Worse, at the {100 * LEVEL:g} % level over all comparisons: {_names(worse)}."
    for one in found.settings:
        if not one.is_complete:
            yield f"{_sentence(one.label)} {_ending(one.folds, found.folds)}."


def _names(settings: Sequence[Setting]) -> str:
    named = [f"{one.label} (WER {_spread(one)})" for one in settings[:_MOST_NAMED]]
    left_out = len(settings) - len(named)
    return "; ".join(named) + (f"; and {left_out} more" if left_out else "")


def _ending(folds: Sequence[FoldScore], expected: int) -> str:
    """Say why a setting lacks folds."""
    ended = [one for one in folds if one.status == Status.pruned.value]
    failed = [one for one in folds if one.status not in (Status.ok.value, Status.pruned.value)]
    scored = sum(one.wer is not None for one in folds)
    if failed:
        why = f"failed in {len(failed)} of {expected} folds ({failed[0].status})"
    elif ended:
        why = f"was ended early, with {scored} of {expected} folds"
    else:
        return f"has {scored} of {expected} folds so far"
    reasons = dict.fromkeys((one.reason or "no reason was recorded").removesuffix(".") for one in failed or ended)
    return f"{why}: {'; '.join(reasons)}"


def _single(found: Finetuning) -> tuple[str, list[str]]:
    """Tell of a study without folds: its runs were judged on the test data."""
    runs = found.without_folds
    good = runs[runs["status"].eq(Status.ok.value)]
    bad = runs[~runs["status"].eq(Status.ok.value)]
    others = [
        f"{_sentence(found.labels[str(row['trial_id'])])} ended in {row['status']}:"
        f" {clean(str(plain(row['status_reason']) or 'no reason was recorded')).removesuffix('.')}."
        for row in bad.head(_MOST_NAMED).to_dict("records")
    ]
    if good.empty:
        return f"No training has ended well: {len(bad)} of {len(runs)} runs failed.", others
    best = good.iloc[0]
    over = f"{best['utterances'] - best['utterances_failed']:.0f} utterances of test data"
    words = "" if pd.isna(best["reference_words"]) else f" ({best['reference_words']:.0f} words)"
    told = f"WER {WER.show(best['wer'])} on {over}{words}"
    label = found.labels[str(best["trial_id"])]
    if len(good) == 1:
        return f"Trained on all of the data: {told}.", [f"What was trained: {label}.", *others]
    choice = f"Without folds, {len(good)} settings were judged on the same test data: the lowest of their WER flatters."
    return f"Lowest WER of {len(good)} settings: {label}, {told}.", [choice, *others]


def _settings_sheet(found: CrossValidation) -> dict[str, Any]:
    """Write a row a setting: its scores, and how it compares with the best."""
    places = sorted({(score.repeat, score.fold) for one in found.settings for score in one.folds})
    repeated = len({repeat for repeat, _ in places}) > 1
    wide = len(places) <= _MOST_FOLDS
    heads = ["Setting", "Verdict", "Mean WER ± standard deviation"]
    heads += (
        [_fold_name(repeat, fold, repeated) for repeat, fold in places] if wide else ["Folds, from lowest to highest"]
    )
    heads += ["All utterances", "Against the best", "95 % interval", "p (Holm)"]
    rows = []
    for one in found.settings:
        scores = {(score.repeat, score.fold): score for score in one.folds}
        cells = [_score(scores.get(place)) for place in places] if wide else [_range(one)]
        rows.append(
            [one.label, _standing(one, found), _spread(one), *cells, WER.show(one.pooled), *_against(one, found)]
        )
    return sheet(heads, rows, words=2)


def _fold_name(repeat: int, fold: int, repeated: bool) -> str:
    return f"Fold {fold + 1}" + (f" of division {repeat + 1}" if repeated else "")


def _score(score: FoldScore | None) -> str:
    if score is None:
        return _DASH
    return score.status if score.wer is None else WER.show(score.wer)


def _range(setting: Setting) -> str:
    rates = [one.wer for one in setting.folds if one.wer is not None]
    return f"{WER.show(min(rates))} to {WER.show(max(rates))}" if rates else _DASH


def _standing(setting: Setting, found: CrossValidation) -> str:
    if setting is found.best:
        return "best"
    if setting.is_complete:
        return "tied" if setting.is_tied else "different"
    return "incomplete"


def _against(setting: Setting, found: CrossValidation) -> tuple[str, str, str]:
    """Write the difference to the best, its interval and its p-value."""
    against = setting.against_best
    if against is None or setting is found.best:
        return _DASH, _DASH, _DASH
    seen = against.comparison
    bounds = _DASH
    if seen.low is not None and seen.high is not None:
        bounds = f"{_points(seen.low)} to {_points(seen.high)}"
    return f"{_points(seen.difference)} points", bounds, f"{against.p_adjusted:.2g}"


def _points(rate: float) -> str:
    return f"{WER.scale * rate:+.1f}"


def _caveats(found: Finetuning) -> Iterator[str]:
    """Say what the numbers rest on."""
    if found.validation is not None:
        yield (
            "Each fold was transcribed by a model that was trained on the other folds alone. Settings are ranked and"
            " compared by their errors in all utterances together, where long ones count more; in the mean, folds count"
            " alike."
        )
        yield (
            f"Tied cannot be told from the best: Holm's p-value over all settings is above {100 * LEVEL:g} %. It allows"
            " for which utterances there are and for the luck of training. The intervals are of each setting alone."
        )
    for what, values in differences(found.found).items():
        if len(set(values)) > 1:
            yield f"Not all runs had the same {what} ({'; '.join(dict.fromkeys(values))}), which is not allowed for."
    skipped = found.runs[found.runs["train.skipped"].gt(0)]
    if not skipped.empty:
        most = skipped.sort_values("train.skipped").iloc[-1]
        why = clean(str(plain(most["train.skipped_reason"]) or "no reason was recorded"))
        yield f"Up to {most['train.skipped']:.0f} utterances could not be trained on; the first: {why}."
    if found.validation is not None and not found.without_folds.empty:
        yield f"{len(found.without_folds)} runs without folds are compared with nothing; see what training took."


def _costs(found: Finetuning) -> dict[str, Any]:
    """Write a row a run: what its training took."""
    order = {one.trial_id: at for at, one in enumerate(found.validation.settings if found.validation else ())}
    runs = found.runs.assign(place=found.runs["trial_id"].map(order).fillna(len(order)))
    runs = runs.sort_values(["place", "trial_id", "replicate"], kind="stable")
    rows: list[tuple[str, Mapping[Any, Any]]] = [
        (found.labels[str(row["trial_id"])], row) for row in runs.head(_MOST_RUNS).to_dict("records")
    ]
    if found.outcome is not None:
        label = clean(str(found.final.get("label") or "the chosen setting"))
        rows.append((label, {**found.outcome.training, "judged": True}))
    memory = [(column, head) for column, head in _MIB if any(_known(row, column) is not None for _, row in rows)]
    heads = ["Setting", "Trained on", "Status", "Utterances", "Steps", "Training [s]", "Validation [s]", "Batch"]
    heads += ["Precision", *(head for _, head in memory)]
    cells = [[label, _fold_of(row), str(row["status"]), *_cost(row), *_peaks(row, memory)] for label, row in rows]
    left_out = len(runs) - _MOST_RUNS
    notes = [f"{left_out} more runs are in the study's records."] if left_out > 0 else []
    notes.append(
        "Batch is utterances that went through the model together, times such batches that made a step. The time to"
        " load and to find the largest batch that fits is not in that of training. Peaks are of the steps."
    )
    return sheet(heads, cells, words=3, notes=notes)


def _known(row: Mapping[Any, Any], column: str) -> float | None:
    value = row.get(column)
    return None if value is None or math.isnan(value) else float(value)


def _cost(row: Mapping[Any, Any]) -> list[str]:
    size, batches = (_known(row, f"train.{name}") for name in ("device_batch_size", "accumulation"))
    batch = _DASH if size is None or batches is None else f"{size:.0f} x {batches:.0f}"
    precision = plain(row.get("train.precision"))
    told = [
        _count(_known(row, "train.utterances"), 0),
        _count(_known(row, "train.steps"), 0),
        _count(_known(row, "train.train_s"), 1),
        _count(_known(row, "train.validate_s"), 1),
    ]
    return [*told, batch, _DASH if precision is None else value_of(precision)]


def _peaks(row: Mapping[Any, Any], memory: Sequence[tuple[str, str]]) -> list[str]:
    return [Metric(column, head, "MiB", True, decimals=0).show(_known(row, column)) for column, head in memory]


def _count(value: float | None, decimals: int) -> str:
    return _DASH if value is None else f"{value:.{decimals}f}"


def _fold_of(row: Mapping[Any, Any]) -> str:
    if row.get("judged"):
        return "all folds, at the end"
    if (fold := _known(row, "fold")) is None:
        return "all of the data"
    repeat = _known(row, "repeat") or 0.0
    return f"all but fold {fold + 1:.0f}" + (f" of division {repeat + 1:.0f}" if repeat else "")


def _outcome(found: Finetuning) -> dict[str, Any] | None:
    """Write the utterances that changed most, aligned word by word."""
    if found.outcome is None:
        return None
    name = (found.final.get("config") or {}).get("score.normalizer") or NormalizerName.whisper_english
    normalize = normalizer(NormalizerName(name))
    better = [one for one in found.outcome.changes if one.errors_after < one.errors_before]
    worse = [one for one in reversed(found.outcome.changes) if one.errors_after > one.errors_before]

    def told(change: Change) -> dict[str, Any]:
        texts = (normalize(text) for text in (change.reference, change.before, change.after))
        places = aligned(*(clean(text) for text in texts))
        return {
            "id": clean(change.utterance_id),
            "errors": f"{change.errors_before} to {change.errors_after} word errors",
            "places": [_place(place) for place in places[:_MOST_PLACES]],
            "left_out": len(places) > _MOST_PLACES,
        }

    groups = (("Which got most better", better), ("Which got most worse", worse))
    return {
        "data": clean(found.outcome.data_name),
        "groups": [
            {"title": title, "count": len(some), "rows": [told(one) for one in some[:_MOST_CHANGES]]}
            for title, some in groups
            if some
        ],
    }


def _place(place: Place) -> dict[str, Any]:
    """Write a place of an alignment, with a dash for a word that is missing."""
    return {
        "reference": place.reference,
        "heard": [
            {"text": text or (_DASH if place.reference else ""), "wrong": text != place.reference}
            for text in (place.before, place.after)
        ],
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
