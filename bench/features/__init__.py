"""What a model sees of a recording: its waveform, its spectrum, and the features, at one or several hop lengths.

The flow: a span of the file (:mod:`bench.features.span`), the model's input made of it by the model's own feature
extractor (:mod:`bench.features.frontend`), what that costs the encoder (:mod:`bench.features.cost`), the picture
(:mod:`bench.features.picture`) and the table (:mod:`bench.features.table`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.features import picture
from bench.features.cost import Cost, cost_of
from bench.features.frontend import Frontend, Heard
from bench.features.span import Span, read_span

__all__ = ["Look", "look"]


@dataclass(frozen=True, eq=False)
class Look:
    """A recording as a model sees it.

    Attributes:
        frontend: What makes the model's input.
        span: What is looked at.
        heard: The model's input, one for each hop length.
        costs: What each costs.
    """

    frontend: Frontend
    span: Span
    heard: tuple[Heard, ...]
    costs: tuple[Cost, ...]

    def save(self, folder: Path) -> list[Path]:
        """Draw it as PNG and SVG, named like the recording, and return the files.

        Raises:
            OSError: The folder cannot be written.
        """
        figure = picture.draw(self.frontend, self.span, self.heard, self.costs)
        return picture.save(figure, folder, self.span.path.stem)


def look(
    audio: Path, model: str, hop_lengths: Sequence[int] = (), start_s: float = 0.0, duration_s: float | None = None
) -> Look:
    """Look at a recording as a model does.

    Args:
        audio: The recording.
        model: As ``model.name``; only its configuration and processor files are needed, no weights.
        hop_lengths: Samples between frames, each to be shown; none is the model's own.
        start_s: Start of the span within the recording, in seconds.
        duration_s: Its length in seconds; null is as much as may be shown, 30 s at the most.

    Raises:
        AudioError: The recording cannot be decoded, or has no such span.
        ConfigError: The model cannot be shown at such a hop length, or the span is too long.
        ModelError: The model's files cannot be had or read.
        AssetError: A packaged model cannot be had, or the cache cannot be written.
    """
    frontend = Frontend(model)
    asked = [frontend.checked(hop_length) for hop_length in dict.fromkeys(hop_lengths)]
    wanted: list[int | None] = [*asked] or [frontend.hop_length]
    span = read_span(audio, frontend.rate_hz, start_s, duration_s, frontend.window_s)
    own = frontend.hear(span.heard, frontend.hop_length)
    heard = tuple(frontend.hear(span.heard, hop_length) for hop_length in wanted)
    return Look(frontend, span, heard, tuple(cost_of(frontend, each, own) for each in heard))
