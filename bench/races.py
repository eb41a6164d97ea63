"""What runs in a race are told and tell: whom to beat, on which terms, and how far they got."""

from collections.abc import Mapping
from dataclasses import dataclass, field


def how_beaten(margin: float) -> str:
    """Say what was shown of a run that was ended, before the name of its rival."""
    return f"not {100 * margin:g} % better than" if margin else "worse than"


@dataclass(frozen=True)
class Rival:
    """A finished run that others are raced against.

    Attributes:
        run_id: Its name.
        errors: Word errors of each unit of the data, in the order of the race; see :mod:`bench.score.race`.
        stage_share: Share of the audio that was transcribed at the end of each stage.
        stage_s: Inference seconds of each stage.
        stage_words: Reference words that it had come to at the end of each stage, as far as its text tells.
        peaks_mib: Its peaks of memory, by column of the runs table.
    """

    run_id: str
    errors: tuple[float, ...]
    stage_share: tuple[float, ...]
    stage_s: tuple[float, ...]
    peaks_mib: Mapping[str, float]
    stage_words: tuple[int, ...] = ()


@dataclass(frozen=True)
class Race:
    """The terms on which a run may be ended early.

    Attributes:
        level: Greatest probability of ending a run that deserves to go on.
        objectives: Columns that a rival must be better in, all of them.
        goal: All that is sought, constraints too, as text; runs ended under another one would have gone on, or others
            would have been ended.
        rivals: Whom to beat; without any, the run is only divided into the same stages as the others.
        margin: By what share of a rival's value a run must be better to deserve to go on.
    """

    level: float
    objectives: tuple[str, ...]
    goal: str
    rivals: tuple[Rival, ...] = ()
    margin: float = 0.0


@dataclass(frozen=True)
class Standing:
    """How far a run got in a race.

    Attributes:
        share: Share of the audio that was transcribed.
        stage_share: The same at the end of each stage so far.
        stage_s: Inference seconds of each stage so far.
        stage_words: Reference words that it had come to at the end of each stage, as far as its text tells.
        wer: Word error rate on the units that were complete; null where none was.
        rtfx: Seconds of audio for each second of inference so far.
        peaks_mib: Peaks of memory so far, by column of the runs table.
        beaten_by: The rival it is worse than beyond doubt; null where it was completed.
    """

    share: float
    stage_share: tuple[float, ...]
    stage_s: tuple[float, ...]
    stage_words: tuple[int, ...]
    wer: float | None
    rtfx: float
    peaks_mib: Mapping[str, float | None] = field(default_factory=dict)
    beaten_by: str | None = None
