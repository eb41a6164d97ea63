"""The arithmetic of a forecast: what a batch takes, fitted to the batches of a few short runs.

A batch takes a share for each window and a share for each second that its windows hold, strides and all; the first
batch of a process also sets up what is set up only once. A window's share is large for models that pad windows to one
length (Whisper's encoder), that of a second for those that do not, and for the tokens of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Work:
    """Windows to decode, and the seconds they hold together, strides included."""

    windows: float
    windowed_s: float

    @property
    def mean_s(self) -> float:
        """Seconds of a window on average; 0 without any."""
        return self.windowed_s / self.windows if self.windows else 0.0


@dataclass(frozen=True)
class Timed:
    """A batch that was decoded.

    Attributes:
        work: Its windows.
        seconds: What it took.
        first: Whether it was its process's first.
    """

    work: Work
    seconds: float
    first: bool = False


@dataclass(frozen=True)
class Speed:
    """What inference takes.

    Attributes:
        window_s: Seconds for each window.
        windowed_s: Seconds for each second that windows hold.
        first_s: Seconds that the first batch of a process takes beyond that.
    """

    window_s: float
    windowed_s: float
    first_s: float = 0.0

    def seconds(self, work: Work) -> float:
        """Predict what windows take, once everything is set up."""
        return self.window_s * work.windows + self.windowed_s * work.windowed_s


@dataclass(frozen=True)
class Line:
    """A quantity that is the same for all, and grows with another one."""

    base: float
    slope: float

    def at(self, x: float) -> float:
        """Its value at ``x``."""
        return self.base + self.slope * x


def fit_speed(batches: Sequence[Timed]) -> Speed:
    """Fit what batches took, by least squares without negative shares.

    What the first batch takes beyond the others can only be told where some are first and some are not; else it is 0.
    """
    firsts = {one.first for one in batches}
    columns = [[one.work.windows, one.work.windowed_s, float(one.first and len(firsts) > 1)] for one in batches]
    shares, _ = nnls(np.array(columns, dtype=float), np.array([max(one.seconds, 0.0) for one in batches]))
    return Speed(*map(float, shares))


def fit_line(points: Sequence[tuple[float, float]]) -> Line:
    """Fit a line that does not fall, by least squares; where it would, the highest value stands for all.

    A peak of memory that falls while batches grow is chance, and too high a forecast of it does less harm.
    """
    xs, ys = (np.array(values, dtype=float) for values in zip(*points, strict=True))
    spread = float(((xs - xs.mean()) ** 2).sum())
    slope = float(((xs - xs.mean()) * (ys - ys.mean())).sum()) / spread if spread > 0 else 0.0
    if slope <= 0:
        return Line(float(ys.max()), 0.0)
    return Line(float(ys.mean() - slope * xs.mean()), slope)
