"""The core itself: recordings in, transcripts out, whatever the engine."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.config import DecodeConfig
from bench.errors import ImpossiblePoint
from bench.inference.engine import Engine
from bench.inference.windows import cut
from bench.measure.clock import PhaseClock
from bench.records import Samples, Transcript, Window


def transcribe(
    engine: Engine, recordings: Sequence[Samples], spec: DecodeConfig, clock: PhaseClock
) -> list[Transcript]:
    """Transcribe recordings, batching windows across them.

    Args:
        engine: A loaded model.
        recordings: Mono audio at ``engine.rate_hz``, each of shape ``(samples,)`` and not empty.
        spec: Windows, strides and batch size.
        clock: Receives the seconds of the phases features, encode, decode and merge.

    Returns:
        A transcript for each recording, in order.

    Raises:
        ImpossiblePoint: The windows are longer than the model can take.
    """
    plans = _plan(engine, recordings, spec)
    emissions: list[list[Any]] = [[] for _ in recordings]
    for batch in _batches(plans, spec.batch_size):
        cuts = [recordings[index][window.start : window.stop] for index, window in batch]
        for (index, _), emission in zip(batch, engine.decode(cuts, clock), strict=True):
            emissions[index].append(emission)
    with clock.phase("merge"):
        return [
            Transcript(engine.join(emitted, windows), len(windows))
            for emitted, windows in zip(emissions, plans, strict=True)
        ]


def warm_up(engine: Engine, recordings: Sequence[Samples], spec: DecodeConfig, clock: PhaseClock) -> None:
    """Run the first full batch and drop its result, so that lazy set-up is not taken for inference."""
    for batch in _batches(_plan(engine, recordings, spec), spec.batch_size):
        engine.decode([recordings[index][window.start : window.stop] for index, window in batch], clock)
        return


def _plan(engine: Engine, recordings: Sequence[Samples], spec: DecodeConfig) -> list[list[Window]]:
    longest = engine.max_window_s
    if longest is not None and spec.chunk_length_s > longest:
        raise ImpossiblePoint(
            f"decode.chunk_length_s={spec.chunk_length_s:g} is longer than the {longest:g} s this model can see;"
            f" use at most {longest:g}, and set model.max_window_s={longest:g} to have a sweep skip such points"
        )
    return [cut(len(samples), engine.rate_hz, spec, engine.align) for samples in recordings]


def _batches(plans: Sequence[Sequence[Window]], size: int) -> Iterator[list[tuple[int, Window]]]:
    flat = [(index, window) for index, windows in enumerate(plans) for window in windows]
    for start in range(0, len(flat), size):
        yield flat[start : start + size]
