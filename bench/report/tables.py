"""From a row a run to a row a setting, within blocks of runs that may be compared at all.

A *block* is one data set under one normaliser, on one device of one checked environment, measured in one way.
Everything a report says about "better" is said within a block, so no setting wins because it met an easier corpus or a
faster machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from bench.data.holdout import Part
from bench.metrics import COLD, COST, UTTERANCE_LATENCIES, WINDOW_LATENCIES
from bench.readings import PHASES as INFERENCE_PHASES
from bench.records import Status
from bench.report.labels import clean, name_of, plain, setting_label, value_of
from bench.schema import SETTINGS
from bench.search.objectives import Constraint

THREADS = "env.torch_threads"
WARMUP = "measure.warmup"

BLOCK_FACTORS = (
    "data.fingerprint",
    "device",
    "score.normalizer",
    WARMUP,
    "measure.repeats",
    "env.cpu_model",
    "env.cpu_usable",
    "env.gpu",
    "env.gpu_driver",
    "env.torch",
    "env.transformers",
    "env.python",
    THREADS,
)
"""Columns that must agree before two runs are compared."""

PHASES = ("load_s", "audio_decode_s", *INFERENCE_PHASES)
"""Columns of seconds, in the order in which a run passes through them."""

# How a run is executed and found changes no result; data, device and normaliser separate blocks instead.
_NOT_VARIED = ("measure.", "executor.", "search.", "data.", "score.", "device")
# What is checked before a run starts; it follows the model and tells nothing of its own.
_CHECKS = ("model.max_window_s", "model.hop_length")

# What names a setting where nothing varies.
_MAIN = (
    "model.name",
    "decode.strategy",
    "decode.chunk_length_s",
    "decode.stride_length_s",
    "decode.batch_size",
)

DEGENERATE = ("utterances_looping", "utterances_text_in_silence", "utterances_wrong_language")
"""Columns that count utterances whose text is no misheard speech."""

_RUNS = ("runs", "runs_ok", "runs_pruned", "runs_judged", "runs_valid")
_COUNTS = ("substitutions", "deletions", "insertions", "reference_words")
_EXTREMES = ("words_scored", "utterances", "utterances_failed", "repeats", "race_share")
_MEDIANS = (
    "rtfx",
    "audio_s",
    "rss_after_load_mib",
    "peak_rss_mib",
    "peak_gpu_allocated_mib",
    "peak_gpu_reserved_mib",
    *(metric.column for metric in (*WINDOW_LATENCIES, *UTTERANCE_LATENCIES, COLD, COST)),
)


@dataclass(frozen=True, eq=False)
class Block:
    """Runs that may be compared with each other.

    Attributes:
        title: Data set and device, and whatever else sets the block apart from the study's other blocks.
        factors: Value of each blocking factor, and of ``data.name``.
        runs: The block's rows of the runs table.
        table: Its settings table (see :func:`settings_table`).
        varied: The settings that vary within the study (see :func:`varied_settings`).
        constraints: What a setting has to keep to be recommended.
    """

    title: str
    factors: dict[str, object]
    runs: pd.DataFrame
    table: pd.DataFrame
    varied: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()

    def row(self, trial_id: str) -> "pd.Series[Any]":
        """Look up a trial in the settings table."""
        return cast("pd.Series[Any]", self.table.loc[trial_id])


def searched(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out runs over data kept aside: they judge what was chosen, and are compared with nothing.

    Runs of older versions tell no part of the data, and are kept.
    """
    return runs[runs["part"].ne(Part.holdout.value)].reset_index(drop=True)


def varied_settings(runs: pd.DataFrame) -> tuple[str, ...]:
    """Name the settings that take more than one value and may change a result, in the configuration's order."""
    return tuple(
        column
        for column in SETTINGS
        if not column.startswith(_NOT_VARIED) and column not in _CHECKS and len(set(map(plain, runs[column]))) > 1
    )


def levels(values: "pd.Series[Any]") -> list[object]:
    """List the distinct values of a setting in ascending order, null last."""
    order = {
        value: (value is None, isinstance(value, str), 0 if value is None else value) for value in map(plain, values)
    }
    return sorted(order, key=order.__getitem__)


