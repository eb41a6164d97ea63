"""From a row a run to a row a setting, within blocks of runs that may be compared at all.

A *block* is one data set under one normaliser, on one device of one checked environment, measured in one way.
Everything a report says about "better" is said within a block, so no setting wins because it met an easier corpus or a
faster machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.config import Parity, left_to_engine
from bench.data.holdout import Part
from bench.metrics import COLD, COST, UTTERANCE_LATENCIES, WINDOW_LATENCIES
from bench.printable import clean
from bench.readings import PHASES as INFERENCE_PHASES
from bench.records import Status
from bench.report.engine_versions import EARLIER_ENGINE, with_earlier_engines
from bench.report.labels import NATIVE, name_of, plain, setting_label, value_of
from bench.report.timings import without_shared
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
    "env.cpu_flags",
    "env.cpu_cores",
    "env.cpu_usable",
    "env.gpu",
    "env.gpu_driver",
    "env.torch",
    "env.transformers",
    "env.python",
    EARLIER_ENGINE,
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

_PARITY = "decode.parity"

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
    """Name the settings that take more than one value and may change a result, in the configuration's order.

    What an engine does by its own defaults has no value, which is no other one.
    """
    locked = runs[runs[_PARITY].ne(Parity.native.value)]
    return tuple(
        column
        for column in SETTINGS
        if not column.startswith(_NOT_VARIED)
        and column not in _CHECKS
        and len(set(map(plain, (locked if left_to_engine(NATIVE, column) else runs)[column]))) > 1
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
    are in no block, and what ran beside others has no timings.

    Args:
        runs: Rows of the runs table.
        constraints: What a setting has to keep to be recommended.
    """
    runs = with_earlier_engines(without_shared(searched(runs)))
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
    good = runs[runs["status"] == Status.ok.value]
    numbers = [*_COUNTS, "wer", *_EXTREMES, *_MEDIANS, "inference_s", *PHASES, *DEGENERATE]
    parts = [_labels(runs, varied), _run_counts(runs, good), _endings(runs), _measured(runs, good), _typical(good)]
    table = pd.concat(parts, axis=1)[["label", *varied, *_RUNS, "status", "reason", "typical_run", *numbers]]
    # A column in which every trial is null would otherwise lose its type.
    table = table.astype(dict.fromkeys(numbers, float) | dict.fromkeys(_RUNS, int)).rename_axis("trial_id")
    # Two trials may differ in a setting that is not shown; their names must not be mistaken for one another.
    twice = table["label"].duplicated(keep=False)
    table.loc[twice, "label"] = table["label"] + " (" + table.index.astype(str) + ")"
    return table.sort_values(["wer", "rtfx", "label"], ascending=[True, False, True], na_position="last")


def failures_of(row: "pd.Series[Any]") -> int:
    """Count the runs of a row of the settings table that did not end well; what racing has ended is no failure."""
    return int(row["runs"] - row["runs_ok"] - row["runs_pruned"])


def _labels(runs: pd.DataFrame, varied: Sequence[str]) -> pd.DataFrame:
    """Name each trial, in the order of the names, and tell its settings."""
    first = runs.drop_duplicates("trial_id").sort_values("trial_id")
    settings = [dict(zip(varied, map(plain, row), strict=True)) for row in _rows(first, varied)]
    main = [dict(zip(_MAIN, map(plain, row), strict=True)) for row in _rows(first, _MAIN)]
    # What an engine did by its own defaults says so everywhere.
    own = [{_PARITY: parity} if parity == Parity.native else {} for parity in first[_PARITY]]
    rows = [
        {"label": setting_label((some or usual) | more), **some}
        for some, usual, more in zip(settings, main, own, strict=True)
    ]
    return pd.DataFrame(rows, index=first["trial_id"].to_numpy(), columns=["label", *varied])


def _rows(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    # Without columns, itertuples yields nothing at all.
    return frame[list(columns)].itertuples(index=False, name=None) if columns else iter([()] * len(frame))


def _run_counts(runs: pd.DataFrame, good: pd.DataFrame) -> pd.DataFrame:
    """Count each trial's runs, by how they ended and whether their timing is valid."""
    marks = {
        "runs": runs["status"].notna(),
        "runs_ok": runs["status"] == Status.ok.value,
        "runs_pruned": runs["status"] == Status.pruned.value,
        "runs_judged": runs.index.isin(good.index) & runs["valid"].notna(),
        "runs_valid": runs.index.isin(good.index) & runs["valid"].eq(True),
    }
    return pd.DataFrame(marks).groupby(runs["trial_id"]).sum()


def _endings(runs: pd.DataFrame) -> pd.DataFrame:
    """Tell how each trial ended: ``ok`` only if every run did."""
    ends = {str(trial): (Status.ok.value, "") for trial in runs["trial_id"].unique()}
    for trial, bad in runs[runs["status"] != Status.ok.value].groupby("trial_id"):
        # What a race has ended is a result; a failure beside it is what has to be told.
        failed = bad[bad["status"] != Status.pruned.value]
        told = bad if failed.empty else failed
        reasons = [clean(str(plain(reason) or "no reason was recorded")) for reason in told["status_reason"]]
        ends[str(trial)] = (told["status"].iloc[0], "; ".join(dict.fromkeys(reasons)))
    return pd.DataFrame.from_dict(ends, orient="index", columns=["status", "reason"])


def _measured(runs: pd.DataFrame, good: pd.DataFrame) -> pd.DataFrame:
    """Add up each trial's words, and take extremes and medians over its runs."""
    by_trial = good.groupby("trial_id")
    counts = by_trial[list(_COUNTS)].sum(min_count=1)
    words = counts["reference_words"]
    passes = good["inference_s"].dropna()
    columns: list[pd.DataFrame | pd.Series[Any]] = [
        counts,
        (counts[list(_COUNTS[:3])].sum(axis=1) / words.where(words > 0)).rename("wer"),
        by_trial["reference_words"].min().rename("words_scored"),
        runs.groupby("trial_id")["utterances"].max(),
        by_trial["utterances_failed"].max(),
        passes.map(len).groupby(good["trial_id"]).max().rename("repeats"),
        runs[runs["status"] == Status.pruned.value].groupby("trial_id")["race_share"].max(),
        by_trial[list(_MEDIANS)].median(),
        passes.map(np.median).groupby(good["trial_id"]).median(),
    ]
    return pd.concat(columns, axis=1)


def _typical(good: pd.DataFrame) -> pd.DataFrame:
    """Take the run of median speed: the phases of one run add up, medians taken phase by phase would not."""
    timed = good["rtfx"].notna()  # timings that are not valid may have been left out
    pool = good[timed | ~timed.groupby(good["trial_id"]).transform("any")]
    by_trial = pool.sort_values(["rtfx", "run_id"]).groupby("trial_id")
    middle = by_trial.cumcount() == (by_trial["run_id"].transform("size") - 1) // 2
    typical = pool.loc[middle[middle].index].set_index("trial_id")
    return typical[["run_id", *PHASES, *DEGENERATE]].rename(columns={"run_id": "typical_run"})


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
