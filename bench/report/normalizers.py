"""One study under several normalisers: each setting's WER under each, and whether its ranking depends on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.config import NormalizerName
from bench.metrics import WER
from bench.records import Status
from bench.report.accuracy import accuracy
from bench.report.frontier import recommend
from bench.report.labels import value_of
from bench.report.sheet import sheet
from bench.report.tables import Block, blocks
from bench.storage import Place
from bench.store import load_runs, load_scores, load_utterances

_ERRORS = ["substitutions", "deletions", "insertions"]
_OWN = "own"


@dataclass(frozen=True, eq=False)
class Rankings:
    """The settings of one block of a study (see :mod:`bench.report.tables`) under several normalisers.

    Attributes:
        title: The block's name.
        own: The normaliser the runs themselves were scored under.
        others: Those their texts were scored under later; ``own`` may be among them.
        table: A row a setting, indexed by ``trial_id``: its ``label``, its WER under its ``own`` normaliser, and under
            each of the others in a column of that name. Lowest own WER first; null where there is none.
        lacking: Settings that have runs not scored under one of the others, which leaves them without a rate there.
        tied: Settings that cannot be told from the best, under ``own`` and each of the others, by the names of the
            columns; none where too little was scored to tell.
    """

    title: str
    own: str
    others: tuple[str, ...]
    table: pd.DataFrame
    lacking: dict[str, int]
    tied: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Write it for people: the heads of a table, and a row a setting."""
        heads = [
            "setting",
            f"WER under {self.own} (the study's own)",
            *(f"WER under {self._said(n)}" for n in self.others),
        ]
        rates = [_OWN, *self.others]
        rows = [
            [str(row["label"]), *(WER.show(row[name]) + self._mark(str(trial), name) for name in rates)]
            for trial, row in self.table.iterrows()
        ]
        return heads, rows

    def warnings(self) -> list[str]:
        """Say under which of the others another setting is best, or others cannot be told from the best."""
        found = []
        for name in self.others:
            both = self.table.dropna(subset=[_OWN, name])
            if len(both) > 1 and not set(_lowest(both, _OWN)) & set(_lowest(both, name)):
                found.append(f"Which setting is best depends on the normaliser. {self._verdict(name)}")
            own, other = (self.tied.get(which, frozenset()) for which in (_OWN, name))
            if own and other and own != other:
                labels = [_labels(self.table, one) for one in (own - other, other - own)]
                under = [
                    f"only under {which} {told}" for which, told in zip((self.own, name), labels, strict=True) if told
                ]
                found.append(
                    f"Which settings cannot be told from the best depends on the normaliser: {'; '.join(under)}."
                )
        return found

    def notes(self) -> list[str]:
        """Say whether the ranking depends on the normaliser, a line for each of the others, and what is lacking."""
        told = [
            f"Not all runs are scored under {name} (settings concerned: {count}); to mend it: score.normalizer={name}"
            for name, count in self.lacking.items()
        ]
        return [*(self._verdict(name) for name in self.others), *told]

    def _mark(self, trial: str, name: str) -> str:
        return ", tied" if len(self.tied.get(name, ())) > 1 and trial in self.tied[name] else ""

    def _said(self, name: str) -> str:
        return f"{name}, scored anew" if name == self.own else name

    def _verdict(self, name: str) -> str:
        """Compare the ranking under one of the others with the runs' own."""
        from scipy.stats import kendalltau  # here, since it takes half a second to import

        both = self.table.dropna(subset=[_OWN, name])
        own, other = both[_OWN], both[name]
        said = self._said(name)
        if len(both) < 2:
            return f"No ranking to compare: it takes two settings with a WER under {self.own} and {said}."
        if own.nunique() == other.nunique() == 1:
            return f"All {len(both)} settings have the same WER, under {self.own} and under {said}."
        flat = [which for which, rates in ((self.own, own), (said, other)) if rates.nunique() == 1]
        # Tau-b, which allows for ties; 1 is the same order, -1 the reverse.
        tau = (
            f"all have the same WER under {flat[0]}, so Kendall's tau is not defined"
            if flat
            else f"Kendall's tau is {kendalltau(own, other).statistic:.2f}"
        )
        ranking = f"The ranking of {len(both)} settings"
        first, second = (_best(both, rates) for rates in (own, other))
        if own.rank(method="dense").equals(other.rank(method="dense")):
            return f"{ranking} is the same under {self.own} and {said}: best is {first}; {tau}."
        if first == second:
            return (
                f"{ranking} depends on the normaliser, but not which is best: under {self.own} and {said} it is"
                f" {first}; {tau}."
            )
        return f"{ranking} depends on the normaliser: best under {self.own} is {first}, under {said} {second}; {tau}."