def blocks(runs: pd.DataFrame, constraints: Sequence[Constraint] = ()) -> list[Block]:
    """Split a study's runs into blocks, the one that ran last first: what was mended and run again is the headline.

    Blocks that ran last at the same time stay in the order in which they were first met. Torch's thread count is a
    blocking factor unless the study varies ``threads``: then it is what the setting does. Runs over data kept aside
    are in no block.

    Args:
        runs: Rows of the runs table.
        constraints: What a setting has to keep to be recommended.
    """
    runs = searched(runs)
    varied = varied_settings(runs)
    factors = tuple(factor for factor in BLOCK_FACTORS if factor != THREADS or "threads" not in varied)
    rows: dict[tuple[object, ...], list[int]] = {}
    for position, key in enumerate(_keys(runs, factors)):
        rows.setdefault(key, []).append(position)
    keyed = [(key, runs.iloc[positions].reset_index(drop=True)) for key, positions in rows.items()]
    # ISO 8601 in UTC sorts as text; a stable sort keeps its order in reverse too.
    keyed.sort(key=lambda item: str(item[1]["started_at"].max()), reverse=True)
    parts = [part for _, part in keyed]
    found = [
        {"data.name": plain(part["data.name"].iloc[0]), **dict(zip(factors, key, strict=True))} for key, part in keyed
    ]
    return [
        Block(title, values, part, settings_table(part, varied), varied, tuple(constraints))
        for title, values, part in zip(_titles(found), found, parts, strict=True)
    ]


def differences(found: Sequence[Block]) -> dict[str, tuple[str, ...]]:
    """Say what sets blocks apart: the factor's name for people, and its value in each block."""
    if not found:
        return {}
    shown = {name: tuple(value_of(block.factors[name], name) for block in found) for name in found[0].factors}
    return {name_of(name): values for name, values in shown.items() if len(set(values)) > 1}


def settings_table(runs: pd.DataFrame, varied: Sequence[str]) -> pd.DataFrame:
    """Aggregate the runs of one block to a row a trial, most accurate first, trials without a WER last.

    Args:
        runs: Rows of the runs table, of one block.
        varied: The settings that tell the trials apart.

    Returns:
        A frame indexed by ``trial_id`` with ``label`` (the settings as a phrase), the varied settings, ``runs``,
        ``runs_ok``, ``runs_pruned`` (ended early by racing, the longest after ``race_share`` of the audio), ``status``
        (``ok`` only if every run was), ``reason``, ``typical_run`` (the run of median speed), ``runs_judged`` and
        ``runs_valid`` (those whose timing was certified, and those whose timing is valid),
        counts of words summed over the runs that ended well, ``wer`` (a ratio of these sums), ``words_scored`` (the
        fewest reference words any such run scored), ``utterances``, ``utterances_failed``, ``repeats``, medians over
        runs of ``rtfx``, ``audio_s``, memory in MiB, latencies in seconds and cost, and of the typical run the phases
        in seconds and the counts of degenerate utterances.
    """
    rows = [_trial_row(str(trial), group, varied) for trial, group in runs.groupby("trial_id", sort=True)]
    numbers = [*_COUNTS, "wer", *_EXTREMES, *_MEDIANS, "inference_s", *PHASES, *DEGENERATE]
    told = ["trial_id", "label", *varied, *_RUNS, "status", "reason", "typical_run"]
    # A column in which every trial is null would otherwise lose its type.
    table = pd.DataFrame(rows, columns=[*told, *numbers]).astype(dict.fromkeys(numbers, float))
    # Two trials may differ in a setting that is not shown; their names must not be mistaken for one another.
    twice = table["label"].duplicated(keep=False)
    table.loc[twice, "label"] = table["label"] + " (" + table["trial_id"] + ")"
    ordered = table.sort_values(["wer", "rtfx", "label"], ascending=[True, False, True], na_position="last")
    return ordered.set_index("trial_id")


def failures_of(row: "pd.Series[Any]") -> int:
    """Count the runs of a row of the settings table that did not end well; what racing has ended is no failure."""
    return int(row["runs"] - row["runs_ok"] - row["runs_pruned"])


