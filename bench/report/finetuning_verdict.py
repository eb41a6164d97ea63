"""The sentences of a fine-tuning study's report: which setting to train with, how sure that is, and what it gained."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bench.metrics import WER
from bench.printable import clean
from bench.records import Status
from bench.report.crossvalidation import CrossValidation, FoldScore, Setting
from bench.report.finetuning import Finetuning
from bench.report.labels import plain
from bench.report.tables import differences
from bench.score.resampled import LEVEL

_MOST_NAMED = 8
_TEST_SET = ("finetune.test.split", "finetune.test.share")


def verdict(found: Finetuning) -> dict[str, Any]:
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
    told = f"WER {spread(best)}, mean{' and standard deviation' if best.spread is not None else ''}"
    told += f" of {found.folds} folds"
    complete = sum(one.is_complete for one in found.settings)
    if complete > 1:
        return f"Recommended: {best.label} ({told}), the most accurate of {complete} settings."
    if len(found.settings) > 1:
        return f"Only one setting can be judged: {best.label} ({told})."
    return f"Only one setting was trained: {told}."


def spread(setting: Setting) -> str:
    """Write the mean WER over folds, and its standard deviation."""
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
        if all(one.against_best is not None and one.against_best.comparison.low is None for one in found.tied):
            yield (
                "No two settings can be told apart by this data: fewer than six groups (of a speaker, a sentence or a"
                f" sound) cannot at the {100 * LEVEL:g} % level. More speakers would tell."
            )
    worse = [one for one in found.settings if one.is_complete and not one.is_tied]
    if worse:
        yield f"Worse, at the {100 * LEVEL:g} % level over all comparisons: {_names(worse)}."
    for one in found.settings:
        if not one.is_complete:
            yield f"{_sentence(one.label)} {_ending(one.folds, found.folds)}."


def _names(settings: Sequence[Setting]) -> str:
    named = [f"{one.label} (WER {spread(one)})" for one in settings[:_MOST_NAMED]]
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


def caveats(found: Finetuning) -> Iterator[str]:
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


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
