"""What a report says, as text in the shape its templates want; escaping is the templates' business."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml

from bench.config import NormalizerName
from bench.metrics import METRICS, PEAK_GPU, PEAK_RSS, WER
from bench.printable import clean
from bench.records import Status
from bench.report.accuracy import Accuracy
from bench.report.aside import judged_aside, not_yet_judged
from bench.report.degenerate import any_degenerate, counts_text, degenerate_settings, faults
from bench.report.devices import devices
from bench.report.effects import main_effects
from bench.report.engine_versions import VERSION, engine_versions
from bench.report.footprint import footprint
from bench.report.frontier import Recommendation, pareto_front, recommend
from bench.report.heard import differing, heard_by_trial, pieces_of, worth_a_look
from bench.report.labels import describe, name_of, plain, value_of
from bench.report.latency import latency
from bench.report.precision import certainty
from bench.report.scaling import oversubscribed, scaling_sections
from bench.report.standing import standing
from bench.report.tables import Block, failures_of, searched
from bench.report.trial_data import trials_table
from bench.report.validity import doubt_of, doubtful_pick, validity
from bench.report.verdict import caveats, costs, headline, not_compared, recommended_rows, set_aside, ties
from bench.score.normalize import normalizer
from bench.search.objectives import Goal

_MOST_SKIPPED = 40
_MOST_TRANSCRIPTS = 20
_MOST_FAILED_UTTERANCES = 40
_MOST_CHARACTERS = 1500
# Of all texts that the page's script shows, as JSON.
_MOST_BYTES = 4 * 2**20


def content(
    study: str,
    runs: pd.DataFrame,
    found: list[Block],
    goal: Goal,
    utterances: pd.DataFrame,
    accuracy: Mapping[str, Accuracy],
    samples: pd.DataFrame,
    told: Mapping[str, Any],
    valid_only: bool = False,
) -> dict[str, Any]:
    """Gather everything a report says in words.

    Args:
        study: The study's name.
        runs: Its runs.
        found: Their blocks; may be none.
        goal: What it is after.
        utterances: Its utterances.
        accuracy: What their errors tell, by the block's title.
        samples: Its timelines.
        told: The study's own description; any part may be missing.
        valid_only: Whether timings that are not valid have been left out of the blocks.
    """
    utterances = utterances[utterances["run_id"].isin(searched(runs)["run_id"])]
    compared = devices(found, samples, told.get("skipped") or [])
    waiting = not_yet_judged(runs, told.get("config") or {})
    apart = not_compared(found)
    if apart and compared and compared["rows"]:
        apart[0] += f" The one exception is the same setting on another device: {compared['title']}."
    return {
        "study": study,
        "sections": [
            _with_texts(
                _section(
                    block,
                    utterances,
                    accuracy[block.title],
                    valid_only,
                    _beside(block, runs, goal, accuracy[block.title], [] if number else waiting),
                ),
                block,
                study,
                utterances,
                accuracy[block.title].tied,
                _MOST_BYTES // len(found),
            )
            for number, block in enumerate(found)
        ],
        "devices": compared,
        "scaling": scaling_sections(found),
        "not_compared": apart,
        **common(found, utterances, told),
    }


def common(found: list[Block], utterances: pd.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what is said of every study, whatever its task: failures, what was skipped, and how to repeat it.

    Args:
        found: Its blocks; may be none.
        utterances: Its utterances.
        told: Its own description; any part may be missing.
    """
    return {
        "failures": _failures(found),
        "failed_utterances": _failed_utterances(utterances),
        **_description(told),
    }


def environment_of(block: Block) -> list[tuple[str, str]]:
    """Name the parts of a block's environment, those that are known."""
    return [(name_of(name), value_of(value, name)) for name, value in _environment(block).items() if value is not None]


