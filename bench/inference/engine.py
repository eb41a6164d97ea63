"""What the core needs from whatever executes a model."""

from collections.abc import Sequence
from typing import Any, Protocol

from bench.measure.clock import PhaseClock
from bench.records import Samples, Window


class Engine(Protocol):
    """A loaded model on its device.

    The core cuts recordings into windows and batches them; an engine turns a batch into *emissions*, its own form of
    raw output (token ids, say), and joins the emissions of one recording's windows into text.
    """

    @property
    def rate_hz(self) -> int:
        """Sampling rate the model expects."""
        ...

    @property
    def max_window_s(self) -> float | None:
        """Longest window the model can take, in seconds; null where there is no limit."""
        ...

    @property
    def align(self) -> int:
        """Samples an output frame covers; window borders are multiples of it."""
        ...

    def decode(self, batch: Sequence[Samples], clock: PhaseClock) -> list[Any]:
        """Run the model over a batch of windows, each of shape ``(samples,)``; one emission a window.

        Time is booked on ``clock`` under the phases features, encode and decode.
        """
        ...

    def join(self, emissions: Sequence[Any], windows: Sequence[Window]) -> str:
        """Join the emissions of all windows of one recording, in order, into its text."""
        ...
