"""Timing the core over recordings: warm-up, passes over all of them at once, and one recording at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.config import DecodeConfig
from bench.inference.engine import Engine
from bench.inference.transcribe import Plans, decode_once, in_stages, transcribe
from bench.measure import counters
from bench.measure.clock import PhaseClock
from bench.readings import PHASES, Counters, Lap, PhaseTimes
from bench.records import Samples, Transcript
from bench.score.race import STAGES, Referee


@dataclass(frozen=True)
class Timed:
    """What timed passes gave.

    Attributes:
        transcripts: Of the first pass, one a recording.
        passes: One entry a pass.
        cpu_s: CPU seconds the process used in each pass, all threads together.
        laps: The batches of all passes.
        counters: What happened on the machine from the first pass to the last.
    """

    transcripts: list[Transcript]
    passes: tuple[PhaseTimes, ...]
    cpu_s: tuple[float, ...]
    laps: tuple[Lap, ...]
    counters: Counters


@dataclass(frozen=True)
class Work:
    """The same work, to be done as often as one likes.

    Attributes:
        recordings: Mono audio at ``engine.rate_hz``, each of shape ``(samples,)``.
        plans: Their windows.
        spec: How they are cut and decoded.
        batch_size: Windows to decode together, at most.
        synchronize: Waits until the device has done all it was asked.
        prefetch: See :func:`bench.inference.transcribe.transcribe`.
    """

    engine: Engine
    recordings: Sequence[Samples]
    plans: Plans
    spec: DecodeConfig
    batch_size: int
    synchronize: Callable[[], None]
    prefetch: bool

    def warm_up(self) -> float:
        """Run the first batch; returns its seconds."""
        clock = PhaseClock(self.synchronize)
        started = clock.now()
        decode_once(self.engine, self.recordings, self.plans, self.batch_size, clock)
        return clock.now() - started

    def timed(self, repeats: int, referee: Referee | None = None) -> Timed:
        """Time passes over all recordings.

        Args:
            repeats: How many.
            referee: Looks at the first pass now and then, in time that does not count; passes are then divided into
                stages, all of them, so that they remain alike.

        Raises:
            Beaten: The referee ended the first pass.
        """
        transcripts: list[Transcript] = []
        passes, cpu_s, laps = list[PhaseTimes](), list[float](), list[Lap]()
        before = counters.read()
        for _ in range(repeats):
            clock = PhaseClock(self.synchronize)
            cpu_started, started = time.process_time(), clock.now()
            if referee is None:
                said = self._transcribe(self.recordings, clock)
                inference_s, used_s = clock.now() - started, time.process_time() - cpu_started
            else:
                said, inference_s, used_s = self._raced(referee, clock, look=not passes)
            cpu_s.append(used_s)
            passes.append(PhaseTimes(inference_s, **{name: clock.seconds(name.removesuffix("_s")) for name in PHASES}))
            laps += clock.laps
            transcripts = transcripts or said
        happened = counters.between(before, counters.read())
        return Timed(transcripts, tuple(passes), tuple(cpu_s), tuple(laps), happened)

    def one_at_a_time(self, count: int) -> list[float]:
        """Transcribe the first recordings each by itself, as a service would; returns the seconds of each.

        The first is done twice, and only the second time counts: batches of one have kernels of their own to be set up.
        """
        chosen = self.recordings[:count]
        seconds = []
        for recording in (*chosen[:1], *chosen):
            clock = PhaseClock(self.synchronize)
            started = clock.now()
            self._transcribe([recording], clock)
            seconds.append(clock.now() - started)
        return seconds[1:]

    def _raced(self, referee: Referee, clock: PhaseClock, look: bool) -> tuple[list[Transcript], float, float]:
        """Transcribe in stages; returns the transcripts, and the wall and CPU seconds without those of the looks."""
        stages = in_stages(
            self.engine, self.recordings, self.spec, self.batch_size, clock, referee.order, STAGES, self.prefetch
        )
        audio_s = sum(map(len, self.recordings)) / self.engine.rate_hz
        wall_s = cpu_s = 0.0
        transcripts: list[Transcript] = []
        while not transcripts:
            cpu_started, started = time.process_time(), clock.now()
            progress = next(stages)
            seconds = clock.now() - started
            wall_s, cpu_s = wall_s + seconds, cpu_s + time.process_time() - cpu_started
            if progress.share < 1 and not look:
                continue
            said = progress.transcripts()
            if look:
                texts = [said[number].text for number in referee.order]
                whole = [progress.complete[number] for number in referee.order]
                complete = whole.index(False) if False in whole else len(whole)
                referee.look(progress.share, seconds, audio_s, texts, complete)
            if progress.share >= 1:
                transcripts = said
        return transcripts, wall_s, cpu_s

    def _transcribe(self, recordings: Sequence[Samples], clock: PhaseClock) -> list[Transcript]:
        return transcribe(self.engine, recordings, self.spec, self.batch_size, clock, prefetch=self.prefetch)
