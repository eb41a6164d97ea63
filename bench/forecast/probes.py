"""Trying a point of a grid on a part of its data, and what that tells."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.config import Config
from bench.execute.local import LocalExecutor
from bench.forecast.model import Timed, Work
from bench.forecast.windows import batch_windows, take, window_lengths_s, work_of
from bench.records import Job, RunResult, Status, TrialOutcome, Utterance

_FEWEST_WINDOWS = 8  # one or two may hold a silence, or a text that loops


@dataclass(frozen=True)
class Part:
    """Data that can be used, with its length.

    Attributes:
        utterances: Without those whose file cannot be read.
        lengths_s: Seconds of each.
    """

    utterances: tuple[Utterance, ...]
    lengths_s: tuple[float, ...]

    @property
    def audio_s(self) -> float:
        """Seconds of audio."""
        return sum(self.lengths_s)


@dataclass(frozen=True)
class Point:
    """A trial of the grid and the work it means.

    Attributes:
        job: One of its runs.
        data: Its data.
        work: The windows of a pass.
        batch: Those of the first batch, which holds the longest.
    """

    job: Job
    data: Part
    work: Work
    batch: Work

    @property
    def config(self) -> Config:
        """Its settings."""
        return self.job.config


@dataclass(frozen=True)
class Wanted:
    """A point to try.

    Attributes:
        batches: Full batches that are enough.
        why: What the probe is for, in a few words.
        levels: Settings whose effect it shows; none for one that shows the speed of windows.
    """

    point: Point
    batches: int
    why: str
    levels: frozenset[tuple[str, object]] = frozenset()


@dataclass(frozen=True)
class Probe:
    """What came of trying a point; null or none where its run did not end well.

    Attributes:
        status: How its run ended.
        reason: Why, where that was not well.
        wall_s: Seconds from asking for its process until it was gone.
        audio_s: Seconds of audio it transcribed.
        batches: What was decoded, a warm-up among it.
        decoded: The windows of its timed pass.
        decoded_s: Seconds of its batches.
        rest_s: Seconds of the pass beyond its batches: cutting and joining.
        batch_windowed_s: Seconds that the windows of its largest batch hold.
        fixed_s: Seconds that do not grow with the data: the process, loading, scoring.
        single: Work of what was transcribed by itself; null where nothing was.
        single_s: Seconds that took.
        audio_decode_s: Seconds it took to decode audio that no run had decoded before.
        peak_rss_mib: Peak of its memory.
        peak_gpu_mib: Likewise on a GPU, as torch reserved it.
        doubts: Why its timing is not valid; none where it is.
    """

    wanted: Wanted
    status: Status
    reason: str | None
    wall_s: float
    audio_s: float = 0.0
    batches: tuple[Timed, ...] = ()
    decoded: Work = field(default_factory=lambda: Work(0, 0.0))
    decoded_s: float = 0.0
    rest_s: float = 0.0
    batch_windowed_s: float = 0.0
    fixed_s: float = 0.0
    single: Work | None = None
    single_s: float = 0.0
    audio_decode_s: float = 0.0
    peak_rss_mib: float | None = None
    peak_gpu_mib: float | None = None
    doubts: tuple[str, ...] = ()

    @property
    def ended_well(self) -> bool:
        """Whether anything was measured."""
        return self.status is Status.ok

    @property
    def warmed_up(self) -> bool:
        """Whether the timed pass was not the first thing its process decoded."""
        return self.wanted.point.config.measure.warmup > 0


def point_of(job: Job, data: Part) -> Point:
    """Count the windows of a trial."""
    windows = window_lengths_s(data.lengths_s, job.config.decode)
    return Point(job, data, work_of(windows), work_of(windows[: batch_windows(job.config.decode)]))


def try_out(wanted: Wanted, number: int, executor: LocalExecutor) -> Probe:
    """Execute a point on a part of its data; nothing is stored but what its run prints, should it print anything."""
    point, config = wanted.point, wanted.point.config
    # One of each is enough: what they repeat takes the same time again.
    measure = dataclasses.replace(
        config.measure,
        warmup=min(1, config.measure.warmup),
        repeats=1,
        replicates=1,
        single_stream=min(1, config.measure.single_stream),
    )
    windows = max(_FEWEST_WINDOWS, batch_windows(config.decode) * wanted.batches)
    utterances = take(point.data.utterances, point.data.lengths_s, config.decode, windows, config.seed)
    job = dataclasses.replace(
        point.job,
        trial_id=f"probe{number}",
        replicate=0,
        attempt=1,
        config=dataclasses.replace(config, measure=measure),
        utterances=utterances,
        race=None,
    )
    return probed(wanted, executor.execute(job))


def probed(wanted: Wanted, result: RunResult) -> Probe:
    """Read what a run tells."""
    outcome = result.outcome
    if outcome is None or result.status is not Status.ok:
        return Probe(wanted, result.status, result.status_reason, result.wall_s)
    decode = wanted.point.config.decode
    lengths_s = [item.audio_s for item in outcome.utterances if item.audio_s is not None]
    windows = window_lengths_s(lengths_s, decode)
    laps = _laps(windows, outcome)
    inference_s = sum(one.inference_s for one in outcome.passes)
    decoded_s = sum(lap.seconds for lap in outcome.laps)
    warm_ups = [Timed(lap.work, seconds, first=True) for lap, seconds in zip(laps[:1], outcome.warmup_s, strict=False)]
    anew_s = outcome.audio_decode_s if outcome.audio_files_decoded else 0.0
    apart_s = inference_s + sum(outcome.warmup_s) + outcome.single_stream_s + anew_s
    alone = work_of(window_lengths_s(lengths_s[:1], decode))
    certificate = result.certificate
    return Probe(
        wanted,
        result.status,
        None,
        result.wall_s,
        audio_s=sum(lengths_s),
        batches=(*warm_ups, *laps),
        decoded=work_of(windows),
        decoded_s=decoded_s,
        rest_s=max(0.0, inference_s - decoded_s),
        batch_windowed_s=max((lap.work.windowed_s for lap in laps), default=0.0),
        fixed_s=max(0.0, result.wall_s - apart_s),
        # The first one is transcribed twice, so that kernels for batches of one are set up.
        single=Work(2 * alone.windows, 2 * alone.windowed_s) if outcome.single_stream_s and lengths_s else None,
        single_s=outcome.single_stream_s,
        audio_decode_s=anew_s,
        peak_rss_mib=outcome.memory.peak_rss_mib,
        peak_gpu_mib=outcome.memory.peak_gpu_reserved_mib,
        doubts=() if certificate is None or certificate.valid else tuple(each.detail for each in certificate.findings),
    )


def _laps(windows: Sequence[float], outcome: TrialOutcome) -> list[Timed]:
    """Find the windows of each batch, of which a run tells the number: it takes the longest first."""
    told = sum(lap.windows for lap in outcome.laps)
    found: list[Timed] = []
    done = 0
    for lap in outcome.laps:
        if told == len(windows):
            work = work_of(windows[done : done + lap.windows])
        else:  # cut where nobody could foresee: as large a share of the windows as is assumed
            share = lap.windows / told
            work = Work(share * len(windows), share * sum(windows))
        found.append(Timed(work, lap.seconds, first=not found and not outcome.warmup_s))
        done += lap.windows
    return found
