"""The setting that a study's report recommends in its first line, for whoever wants to use it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.config import AUTO, Config, flatten
from bench.errors import StoreError
from bench.report.description import description
from bench.report.frontier import recommend
from bench.report.labels import plain
from bench.report.searching import goal_of
from bench.report.tables import blocks
from bench.report.verdict import headline
from bench.storage import Place
from bench.store import load_runs


@dataclass(frozen=True)
class Choice:
    """What a study came to.

    Attributes:
        sentence: The report's first line: the setting, with its WER and its cost.
        settings: All settings of its runs that the results know, by their dotted names.
        model_fingerprint: Equal for equal files of the model; null for an engine without any.
        apart: What was not compared with it: titles of the study's other blocks (see :mod:`bench.report.tables`).
    """

    sentence: str
    settings: Mapping[str, object]
    model_fingerprint: str | None
    apart: tuple[str, ...]


def chosen(study_dir: Place) -> Choice:
    """Find the setting that a study's report recommends in its first line.

    Raises:
        StoreError: There is no such study, or nothing of it can be recommended; the message says why.
    """
    runs = load_runs(study_dir)
    goal = goal_of(description(study_dir).get("config") or {})
    found = blocks(runs, goal.constraints)
    name = study_dir.resolve().name
    if not found:
        raise StoreError(f"study {name} has no finished run, so nothing can be recommended; run it first")
    recommendation = recommend(found[0])
    if recommendation.picks is None:
        raise StoreError(
            f"study {name}: {recommendation.reason}; mend what failed and run it again ('asr-sweep report {name}' shows"
            " the reasons), or name the settings yourself"
        )
    mine = found[0].runs[found[0].runs["trial_id"] == recommendation.picks.recommended]
    latest = mine.iloc[-1]  # runs of a trial differ at most in where its model lies
    settings = {column: plain(latest[column]) for column, _ in flatten(Config()) if column in mine.columns}
    if settings["decode.batch_size"] is None:
        settings["decode.batch_size"] = AUTO
    fingerprint = plain(latest["model.fingerprint"])
    return Choice(
        headline(found[0], recommendation),
        settings,
        None if fingerprint is None else str(fingerprint),
        tuple(block.title for block in found[1:]),
    )
