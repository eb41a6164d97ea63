"""What the report of a fine-tuning study shows, as text in the shape its templates want."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench import storage
from bench.config import NormalizerName
from bench.metrics import WER, Metric
from bench.printable import clean
from bench.report.alignment import Place, aligned
from bench.report.content import common, environment_of
from bench.report.crossvalidation import CrossValidation, FoldScore, Setting
from bench.report.finetuning import Finetuning
from bench.report.finetuning_verdict import caveats, spread, verdict
from bench.report.judged import Change
from bench.report.labels import plain, value_of
from bench.report.sheet import sheet
from bench.score.normalize import normalizer
from bench.store import load_utterances

_MOST_FOLDS = 12  # columns of a table
_MOST_RUNS = 60
_MOST_CHANGES = 8
_MOST_PLACES = 80
_DASH = "\N{EN DASH}"

_MIB = ("train.peak_rss_mib", "Peak RAM"), ("train.peak_gpu_reserved_mib", "Peak GPU memory")


def finetuning_content(study_dir: storage.Place, found: Finetuning) -> dict[str, Any]:
    """Gather everything a report says in words, in the shape its templates want."""
    texts = common(found.found, load_utterances(study_dir), found.told)
    context: dict[str, Any] = {
        "study": found.name,
        "sections": [],
        "devices": None,
        "engines": [],
        "scaling": [],
        "not_compared": [],
    }
    if found.runs.empty:
        return texts | context | {"training": None}
    context["sections"] = [
        {
            "title": found.found[0].title,
            **verdict(found),
            "environment": environment_of(found.found[0]),
            "transcripts": {"rows": [], "left_out": 0},
            "differing": [],
        }
    ]
    training = {
        "settings": _settings(found.validation) if found.validation else None,
        "notes": list(caveats(found)),
        "costs": _costs(found),
        "outcome": _outcome(found),
    }
    return texts | context | {"training": training}


def _settings(found: CrossValidation) -> dict[str, Any]:
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
            [one.label, _standing(one, found), spread(one), *cells, WER.show(one.pooled), *_against(one, found)]
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
