"""What the core needs from whatever executes a model."""

from collections.abc import Sequence
from typing import Any, Protocol

from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window


class Engine(Protocol):
    """A loaded model on its device.

    The core cuts recordings into windows and batches them. An engine makes a batch into *inputs*, the model's features;
    runs them, which gives an *emission* for each window, its own form of raw output (token ids, say); and joins the
    emissions of one recording's windows into text.
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

    @property
    def mixes_lengths(self) -> bool:
        """Whether windows of different lengths may share a batch without a change of their output."""
        ...

    @property
    def footprint(self) -> Footprint:
        """What its memory is for, as far as it knows, over all batches so far."""
        ...

    def features(self, batch: Sequence[Samples]) -> Any:
        """Make windows, each of shape ``(samples,)``, into the model's inputs.

        Called from another thread while the model runs; it must touch neither the device nor the engine's state.
        """
        ...

    def decode(self, inputs: Any, clock: PhaseClock) -> list[Any]:
        """Run the model over one batch's inputs; one emission a window.

        Time is booked on ``clock`` under the phases encode and decode.
        """
        ...

    def join(self, emissions: Sequence[Any], windows: Sequence[Window]) -> Transcript:
        """Join the emissions of all windows of one recording, in order, into its text."""
        ...
