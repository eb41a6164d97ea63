"""How a user names a study, or one setting of it: ``STUDY`` or ``STUDY:TRIAL``."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.errors import StoreError
from bench.report.description import description
from bench.report.frontier import recommend
from bench.report.searching import goal_of
from bench.report.tables import Block, blocks
from bench.storage import Place, place
from bench.store import load_runs

BEST = "best"
"""In the place of a trial, the setting that the study's report recommends."""

_MOST_NAMED = 5


@dataclass(frozen=True)
class Selection:
    """A study, or a setting of it.

    Attributes:
        study_dir: The study's folder; whether there is one is not known yet.
        trial: Beginning of a ``trial_id``, a ``run_id``, or :data:`BEST`; null is the whole study.
    """

    study_dir: Place
    trial: str | None = None

    @property
    def study(self) -> str:
        """The study's name."""
        return self.study_dir.resolve().name


def selection(text: str, results: Place) -> Selection:
    """Read what a user named.

    Args:
        text: A study by its name under ``results`` or by its folder, and after a colon the setting, if one is meant.
        results: Folder that holds the studies.
    """
    if (whole := _study_dir(text, results)) is not None:
        return Selection(whole)
    study, colon, trial = text.rpartition(":")
    if colon and "/" not in trial:  # that would be the colon of a URL
        return Selection(_study_dir(study, results) or _named(study, results), trial)
    return Selection(_named(text, results))


def is_study(text: str, results: Place) -> bool:
    """Tell whether a text names a study there is, or a setting of one."""
    return (selection(text, results).study_dir / "study.yaml").exists()


def trial_of(found: Sequence[Block], chosen: Selection) -> tuple[Block, str]:
    """Find the setting that is meant, and the block that ran last of those it is in.

    Args:
        found: The study's blocks, the one that ran last first.
        chosen: The study and the trial; none means the recommended setting.

    Raises:
        StoreError: No setting is meant by that, or several are; the message lists some.
    """
    if chosen.trial in (None, BEST):
        return _recommended(found, chosen)
    wanted = str(chosen.trial)
    trials = {str(trial): block for block in reversed(found) for trial in block.table.index}
    trial_id = wanted.partition("-")[0]  # of a run_id
    fit = [trial for trial in trials if trial.startswith(trial_id)] if trial_id else []
    if len(fit) == 1:
        return trials[fit[0]], fit[0]
    fault = f"{len(fit)} settings begin with {wanted}" if fit else f"no setting begins with {wanted!r}"
    listed = [f"{trial} ({trials[trial].row(trial)['label']})" for trial in (fit or trials)]
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    raise StoreError(
        f"study {chosen.study}: {fault}; name one of {', '.join(listed[:_MOST_NAMED]) or 'none'}{more}, or {BEST}"
        f" ('asr-sweep show {chosen.study}' lists them)"
    )


def load_blocks(chosen: Selection, runs: pd.DataFrame | None = None) -> list[Block]:
    """Load a study's blocks, with what a setting has to keep to be recommended.

    Args:
        chosen: The study.
        runs: Its runs, where they are loaded already.

    Raises:
        StoreError: There is no such study, or none of its runs has ended.
    """
    runs = load_runs(chosen.study_dir) if runs is None else runs
    goal = goal_of(description(chosen.study_dir).get("config") or {})
    found = blocks(runs, goal.constraints)
    if not found:
        raise StoreError(f"study {chosen.study} has no finished run; run it first")
    return found


def _recommended(found: Sequence[Block], chosen: Selection) -> tuple[Block, str]:
    recommendation = recommend(found[0])
    if recommendation.picks is None:
        raise StoreError(
            f"study {chosen.study}: {recommendation.reason}; name a setting as {chosen.study}:TRIAL"
            f" ('asr-sweep show {chosen.study}' lists them)"
        )
    return found[0], recommendation.picks.recommended


def _named(text: str, results: Place) -> Place:
    """Return the folder that a name or URL stands for, whether or not there is one."""
    return place(text) if "://" in text else results / text


def _study_dir(text: str, results: Place) -> Place | None:
    candidates: tuple[Place, ...] = (place(text),) if "://" in text else (place(text), results / text)
    return next((folder for folder in candidates if text and (folder / "study.yaml").exists()), None)
