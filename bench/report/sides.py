"""The two sides of a comparison: settings of one study or two, named or matched."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.errors import StoreError
from bench.metrics import Metric
from bench.records import Status
from bench.report.labels import plain, setting_label
from bench.report.selection import Selection, load_blocks, trial_of
from bench.report.tables import Block, searched, varied_settings
from bench.report.timings import without_invalid, without_shared
from bench.store import load_runs, load_utterances


@dataclass(frozen=True, eq=False)
class Side:
    """One setting.

    Attributes:
        study: Name of its study.
        trial_id: Its trial.
        label: What is particular to it within its study.
        runs: Its runs that ended well.
        failed: How many did not.
    """

    study: str
    trial_id: str
    label: str
    runs: pd.DataFrame
    failed: int

    @property
    def name(self) -> str:
        """The setting as a user may name it."""
        return f"{self.study}:{self.trial_id}"

    def first(self, column: str) -> object:
        """Value of a column in its latest run."""
        return plain(self.runs[column].iloc[-1])

    def values(self, metric: Metric) -> tuple[float, ...]:
        """What its runs measured."""
        return tuple(float(value) for value in self.runs[metric.column].dropna())


@dataclass(frozen=True, eq=False)
class Study:
    """One of the two studies.

    Attributes:
        chosen: What was named of it.
        runs: Its runs.
        found: Its blocks.
    """

    chosen: Selection
    runs: pd.DataFrame
    found: Sequence[Block]

    @classmethod
    def load(cls, chosen: Selection, valid_only: bool) -> "Study":
        """Load a study; ``valid_only`` leaves timings that are known not to be valid out.

        Raises:
            StoreError: There is no such study, or none of its runs has ended.
        """
        runs = without_shared(searched(load_runs(chosen.study_dir)))
        runs = without_invalid(runs) if valid_only else runs
        return cls(chosen, runs, load_blocks(chosen, runs))

    @property
    def name(self) -> str:
        """What the user named."""
        return self.chosen.study if self.chosen.trial is None else f"{self.chosen.study}:{self.chosen.trial}"

    def varied_with(self, other: "Study") -> tuple[str, ...]:
        """Name what varies within either study, the device and the data first."""
        parts = (self.runs, other.runs)
        more = [name for name in ("device", "data.name") if any(runs[name].nunique() > 1 for runs in parts)]
        return (*more, *dict.fromkeys(name for runs in parts for name in varied_settings(runs)))

    def side(self) -> Side:
        """Return the setting that was named, or the recommended one.

        Raises:
            StoreError: There is none, or no run of it ended well.
        """
        return self._side(*trial_of(self.found, self.chosen))

    def sides(self, varied: Sequence[str]) -> dict[str, Side]:
        """Map the settings that ended well to what they are called; of those called alike, the last to run counts."""
        every = [(block, str(trial)) for block in self.found for trial in block.table.index[block.table["runs_ok"] > 0]]
        return {_label(block, trial, varied): self._side(block, trial) for block, trial in reversed(every)}

    def labels(self, varied: Sequence[str]) -> set[str]:
        """Say what all settings are called, whether they ended well or not."""
        return {_label(block, str(trial), varied) for block in self.found for trial in block.table.index}

    def texts(self, sides: Sequence[Side]) -> dict[str, pd.DataFrame]:
        """Load the utterances of settings, by trial."""
        rows = load_utterances(self.chosen.study_dir, {run for side in sides for run in side.runs["run_id"]})
        found = {str(trial): part for trial, part in rows.groupby("trial_id", sort=False)}
        return {side.trial_id: found.get(side.trial_id, rows.iloc[:0]) for side in sides}

    def _side(self, block: Block, trial_id: str) -> Side:
        mine = block.runs[block.runs["trial_id"] == trial_id]
        good = mine[mine["status"] == Status.ok.value]
        row = block.row(trial_id)
        side = Side(self.chosen.study, trial_id, str(row["label"]), good, len(mine) - len(good))
        if good.empty:
            raise StoreError(
                f"no run of {side.name} ({side.label}) ended well: {row['reason']}; mend that, run it again"
            )
        return side


def _label(block: Block, trial_id: str, varied: Sequence[str]) -> str:
    run = block.runs[block.runs["trial_id"] == trial_id].iloc[0]
    return setting_label({name: plain(run[name]) for name in varied})


def matched(first: Study, second: Study) -> dict[str, tuple[Side | None, Side | None]]:
    """Match the settings of two studies by whatever varies within either."""
    varied = first.varied_with(second)
    ours, theirs = first.sides(varied), second.sides(varied)
    ordered = sorted({**ours, **theirs}, key=lambda label: _place((ours.get(label) or theirs[label]), varied))
    return {label: (ours.get(label), theirs.get(label)) for label in ordered}


def _place(side: Side, varied: Sequence[str]) -> tuple[tuple[bool, str, float], ...]:
    """Order settings by their values, numbers as numbers."""
    values = [side.first(name) for name in varied]
    return tuple(
        (value is None, "", float(value)) if isinstance(value, int | float) else (value is None, str(value), 0.0)
        for value in values
    )