def _section(
    block: Block, utterances: pd.DataFrame, accuracy: Accuracy, valid_only: bool, beside: list[str]
) -> dict[str, Any]:
    """Gather what the templates say about one block."""
    recommendation = recommend(block)
    certain = certainty(block, recommendation, accuracy)
    memory = [metric for metric in (PEAK_RSS, PEAK_GPU) if block.table[metric.column].notna().any()]
    comparable = block.table.drop(index=list(recommendation.excluded))
    front = set(comparable.index[pareto_front(comparable)])
    apart = block.table.loc[block.table.index.isin(recommendation.excluded)]
    ordered = pd.concat([comparable, apart]) if len(apart) else comparable
    trials = [
        _shown(row, accuracy)
        | {"trial": str(trial), "front": trial in front, "breaks": recommendation.broken.get(str(trial), "")}
        for trial, row in ordered.iterrows()
    ]
    return {
        "title": block.title,
        "headline": headline(block, recommendation),
        "beside": beside,
        "costs": costs(block, recommendation, accuracy.tied),
        "certainty": certain.told,
        "recommended": [
            {"role": role} | _shown(row, accuracy)
            for role, row in recommended_rows(block, recommendation, accuracy.fastest_tied(block))
        ],
        "standing": standing(block, recommendation, accuracy, utterances),
        "excluded": [(block.row(trial)["label"], why) for trial, why in recommendation.excluded.items()],
        "trials": trials,
        "memory": memory,
        "order": "fastest first" if block.table[WER.column].isna().all() else "most accurate first",
        "degenerate": any_degenerate(block),
        "caveats": [
            *doubtful_pick(block, recommendation, valid_only),
            *caveats(block),
            *certain.caveats,
            *oversubscribed(block),
            *degenerate_settings(block, utterances),
        ],
        "validity": validity(block, valid_only),
        "effects": main_effects(block, recommendation),
        "latency": latency(block),
        "footprint": footprint(block, recommendation),
        "environment": environment_of(block),
        "transcripts": _transcripts(block, recommendation, utterances),
    }


def _with_texts(
    section: dict[str, Any], block: Block, study: str, utterances: pd.DataFrame, tied: frozenset[str], most_bytes: int
) -> dict[str, Any]:
    """Add the table of settings, and what was heard where settings differ most."""
    heard = heard_by_trial(block, worth_a_look(block, recommend(block), tied), utterances, most_bytes)
    table = trials_table(study, block, section["trials"], [metric.column for metric in section["memory"]], heard)
    return section | {"table": table, "differing": differing(block, utterances)}


def _beside(block: Block, runs: pd.DataFrame, goal: Goal, accuracy: Accuracy, waiting: list[str]) -> list[str]:
    """Say what belongs beside a verdict: what is tied with it or was set aside, and how it did on data kept aside."""
    recommendation = recommend(block)
    return [
        *ties(block, recommendation, accuracy),
        *set_aside(recommendation),
        *judged_aside(block, recommendation, runs, goal),
        *waiting,
    ]


def _shown(row: "pd.Series[Any]", accuracy: Accuracy) -> dict[str, Any]:
    """Write a row of the settings table as text."""
    counts = ("substitutions", "deletions", "insertions", "reference_words")
    texts = {name: _number(row[name], 0) for name in counts}
    metrics = {metric.column: metric.show(row[metric.column]) for metric in METRICS}
    seconds = _number(row["inference_s"], 2)
    runs = f"{row['runs_ok']} of {row['runs']}" if row["runs_ok"] != row["runs"] else f"{row['runs']}"
    told = {"label": row["label"], "status": _status(row), "runs": runs, "inference_s": seconds}
    told["failed"] = failures_of(row) > 0
    told |= {"interval": accuracy.interval(str(row.name)), "standing": accuracy.standing(str(row.name))}
    return told | {"degenerate": counts_text(row), "doubt": doubt_of(row)} | texts | metrics


def _status(row: "pd.Series[Any]") -> str:
    if row["status"] != Status.pruned.value or pd.isna(row["race_share"]):
        return str(row["status"])
    return f"ended early by racing, at {100 * row['race_share']:.0f} %"


def _number(value: float, decimals: int) -> str:
    return "\N{EN DASH}" if pd.isna(value) else f"{value:.{decimals}f}"


