"""One look for all figures: colours, sizes, and figures that belong to no window.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), told apart by people with any common colour vision;
where areas meet they also differ in lightness or hatching, so that a grey print can be read.
"""

import functools
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.printable import clean

BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE, YELLOW = (
    "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#F0E442",
)  # fmt: skip
INK, MUTED, PALE = "#222222", "#767676", "#E4E4E4"
WIDTH_IN = 8.0
"""Width of every figure in inches."""

# Of a label; the axes need the rest of a figure.
_MOST_LINES = 6

# The font is matplotlib's own and the salt is fixed: the same results give the same bytes on any machine.
RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "asr-sweep",
}

_P = ParamSpec("_P")
_R = TypeVar("_R")


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function draw or save in the report's look, and leave matplotlib's own settings as they were."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with matplotlib.rc_context(RC), warnings.catch_warnings():
            # A label in a script the font lacks is drawn as boxes; that is no reason to fail.
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
            return draw(*args, **kwargs)

    return drawn


def stack(titles: Sequence[str], heights_in: Sequence[float]) -> tuple[Figure, list[SubFigure]]:
    """Make a figure with one titled part a block, one under the other.

    The figure is none of pyplot's, so nothing pops up and nothing needs closing. A part may have a legend of its own.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    figure = Figure(figsize=(WIDTH_IN, sum(heights_in)), layout=layout)
    parts = figure.subfigures(len(titles), 1, height_ratios=list(heights_in), squeeze=False, hspace=0.02)[:, 0]
    for part, title in zip(parts, titles, strict=True):
        part.suptitle(wrap(title, 100), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure, list(parts)


def wrap(text: str, width: int = 40) -> str:
    """Break a text into short lines of printable characters, after commas where that is enough; a long one is cut."""
    glued = re.sub(r"(?<!,) ", "\N{NO-BREAK SPACE}", clean(text))
    lines = textwrap.wrap(glued, width, break_long_words=False, break_on_hyphens=False)
    short = [part for line in lines for part in textwrap.wrap(line.replace("\N{NO-BREAK SPACE}", " "), width)]
    kept = short if len(short) <= _MOST_LINES else [*short[: _MOST_LINES - 1], "\N{HORIZONTAL ELLIPSIS}"]
    return "\n".join(kept) or " "


def row_height(labels: Iterable[str]) -> float:
    """Height in inches of a row of bars that leaves room for the tallest of its labels, wrapped."""
    return 0.12 + 0.15 * max(wrap(label).count("\n") + 1 for label in labels)


def legend_below(part: SubFigure, handles: Sequence[Artist], columns: int) -> None:
    """Put a legend under a part's axes, where it covers nothing."""
    part.legend(handles=list(handles), loc="outside lower left", ncols=columns)
