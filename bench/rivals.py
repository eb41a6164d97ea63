"""Whom a run is raced against: the best finished runs over the same data."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from bench.config import SearchConfig
from bench.data.holdout import Part
from bench.ledger import Ledger
from bench.races import Race, Rival
from bench.records import Job, Status
from bench.score.normalize import normalizer
from bench.score.race import JUDGED, order_of, unit_errors
from bench.search.objectives import Goal, parse_goal

# The level is shared among rivals, so more of them are no help.
_MOST_RIVALS = 5


def goal_of_races(search: SearchConfig) -> str:
    """Write what races are run for; runs ended for one goal might have gone on for another."""
    goal = str(parse_goal(search.objectives, search.constraints))
    return f"{goal} by a margin of {search.racing_margin:g}" if search.racing_margin else goal


class Rivals:
    """Sets the terms of races: who the rivals are, and how they did.

    Args:
        goal: What is sought; a rival is better than all others in one objective at least.
        ledger: The finished runs.
    """

    def __init__(self, goal: Goal, ledger: Ledger) -> None:
        self._goal = goal
        self._ledger = ledger
        self._rivals: dict[tuple[str, int], Rival | None] = {}

    def race(self, job: Job) -> Race:
        """Set the terms for a run; the first over its data has no rivals."""
        rows = [
            row
            for row in self._ledger.rows(Part.search)
            if row["status"] == Status.ok
            and row["data.fingerprint"] == job.data_fingerprint
            and row["race_stage_s"]
            and row["trial_id"] != job.trial_id
            and self._goal.keeps(row)
            and all(row[metric.column] is not None for metric in self._goal.objectives)
        ]
        columns = tuple(metric.column for metric in self._goal.objectives)
        best = [self._rival(row, job) for row in self._front(rows)[:_MOST_RIVALS]]
        rivals = tuple(rival for rival in best if rival is not None)
        search = job.config.search
        return Race(search.racing_level, columns, goal_of_races(search), rivals, search.racing_margin)

    def _front(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Keep the rows that no other is as good as in all objectives; of equals, the first to run."""
        found: list[tuple[list[float], Mapping[str, Any]]] = []
        # In this order, whatever is as good as a row stands before it.
        for row in sorted(rows, key=lambda row: (self._values(row), row["trial_number"], row["run_id"])):
            values = self._values(row)
            if not any(all(map(operator.le, other, values)) for other, _ in found):
                found.append((values, row))
        return [row for _, row in found]

    def _values(self, row: Mapping[str, Any]) -> list[float]:
        """Return the objectives of a run, all of them to be made small."""
        return [row[one.column] if one.smaller_is_better else -row[one.column] for one in self._goal.objectives]

    def _rival(self, row: Mapping[str, Any], job: Job) -> Rival | None:
        """Describe a finished run; null where its texts cannot be paired with those of the run to come."""
        key = row["run_id"], job.config.seed  # the seed orders the units
        if key not in self._rivals:
            errors = self._errors(row["run_id"], job)
            peaks_mib = {name: row[name] for name in JUDGED if name.startswith("peak_") and row[name] is not None}
            self._rivals[key] = (
                None
                if errors is None
                else Rival(
                    run_id=row["run_id"],
                    errors=errors,
                    stage_share=tuple(row["race_stage_share"]),
                    stage_s=tuple(row["race_stage_s"]),
                    peaks_mib=peaks_mib,
                    stage_words=tuple(row["race_stage_words"] or ()),  # runs of older versions have none
                )
            )
        return self._rivals[key]

    def _errors(self, run_id: str, job: Job) -> tuple[float, ...] | None:
        """Count the errors of each unit anew from the texts, as the referee of the next run does.

        Null where files were renamed since, or the weights are random and say nothing.
        """
        texts = {row["utterance_id"]: row for row in self._ledger.texts(run_id)}
        if set(texts) != {item.utterance_id for item in job.utterances}:
            return None
        usable = [item for item in job.utterances if texts[item.utterance_id]["error"] is None]
        said = [texts[item.utterance_id]["hypothesis"] for item in usable]
        if None in said:
            return None
        normalize = normalizer(job.config.score.normalizer)
        order = order_of(usable, job.config.seed)
        pairs = [(normalize(usable[place].text), normalize(said[place])) for place in order]
        return tuple(unit_errors(pairs).tolist())
