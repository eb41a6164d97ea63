"""What a setting heard, word by word against what was said: of the settings worth a look, within a budget of bytes."""

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from bench.config import NormalizerName
from bench.metrics import WER
from bench.printable import clean
from bench.report.degenerate import faults
from bench.report.frontier import Recommendation
from bench.report.tables import Block
from bench.score.alignment import align
from bench.score.normalize import Normalizer, normalizer

Piece: TypeAlias = str | int | list[str]
"""Words that are right; how many right words are left out here; or what was said and what was heard instead."""

_ERRORS = ["substitutions", "deletions", "insertions"]
# Right words kept on either side of an error; a longer stretch of them is counted, not shown.
_CONTEXT = 12
_MOST_WRONG = 150  # words kept at either end of an error
_WORST_SETTINGS = 3
_MOST_SETTINGS = 24
_MOST_UTTERANCES = 40
_MOST_DIFFERING = 10
_MOST_VERSIONS = 4


def pieces(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Piece]:
    """Lay out what was heard against what was said, both as normalised words.

    Of a long stretch without an error only the words next to an error are shown, of a long error both ends.
    """
    stretches = [
        (right, list(steps))
        for right, steps in itertools.groupby(align(reference, hypothesis), key=lambda step: step.right)
    ]
    told: list[Piece] = []
    for number, (right, steps) in enumerate(stretches):
        said = [reference[step.said] for step in steps if step.said is not None]
        heard = [hypothesis[step.heard] for step in steps if step.heard is not None]
        if right:
            told += _near_errors(said, 0 if number == 0 else _CONTEXT, 0 if number == len(stretches) - 1 else _CONTEXT)
        else:
            told.append([_ends(said), _ends(heard)])
    return told


def _ends(words: Sequence[str]) -> str:
    """Write an error's words; of many, such as a loop that a model fell into, both ends and how many lie between."""
    if len(words) <= 2 * _MOST_WRONG:
        return " ".join(words)
    between = f"[{len(words) - 2 * _MOST_WRONG} words]"
    return " ".join([*words[:_MOST_WRONG], between, *words[len(words) - _MOST_WRONG :]])


def _near_errors(words: Sequence[str], first: int, last: int) -> list[Piece]:
    """Keep the first and the last words of a long stretch, and count those between."""
    if len(words) <= 2 * _CONTEXT:
        return [" ".join(words)]
    parts: list[Piece] = [" ".join(words[:first]), len(words) - first - last, " ".join(words[len(words) - last :])]
    return [part for part in parts if part != ""]


@dataclass(frozen=True)
class Heard:
    """What one run heard.

    Attributes:
        rows: An utterance each, most errors first: ``id``, ``wer``, ``faults``, ``pieces``.
        left_out: How many utterances more there are.
    """

    rows: list[dict[str, Any]]
    left_out: int


def heard_by_trial(block: Block, trials: Sequence[str], utterances: pd.DataFrame, most_bytes: int) -> dict[str, Heard]:
    """Tell what settings heard, in their typical run.

    Args:
        block: The settings.
        trials: Which of them, the most wanted first.
        utterances: Rows of the utterances table, of these runs and any others.
        most_bytes: How much all may take, as JSON; who comes too late is left out.
    """
    of_run = {str(run): rows for run, rows in _typical(block, trials, utterances).groupby("run_id", sort=False)}
    normalize = _normalizer(block)
    found: dict[str, Heard] = {}
    for trial in trials:
        mine = of_run.get(str(block.row(trial)["typical_run"]))
        if mine is None:
            continue
        rows: list[dict[str, Any]] = []
        for row in _told(mine, normalize):
            most_bytes -= len(json.dumps(row))
            if most_bytes < 0:
                break
            rows.append(row)
        found[trial] = Heard(rows, len(mine) - len(rows))
    return found


def worth_a_look(block: Block, recommendation: Recommendation, tied: Collection[str] = ()) -> list[str]:
    """Choose the settings whose texts the page holds: the recommended ones, the worst, and the most accurate tied ones.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        tied: Which cannot be told from the best.
    """
    picks = recommendation.picks
    first = [] if picks is None else [picks.recommended, picks.fastest_within, picks.fastest, picks.least_memory]
    worst = block.table[WER.column].dropna().nlargest(_WORST_SETTINGS).index
    alike = [str(trial) for trial in block.table.index if trial in tied]
    return list(dict.fromkeys([*(trial for trial in first if trial), *map(str, worst), *alike]))[:_MOST_SETTINGS]


