"""How a study goes, on a terminal: a bar that updates; elsewhere: a line a run."""

import json
import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bench.attempts import UNFINISHED
from bench.config import DecodeConfig, Engine, FoldMethod, Merge, Parity, Strategy, Task
from bench.console import print_line
from bench.metrics import RTFX, WER
from bench.printable import clean
from bench.readings import Doubt
from bench.records import Job, RunResult

_LOG_EVERY_S = 60.0


class Progress:
    """Shows runs done and failed, the time left, and the lowest error rate so far. A context manager.

    Args:
        console: Where to write; a bar is drawn only on a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = 0
        self._done = 0
        self._failed = 0
        self._best: dict[tuple[str, str], tuple[float, str]] = {}
        self._bar = Bar(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            refresh_per_second=2,  # the bar must not disturb what is measured
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("runs", total=None, note="")
        self._progressed_s = time.monotonic()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def planned(self, total: int, done: int, skipped: int) -> None:
        """Show what is to be done."""
        self._total, self._done = total, done
        # Without the runs already done, whose time is unknown, the time left is an extrapolation of this start alone.
        self._bar.update(self._task, total=total - done)
        parts = [f"{total} runs", f"{done} done before"]
        if skipped:
            parts.append(f"{skipped} impossible points skipped")
        self._console.print(", ".join(parts), highlight=False)

    def noted(self, message: str) -> None:
        """Show what is good to know before anything runs."""
        print_line(self._console, message)

    def warned(self, message: str) -> None:
        """Show what may be a mistake."""
        print_line(self._console, f"warning: {message}")

    def progressed(self, note: str) -> None:
        """Show how far the run is that goes on: beside the bar, or once a minute in a log."""
        self._bar.update(self._task, note=escape(clean(note)))
        if not self._console.is_terminal and time.monotonic() - self._progressed_s >= _LOG_EVERY_S:
            self._progressed_s = time.monotonic()
            print_line(self._console, f"... {note}")

    def finished(self, result: RunResult, will_retry: bool) -> None:
        """Show a finished run; one that will be tried again does not count as done."""
        if not will_retry:
            self._done += 1
            self._total = max(self._total, self._done)  # what a run out of memory asks for was not planned
            self._failed += result.status in UNFINISHED
            self._bar.advance(self._task)
        settings = _settings(result.job)
        self._bar.update(self._task, note=self._note(result, settings))
        line = f"[{self._done}/{self._total}] {result.job.run_id} {settings}: {_said(result)}"
        if will_retry:
            line += "; will be tried again"
        print_line(self._console, line)

    def _note(self, result: RunResult, settings: str) -> str:
        outcome = result.outcome
        # Folds are of different difficulty, so that the lowest of theirs says nothing of a setting.
        if outcome is not None and outcome.counts.wer is not None and result.job.fold is None:
            where = (result.job.data_fingerprint, result.job.config.device)
            candidate = (outcome.counts.wer, settings)
            self._best[where] = min(self._best.get(where, candidate), candidate)
        best = ""
        if len(self._best) == 1:  # settings that met different data or devices do not compare
            ((wer, best_settings),) = self._best.values()
            best = f"best {WER.show(wer)} ({clean(best_settings)})"
        failed = f"{self._failed} failed" if self._failed else ""
        return escape("  ".join(part for part in (failed, best) if part))


def _settings(job: Job) -> str:
    """Say what a run is, in a few words: of a training what varies, and its fold."""
    config = job.config
    if config.task is not Task.finetune:
        # The usual engine goes without saying, and the name of a model that is none says it.
        under = "" if config.engine in (Engine.transformers, Engine.fake) else f" under {config.engine}"
        return f"{config.model.name}{under} on {config.device}, {_segmentation(config.decode)}"
    varied = ", ".join(_phrase(name, value) for name, value in json.loads(job.point).items())
    return ", ".join(part for part in (varied or f"{config.model.name} on {config.device}", _fold(job)) if part)


def _phrase(name: str, value: object) -> str:
    words = name.removeprefix("finetune.").replace(".", " ").replace("_", " ")
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"


def _fold(job: Job) -> str:
    if job.fold is None:
        return ""
    folds = job.config.finetune.folds
    # How many there are of the other method, only the data tells.
    among = f" of {folds.count}" if folds.method is FoldMethod.kfold else ""
    division = f" of division {(job.repeat or 0) + 1}" if folds.repeats > 1 else ""
    return f"fold {job.fold + 1}{among}{division}"


def _segmentation(decode: DecodeConfig) -> str:
    """Say how recordings are cut and joined, without what the strategy settles by itself."""
    if decode.parity is Parity.native:
        return "native"
    match decode.strategy:
        case Strategy.sequential:
            return "sequential"
        case Strategy.vad:
            return f"vad, chunk {decode.chunk_length_s:g} s"
        case Strategy.chunked:
            windows = f"chunk {decode.chunk_length_s:g} s, stride {decode.stride_length_s:g} s"
            return windows if decode.merge is Merge.aligned else f"{windows}, {decode.merge} merge"


def _said(result: RunResult) -> str:
    if result.outcome is None:
        return f"{result.status}: {result.status_reason}"
    failed = sum(item.error is not None for item in result.outcome.utterances)
    unusable = f", {failed} of {len(result.outcome.utterances)} utterances unusable" if failed else ""
    wer = f"{WER.label} {WER.show(result.outcome.counts.wer)}"
    if (training := result.outcome.training) is not None:  # the speed of transcribing is not what it is about
        return f"{wer} ({training.steps} steps in {training.train_s:.0f} s){unusable}"
    said = f"{wer}, {RTFX.label} {RTFX.show(result.outcome.rtfx)}{unusable}"
    if result.certificate is None or result.certificate.valid:
        return said
    if any(finding.doubt is Doubt.shared for finding in result.certificate.findings):
        return f"{wer}{unusable}; beside other runs, so its timing is not valid"
    return f"{said}; the timing is not valid: {'; '.join(finding.detail for finding in result.certificate.findings)}"