def _trial_row(trial_id: str, runs: pd.DataFrame, varied: Sequence[str]) -> dict[str, Any]:
    settings = {column: plain(runs[column].iloc[0]) for column in varied}
    good = runs[runs["status"] == Status.ok.value]
    pruned = runs[runs["status"] == Status.pruned.value]
    # What a race has ended is a result; a failure beside it is what has to be told.
    failed = runs[~runs["status"].isin([Status.ok.value, Status.pruned.value])]
    bad = pruned if failed.empty else failed
    reasons = [clean(str(plain(reason) or "no reason was recorded")) for reason in bad["status_reason"]]
    counts = {column: plain(good[column].sum(min_count=1)) for column in _COUNTS}
    words = counts["reference_words"]
    errors = sum(float(str(counts[column])) for column in _COUNTS[:3]) if words else None
    row: dict[str, Any] = {
        "trial_id": trial_id,
        "label": setting_label(settings or {column: plain(runs[column].iloc[0]) for column in _MAIN}),
        **settings,
        "runs": len(runs),
        "runs_ok": len(good),
        "runs_pruned": len(pruned),
        "runs_judged": int(good["valid"].notna().sum()),
        "runs_valid": int(good["valid"].eq(True).sum()),
        "status": Status.ok.value if bad.empty else bad["status"].iloc[0],
        "reason": "; ".join(dict.fromkeys(reasons)),
        **counts,
        "wer": errors / float(str(words)) if errors is not None else None,
        "words_scored": good["reference_words"].min(),
        "utterances": runs["utterances"].max(),
        "utterances_failed": good["utterances_failed"].max(),
        "race_share": pruned["race_share"].max(),
        **{column: good[column].median() for column in _MEDIANS},
    }
    return row | _typical_columns(good)


def _typical_columns(good: pd.DataFrame) -> dict[str, Any]:
    """Take the run of median speed: the phases of one run add up, medians taken phase by phase would not."""
    if good.empty:
        return {}
    timed = good.dropna(subset=["rtfx"])  # timings that are not valid may have been left out
    ordered = (good if timed.empty else timed).sort_values(["rtfx", "run_id"], ignore_index=True)
    typical = ordered.iloc[(len(ordered) - 1) // 2]
    passes = [len(times) for times in good["inference_s"] if times is not None]
    inference = [pd.Series(times).median() for times in good["inference_s"] if times is not None]
    return {
        "typical_run": typical["run_id"],
        "repeats": max(passes, default=None),
        "inference_s": pd.Series(inference, dtype=float).median(),
        **{column: typical[column] for column in (*PHASES, *DEGENERATE)},
    }


def _keys(runs: pd.DataFrame, factors: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """Yield each run's block.

    A run that died could not report its thread count. Such a run belongs to the block that agrees on all the rest, that
    of its own trial before any other.
    """
    keys = [tuple(map(plain, row)) for row in runs[list(factors)].itertuples(index=False, name=None)]
    if THREADS not in factors:
        yield from keys
        return
    at = factors.index(THREADS)
    trials = list(runs["trial_id"])
    known = [(trial, key) for trial, key in zip(trials, keys, strict=True) if key[at] is not None]
    for trial, key in zip(trials, keys, strict=True):
        agreeing = [] if key[at] is not None else [item for item in known if _without(item[1], at) == _without(key, at)]
        own = [item for item in agreeing if item[0] == trial]
        yield (own or agreeing or [(trial, key)])[0][1]


def _without(key: tuple[object, ...], at: int) -> tuple[object, ...]:
    return key[:at] + key[at + 1 :]


def _titles(found: Sequence[dict[str, object]]) -> list[str]:
    """Name blocks by data set and device, adding what differs only until no two names are the same."""
    titles = [f"{value_of(values['data.name'])} on {value_of(values['device'])}" for values in found]
    for factor in found[0] if found else ():
        if len(set(titles)) == len(titles):
            break
        if factor not in ("data.name", "device") and len({values[factor] for values in found}) > 1:
            extra = [f", {name_of(factor)} {value_of(values[factor], factor)}" for values in found]
            titles = [title + more for title, more in zip(titles, extra, strict=True)]
    return titles