def differing(block: Block, utterances: pd.DataFrame) -> list[dict[str, Any]]:
    """Find the utterances that settings heard most differently, by the errors of the best and of the worst.

    Returns:
        A mapping each, the widest difference first: ``id``, ``range`` of word errors in words, ``left_out`` (further
        versions), and ``versions``: ``errors``, ``settings`` (who heard it so, in words), ``pieces``.
    """
    mine = _typical(block, list(block.table.index), utterances)
    if mine["run_id"].nunique() < 2:
        return []
    mine = mine.assign(errors=mine[_ERRORS].sum(axis=1))
    spans = mine.groupby("utterance_id", sort=True)["errors"].agg(["min", "max"])
    width = spans["max"] - spans["min"]
    widest = width[width > 0].nlargest(_MOST_DIFFERING).index
    normalize = _normalizer(block)
    labels = dict(zip(block.table["typical_run"], block.table["label"], strict=True))
    found = []
    for name in widest:
        rows = mine[mine["utterance_id"] == name]
        low, high = rows["errors"].min(), rows["errors"].max()
        found.append(versions_of(rows, labels, normalize) | {"range": f"{low:.0f} to {high:.0f} word errors"})
    return found


def versions_of(rows: pd.DataFrame, labels: Mapping[str, str], normalize: Normalizer) -> dict[str, Any]:
    """Lay out what several runs heard of one utterance.

    Args:
        rows: Its rows of the utterances table, a run each, with a column ``errors``.
        labels: What to call each run.
        normalize: What they were scored under.

    Returns:
        As an item of :func:`differing`, without ``range``.
    """
    versions = list(_versions(rows, labels))
    # Of many, the ends tell most.
    shown = versions if len(versions) <= _MOST_VERSIONS else [*versions[: _MOST_VERSIONS - 1], versions[-1]]
    return {
        "id": clean(str(rows["utterance_id"].iloc[0])),
        "versions": [
            {
                "errors": _counted(version["errors"], "error"),
                "settings": version["settings"],
                "pieces": pieces_of(version["reference"], version["hypothesis"], normalize),
            }
            for version in shown
        ],
        "left_out": len(versions) - len(shown),
    }


def _versions(rows: pd.DataFrame, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield each text that was heard of an utterance, fewest errors first, with who heard it."""
    groups = rows.groupby(["errors", "hypothesis"], sort=True)
    for (errors, hypothesis), group in groups:
        names = [labels[run] for run in group["run_id"]]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        yield {
            "errors": errors,
            "hypothesis": hypothesis,
            "reference": group["reference"].iloc[0],
            "settings": f"{_counted(len(names), 'setting')}: {'; '.join(names[:2])}{more}",
        }


def _typical(block: Block, trials: Sequence[str], utterances: pd.DataFrame) -> pd.DataFrame:
    """Take the scored utterances of the typical runs of settings."""
    runs = block.table.loc[list(trials), "typical_run"].dropna()
    return utterances[
        utterances["run_id"].isin(runs) & utterances["hypothesis"].notna() & utterances["reference"].notna()
    ]


def _told(rows: pd.DataFrame, normalize: Normalizer) -> Iterator[dict[str, Any]]:
    errors = rows[_ERRORS].sum(axis=1)
    ordered = rows.assign(errors=errors).sort_values(["errors", "utterance_id"], ascending=[False, True])
    for row in ordered.head(_MOST_UTTERANCES).to_dict("records"):
        yield {
            "id": clean(str(row["utterance_id"])),
            "wer": WER.show(row["wer"]),
            "faults": faults({str(name): value for name, value in row.items()}),
            "pieces": pieces_of(row["reference"], row["hypothesis"], normalize),
        }


def pieces_of(reference: object, hypothesis: object, normalize: Normalizer) -> list[Piece]:
    """Lay out two texts as :func:`pieces` does; nothing where one is null."""
    if not isinstance(reference, str) or not isinstance(hypothesis, str):
        return []
    return pieces(*(clean(normalize(text)).split() for text in (reference, hypothesis)))


def _normalizer(block: Block) -> Normalizer:
    return normalizer(NormalizerName(str(block.factors["score.normalizer"])))


def _counted(count: float, what: str) -> str:
    return f"{count:.0f} {what}{'' if count == 1 else 's'}"