def rankings(study_dir: Place, first: NormalizerName) -> list[Rankings]:
    """Set a study's normalisers against each other, within each of its blocks.

    Args:
        study_dir: The study's folder of results.
        first: Which of those added later to show first.

    Raises:
        StoreError: There is no such study.
    """
    found = blocks(load_runs(study_dir))
    return _of_blocks(found, load_scores(study_dir), load_utterances(study_dir), first)


def normalizer_sections(study_dir: Place, found: Sequence[Block], utterances: pd.DataFrame) -> list[dict[str, Any]]:
    """Set a study's normalisers against each other, as tables for the templates.

    Args:
        study_dir: The study's folder of results.
        found: Its blocks.
        utterances: Its utterances.

    Returns:
        A table a block, with its ``title``, ``warnings`` and ``notes``; none where nothing was scored anew.
    """
    scores = load_scores(study_dir)
    if scores.empty:
        return []
    ranked = _of_blocks(found, scores, utterances, next(iter(NormalizerName)))
    return [
        sheet(*one.cells(), title=one.title, warnings=one.warnings(), notes=one.notes()) for one in ranked if one.others
    ]


def _of_blocks(
    found: Sequence[Block], scores: pd.DataFrame, utterances: pd.DataFrame, first: NormalizerName
) -> list[Rankings]:
    present = set(scores["normalizer"])
    names = [name.value for name in (first, *(one for one in NormalizerName if one is not first))]
    return [_of_block(block, scores, [name for name in names if name in present], utterances) for block in found]


def _of_block(block: Block, scores: pd.DataFrame, names: Sequence[str], utterances: pd.DataFrame) -> Rankings:
    # The settings' own rates are those of runs that ended well, so these are too.
    good = block.runs[block.runs["status"] == Status.ok.value]
    wanted = scores[scores["run_id"].isin(good["run_id"])]
    table = block.table[["label"]].assign(**{_OWN: block.table["wer"]})
    lacking = {}
    for name in names:
        found = wanted[wanted["normalizer"] == name].groupby("trial_id")
        sums = found[[*_ERRORS, "reference_words"]].sum()
        rates = sums[_ERRORS].sum(axis=1) / sums["reference_words"].where(sums["reference_words"] > 0)
        scored = found["run_id"].nunique().reindex(table.index, fill_value=0)
        complete = scored == block.table["runs_ok"]
        table[name] = rates.reindex(table.index).where(complete)
        if not complete.all():
            lacking[name] = int((~complete).sum())
    return Rankings(
        block.title,
        value_of(block.factors["score.normalizer"]),
        tuple(names),
        table,
        lacking,
        _tied(block, wanted, [name for name in names if name not in lacking], utterances),
    )


def _tied(
    block: Block, scores: pd.DataFrame, names: Sequence[str], utterances: pd.DataFrame
) -> dict[str, frozenset[str]]:
    """Find the settings that cannot be told from the best, under the block's own normaliser and others."""
    recommendation = recommend(block)
    texts = utterances[["run_id", "utterance_id", "speaker", "path", "reference", "hypothesis"]]
    tied = {_OWN: accuracy(block, recommendation, utterances).tied}
    for name in names:
        rows = scores[scores["normalizer"] == name]
        columns = ["run_id", "trial_id", "utterance_id", *_ERRORS, "reference_words"]
        both = rows[columns].merge(texts, on=["run_id", "utterance_id"])
        tied[name] = accuracy(block, recommendation, both, name).tied
    return tied


def _lowest(settings: pd.DataFrame, name: str) -> list[str]:
    rates = settings[name]
    return [str(trial) for trial in settings.index[rates == rates.min()]]


def _labels(settings: pd.DataFrame, trials: frozenset[str]) -> str:
    return _listed([str(label) for trial, label in settings["label"].items() if trial in trials])


def _best(settings: pd.DataFrame, rates: "pd.Series[float]") -> str:
    """Name the settings of the lowest rate."""
    return _listed([str(label) for label in settings["label"][rates == rates.min()]])


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return " and ".join(labels[:3]) + more
