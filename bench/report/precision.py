"""How surely the recommended setting's WER is known, by the errors it made, and whether there is data enough."""

from dataclasses import dataclass, field

from bench.metrics import WER
from bench.report.accuracy import Accuracy
from bench.report.frontier import Recommendation
from bench.report.tables import Block
from bench.score.precision import FEWEST_UNITS
from bench.score.testset import counted, doubt, growth, scope


@dataclass(frozen=True)
class Certainty:
    """What is said of how surely a WER is known, as sentences; none where there is no WER.

    Attributes:
        told: Its interval and how much data would narrow that to a point, to follow the verdict.
        caveats: What the interval does not tell.
    """

    told: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def certainty(block: Block, recommendation: Recommendation, found: Accuracy) -> Certainty:
    """Say how surely the WER of a block's recommended setting is known.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        found: What their errors tell.
    """
    clusters = found.clusters
    if found.best is None or clusters is None:
        return Certainty()
    shown = WER.show(block.row(found.best)[WER.column])
    amount = f"{counted(len(clusters.numbers), 'utterance')} {clusters.origin}"
    precision = found.precisions.get(found.best)
    if precision is None:
        few = f"errors in fewer than {FEWEST_UNITS} independent parts of them do not show how much they vary"
        return Certainty([f"The WER of {shown} ({amount}) has no interval: {few}."])
    parts = [
        f"The WER of {shown} ({amount}) has a 95 % interval from {found.interval(found.best)}"
        f"{scope(precision, clusters)}",
        growth(precision, clusters),
        doubt(precision, clusters),
    ]
    told = "; ".join(part for part in parts if part) + "."
    if recommendation.compared < 2:
        return Certainty([told])
    return Certainty(
        [told],
        [
            "The intervals of two settings may overlap though the settings differ: both heard the same speech, and what"
            " is hard for one is hard for the other. Whether they differ is told utterance by utterance (against the"
            " best).",
            f"Nor does an interval know that the setting was chosen of {recommendation.compared} by these very numbers,"
            " which makes its WER look better than it is; data kept aside (search.holdout) tell.",
        ],
    )
