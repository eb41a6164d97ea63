"""The core itself: recordings in, transcripts out, whatever the engine."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

from bench.config import DecodeConfig, Parity, Strategy
from bench.errors import ImpossiblePoint
from bench.inference.engine import Engine
from bench.inference.vad import cut_at_silences
from bench.inference.windows import cut
from bench.measure.clock import PhaseClock
from bench.measure.memory import give_back_freed
from bench.records import Samples, Transcript, Window

Plans: TypeAlias = list[list[Window]]
"""The windows of each recording."""

Batch: TypeAlias = list[tuple[int, int]]
"""Windows to decode together: the number of the recording, and of the window within it."""


def transcribe(
    engine: Engine,
    recordings: Sequence[Samples],
    spec: DecodeConfig,
    batch_size: int,
    clock: PhaseClock,
    prefetch: bool = False,
) -> list[Transcript]:
    """Transcribe recordings, batching windows of like length across them.

    Args:
        engine: A loaded model.
        recordings: Mono audio at ``engine.rate_hz``, each of shape ``(samples,)`` and not empty.
        spec: Windows and strides.
        batch_size: Windows to decode together, at most.
        clock: Receives the seconds of the phases segment, features, encode, decode, align and merge, and a lap a batch.
        prefetch: Compute the next batch's features while the model runs. It pays where the model runs on a device of
            its own; the phase ``features`` then holds the seconds that were waited for them.

    Returns:
        A transcript for each recording, in order; an empty one where no window was cut.

    Raises:
        ImpossiblePoint: The windows are longer than the model can take.
    """
    with clock.phase("segment"):
        plans = plan(engine, recordings, spec)
    emissions: list[list[Any]] = [[None] * len(windows) for windows in plans]
    batches = list(_batches(plans, _places(plans), batch_size, engine.mixes_lengths))
    for batch, emitted in zip(batches, _decoded(engine, recordings, plans, batches, clock, prefetch), strict=True):
        give_back_freed()
        for (recording, number), emission in zip(batch, emitted, strict=True):
            emissions[recording][number] = emission
    with clock.phase("merge"):
        return [
            engine.join(emitted, windows) if windows else Transcript("", (), ())
            for emitted, windows in zip(emissions, plans, strict=True)
        ]


@dataclass(frozen=True)
class Progress:
    """How far a transcription in stages has got.

    Attributes:
        share: Share of the audio whose windows were decoded.
        complete: Whether all windows of a recording were, for each.
        transcripts: Makes the texts of what was decoded so far, of whole recordings or of their beginnings.
    """

    share: float
    complete: tuple[bool, ...]
    transcripts: Callable[[], list[Transcript]]


def in_stages(
    engine: Engine,
    recordings: Sequence[Samples],
    spec: DecodeConfig,
    batch_size: int,
    clock: PhaseClock,
    order: Sequence[int],
    stages: int,
    prefetch: bool = False,
) -> Iterator[Progress]:
    """Transcribe recordings one after another, and say now and then how far that has got.

    Batches stay whole: a stage ends where its share of the audio is reached and a batch is full. The last stage is
    complete when it is told, merging included; what is done between two stages is the caller's own time.

    Args:
        engine: A loaded model.
        recordings: As for :func:`transcribe`.
        spec: Windows and strides.
        batch_size: Windows to decode together, at most.
        clock: As for :func:`transcribe`.
        order: The numbers of the recordings, in the order to take them.
        stages: How often to say, at most.
        prefetch: As for :func:`transcribe`.

    Raises:
        ImpossiblePoint: The windows are longer than the model can take.
    """
    with clock.phase("segment"):
        plans = plan(engine, recordings, spec)
    emissions: list[list[Any]] = [[None] * len(windows) for windows in plans]
    decoded = [0] * len(plans)
    total = sum(_kept(window) for windows in plans for window in windows)

    def joined() -> list[Transcript]:
        return [
            engine.join(emitted[:count], windows[:count]) if count else Transcript("", (), ())
            for emitted, windows, count in zip(emissions, plans, decoded, strict=True)
        ]

    done = 0
    divided = list(_divided(plans, order, batch_size, total / stages))
    for number, places in enumerate(divided):
        batches = list(_batches(plans, places, batch_size, engine.mixes_lengths))
        for batch, emitted in zip(batches, _decoded(engine, recordings, plans, batches, clock, prefetch), strict=True):
            give_back_freed()
            for (recording, window), emission in zip(batch, emitted, strict=True):
                emissions[recording][window] = emission
        for recording, window in places:
            decoded[recording] = window + 1
            done += _kept(plans[recording][window])
        if number < len(divided) - 1:
            complete = (count == len(windows) for count, windows in zip(decoded, plans, strict=True))
            yield Progress(done / total, tuple(complete), joined)
    with clock.phase("merge"):
        transcripts = joined()
    yield Progress(1.0, (True,) * len(plans), lambda: transcripts)


def _divided(plans: Plans, order: Sequence[int], size: int, least: float) -> Iterator[Batch]:
    """Divide windows into runs of whole batches, of so many samples at least; the last one may be shorter."""
    places = [(recording, number) for recording in order for number in range(len(plans[recording]))]
    samples, stage = 0, list[tuple[int, int]]()
    for place in places:
        stage.append(place)
        samples += _kept(plans[place[0]][place[1]])
        if samples >= least and len(stage) % size == 0:
            yield stage
            samples, stage = 0, []
    if stage:
        yield stage


def _kept(window: Window) -> int:
    return window.stop - window.start - window.left - window.right


def decode_once(
    engine: Engine, recordings: Sequence[Samples], plans: Plans, batch_size: int, clock: PhaseClock
) -> None:
    """Run the first batch, which holds the longest windows, and drop its result.

    It keeps lazy set-up from being taken for inference, and shows whether a batch of this size fits.
    """
    for batch in _batches(plans, _places(plans), batch_size, engine.mixes_lengths):
        engine.decode(engine.features(_samples(recordings, plans, batch)), clock)
        return


def plan(engine: Engine, recordings: Sequence[Samples], spec: DecodeConfig) -> Plans:
    """Cut every recording into windows.

    Raises:
        ImpossiblePoint: The windows are longer than the model can take.
    """
    if spec.strategy is Strategy.sequential or spec.parity is Parity.native:
        return [[Window(0, len(samples), left=0, right=0)] for samples in recordings]
    longest = engine.max_window_s
    if longest is not None and spec.chunk_length_s > longest:
        raise ImpossiblePoint(
            f"decode.chunk_length_s={spec.chunk_length_s:g} is longer than the {longest:g} s this model can see;"
            f" use at most {longest:g}, and set model.max_window_s={longest:g} to have a sweep skip such points"
        )
    if spec.strategy is Strategy.vad:
        return [cut_at_silences(samples, engine.rate_hz, spec.chunk_length_s) for samples in recordings]
    return [cut(len(samples), engine.rate_hz, spec, engine.align) for samples in recordings]


def _places(plans: Plans) -> Batch:
    return [(recording, number) for recording, windows in enumerate(plans) for number in range(len(windows))]


def _batches(plans: Plans, places: Batch, size: int, mixes_lengths: bool) -> Iterator[Batch]:
    """Sort windows by length, longest first, so that what is decoded together pads and ends together."""
    batch: Batch = []
    for place in sorted(places, key=lambda place: -_length(plans, place)):
        fits = mixes_lengths or not batch or _length(plans, place) == _length(plans, batch[0])
        if len(batch) == size or not fits:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _length(plans: Plans, place: tuple[int, int]) -> int:
    window = plans[place[0]][place[1]]
    return window.stop - window.start


def _samples(recordings: Sequence[Samples], plans: Plans, batch: Batch) -> list[Samples]:
    windows = [(recording, plans[recording][number]) for recording, number in batch]
    return [recordings[recording][window.start : window.stop] for recording, window in windows]


def _decoded(
    engine: Engine,
    recordings: Sequence[Samples],
    plans: Plans,
    batches: Sequence[Batch],
    clock: PhaseClock,
    prefetch: bool,
) -> Iterator[list[Any]]:
    """Decode batch by batch; one emission for each window of each."""
    if not prefetch:
        for batch in batches:
            with clock.lap(len(batch)):
                with clock.phase("features"):
                    inputs = engine.features(_samples(recordings, plans, batch))
                emitted = engine.decode(inputs, clock)
            yield emitted
        return
    with ThreadPoolExecutor(max_workers=1) as ahead:

        def ask(batch: Batch) -> Future[Any]:
            return ahead.submit(engine.features, _samples(recordings, plans, batch))

        upcoming = [ask(batch) for batch in batches[:1]]
        for batch, following in zip_longest(batches, batches[1:]):
            with clock.lap(len(batch)):
                with clock.phase("features"):
                    inputs = upcoming.pop().result()
                if following is not None:
                    upcoming.append(ask(following))
                emitted = engine.decode(inputs, clock)
            yield emitted