def _environment(block: Block) -> dict[str, object]:
    columns = [column for column in block.runs.columns if column.startswith("env.")]
    # A run that died reports less than one that ended well.
    best = block.runs.sort_values("status", key=lambda status: status != Status.ok.value, kind="stable").iloc[0]
    return {column: plain(best[column]) for column in columns} | {VERSION: engine_versions(block.runs)}


def _transcripts(block: Block, recommendation: Recommendation, utterances: pd.DataFrame) -> dict[str, Any]:
    """List reference and hypothesis of the recommended setting, those with the most errors first."""
    if recommendation.picks is None:
        return {"rows": [], "left_out": 0}
    run = block.row(recommendation.picks.recommended)["typical_run"]
    mine = utterances[utterances["run_id"] == run]
    if mine["hypothesis"].isna().all():  # random weights
        return {"rows": [], "left_out": 0}
    errors = mine[["substitutions", "deletions", "insertions"]].sum(axis=1, min_count=1)
    ordered = mine.assign(errors=errors).sort_values(["errors", "utterance_id"], ascending=[False, True])
    normalize = normalizer(NormalizerName(str(block.factors["score.normalizer"])))
    rows = [
        {
            "id": clean(str(row["utterance_id"])),
            "wer": WER.show(row["wer"]),
            "faults": faults(row.to_dict()),
            "pieces": pieces_of(row["reference"], row["hypothesis"], normalize),
            "reference": _shorten(row["reference"]),
            "hypothesis": _shorten(row["hypothesis"]),
        }
        for _, row in ordered.head(_MOST_TRANSCRIPTS).iterrows()
    ]
    return {"rows": rows, "left_out": len(ordered) - len(rows)}


def _shorten(text: object) -> str:
    shown = clean(str(plain(text) or ""))
    return shown if len(shown) <= _MOST_CHARACTERS else shown[:_MOST_CHARACTERS] + " […]"


def _failures(found: list[Block]) -> list[tuple[str, str, str, str, str]]:
    """List trials with runs that did not end well: block, settings, how many runs, status and reason."""
    return [
        (block.title, row["label"], f"{failures_of(row)} of {row['runs']}", row["status"], row["reason"])
        for block in found
        for _, row in block.table.iterrows()
        if failures_of(row)
    ]


def _failed_utterances(utterances: pd.DataFrame) -> dict[str, Any]:
    """List each utterance and error once, with the number of runs: a broken file fails in every setting alike."""
    tried = utterances.groupby("utterance_id")["run_id"].nunique()
    groups = utterances.dropna(subset=["error"]).groupby(["utterance_id", "error"])["run_id"].nunique().reset_index()
    # Most runs first; of equal ones, by name.
    ordered = groups.sort_values(["run_id", "utterance_id", "error"], ascending=[False, True, True])
    rows = [
        (clean(str(one["utterance_id"])), clean(str(one["error"])), f"{one['run_id']} of {tried[one['utterance_id']]}")
        for _, one in ordered.head(_MOST_FAILED_UTTERANCES).iterrows()
    ]
    count = groups["utterance_id"].nunique()
    title = f"Utterances that were not used: {count} of {len(tried)}"
    return {"title": title, "rows": rows, "left_out": len(ordered) - len(rows)}


def _description(told: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the study's own description says; any part may be missing."""
    skipped = told.get("skipped") or []
    points = [(describe(one.get("settings") or {}), clean(str(one.get("reason") or ""))) for one in skipped]
    space: dict[str, Any] = told.get("space") or {}
    lists = {name: values if isinstance(values, list) else [values] for name, values in space.items()}
    commands = told.get("commands") or [told.get("command") or ""]
    environment = {f"env.{name}": value for name, value in (told.get("environment") or {}).items()}
    return {
        "commands": [text for command in commands if (text := str(command).strip())],
        "config": yaml.safe_dump(told["config"], sort_keys=False, allow_unicode=True) if told.get("config") else "",
        "space": [(name, ", ".join(str(value) for value in values)) for name, values in lists.items()],
        "environment": [(name_of(name), value_of(value, name)) for name, value in environment.items()],
        "skipped": {"rows": points[:_MOST_SKIPPED], "count": len(points), "left_out": len(points[_MOST_SKIPPED:])},
    }
