"""How a study goes, on a terminal: a bar that updates; elsewhere: a line a run."""

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bench.attempts import UNFINISHED
from bench.config import DecodeConfig, Merge, Strategy
from bench.metrics import RTFX, WER
from bench.records import RunResult


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
        self._console.print(escape(message), highlight=False, soft_wrap=True)

    def warned(self, message: str) -> None:
        """Show what may be a mistake."""
        self._console.print(escape(f"warning: {message}"), highlight=False, soft_wrap=True)

    def finished(self, result: RunResult, will_retry: bool) -> None:
        """Show a finished run; one that will be tried again does not count as done."""
        if not will_retry:
            self._done += 1
            self._total = max(self._total, self._done)  # what a run out of memory asks for was not planned
            self._failed += result.status in UNFINISHED
            self._bar.advance(self._task)
        config = result.job.config
        settings = f"{config.model.name} on {config.device}, {_segmentation(config.decode)}"
        self._bar.update(self._task, note=self._note(result, settings))
        line = f"[{self._done}/{self._total}] {result.job.run_id} {settings}: {_said(result)}"
        if will_retry:
            line += "; will be tried again"
        self._console.print(escape(line), highlight=False, soft_wrap=True)

    def _note(self, result: RunResult, settings: str) -> str:
        outcome = result.outcome
        if outcome is not None and outcome.counts.wer is not None:
            where = (result.job.data_fingerprint, result.job.config.device)
            candidate = (outcome.counts.wer, settings)
            self._best[where] = min(self._best.get(where, candidate), candidate)
        best = ""
        if len(self._best) == 1:  # settings that met different data or devices do not compare
            ((wer, best_settings),) = self._best.values()
            best = f"best {WER.show(wer)} ({best_settings})"
        failed = f"{self._failed} failed" if self._failed else ""
        return escape("  ".join(part for part in (failed, best) if part))


def _segmentation(decode: DecodeConfig) -> str:
    """Say how recordings are cut and joined, without what the strategy settles by itself."""
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
    said = f"{WER.label} {WER.show(result.outcome.counts.wer)}, {RTFX.label} {RTFX.show(result.outcome.rtfx)}{unusable}"
    if result.certificate is None or result.certificate.valid:
        return said
    return f"{said}; the timing is not valid: {'; '.join(finding.detail for finding in result.certificate.findings)}"
