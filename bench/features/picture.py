"""The picture of a recording as a model sees it: waveform, spectrum and features on one time axis."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from bench.features.cost import Cost, gflop
from bench.features.frontend import Frontend, Heard
from bench.features.span import Span, khz, percent
from bench.features.spectrum import spectrogram
from bench.printable import clean
from bench.report.style import BLUE, INK, MUTED, PALE, WIDTH_IN, styled

_DPI = 130
# A colour a decibel is as many as anybody can tell apart, and keeps the files small.
_COLOURS = matplotlib.colormaps["magma"].resampled(80)
_RANGE_DB = 80.0  # what lies further below the loudest is black
_MOST_POINTS = 2_000  # of a waveform; a longer one is drawn as the band between its extremes
_PADDING_SHARE = 0.12  # of the span's width, for padding that may be much longer
_COLUMNS = 700  # of pixels, about as many as a panel has
_HEADROOM = 1.08
_WAVE_IN, _LINEAR_IN, _MEL_IN = 0.75, 1.7, 1.25
_TITLE_IN, _REST_IN = 0.56, 0.75
_TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000)

# What the model does not get is veiled, so that one sees what it misses; where there is nothing to see, it is grey.
_LOST: Any = {"facecolor": "#9A9A9A70", "edgecolor": "#FFFFFFB0", "hatch": "///", "linewidth": 0.0}
_NOTHING: Any = {"facecolor": PALE, "edgecolor": "#B5B5B5", "hatch": "///", "linewidth": 0.0}
_TOLD: Any = {"facecolor": "white", "edgecolor": MUTED, "linewidth": 0.6, "boxstyle": "round,pad=0.3"}


@styled
def draw(frontend: Frontend, span: Span, heard: Sequence[Heard], costs: Sequence[Cost]) -> Figure:
    """Draw a recording as a model sees it, one panel for each hop length.

    Args:
        frontend: What made the model's input.
        span: What is looked at.
        heard: The model's input at each hop length.
        costs: What each costs.
    """
    heights = [_WAVE_IN, _LINEAR_IN, *[_MEL_IN] * len(heard)]
    figure = Figure(
        figsize=(WIDTH_IN, sum(heights) + _TITLE_IN * len(heights) + _REST_IN),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05),
    )
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(1, 0.016))
    wave = figure.add_subplot(grid[0, 0])
    axes = [wave, *(figure.add_subplot(grid[row, 0], sharex=wave) for row in range(1, len(heights)))]
    bars = [figure.add_subplot(grid[row, 1]) for row in range(1, len(heights))]
    _draw_wave(axes[0], span.native, span)
    axes[0].set_ylabel("Amplitude")
    _title(axes[0], "Waveform", f"{khz(span.native_hz)}, the file's own rate")
    _draw_linear(axes[1], bars[0], span)
    padded = any(_is_padded(each, span) for each in heard)
    for axis, bar, each, cost in zip(axes[2:], bars[1:], heard, costs, strict=True):
        if each.hop_length is None:
            bar.set_axis_off()
            _draw_waveform_input(axis, frontend, each, cost, span)
        else:
            _draw_features(axis, bar, frontend, each, cost, span)
    for axis in axes[:-1]:
        axis.tick_params(labelbottom=False)
    wave.set_xlim(span.start_s, span.end_s + (span.duration_s * _PADDING_SHARE if padded else 0.0))
    axes[-1].set_xlabel("Time in the recording [s]")
    figure.suptitle(
        f"{clean(span.path.name)} as {clean(frontend.name)} sees it", x=0.01, ha="left", fontsize=10.5, weight="bold"
    )
    return figure


@styled
def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write a figure as ``STEM.png`` and ``STEM.svg``; the same recording gives the same bytes.

    Returns:
        The two files.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Laid out once, for both files.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    png, svg = folder / f"{stem}.png", folder / f"{stem}.svg"
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    # So few colours are in it that a palette holds them, in a third of the bytes.
    Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(png, optimize=True)
    figure.savefig(svg, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    return [png, svg]


def _draw_wave(axis: Axes, samples: NDArray[np.float32], span: Span) -> None:
    edges_s = np.linspace(span.start_s, span.end_s, min(len(samples), _MOST_POINTS), endpoint=False)
    if len(samples) > _MOST_POINTS:
        first = np.linspace(0, len(samples), _MOST_POINTS, endpoint=False).astype(int)
        low, high = np.minimum.reduceat(samples, first), np.maximum.reduceat(samples, first)
        axis.fill_between(edges_s, low, high, color=BLUE, linewidth=0.4)
    else:
        axis.plot(edges_s, samples, color=BLUE, linewidth=0.8)
    most = _HEADROOM * (float(np.abs(samples).max()) or 1.0)
    axis.set_ylim(-most, most)


def _draw_linear(axis: Axes, bar: Axes, span: Span) -> None:
    found = spectrogram(span.native, span.native_hz)
    loudest = float(found.levels_db.max())
    frequencies, frames = found.levels_db.shape
    half_bin = found.top_hz / (frequencies - 1) / 2
    image = axis.imshow(
        found.levels_db,
        extent=(
            span.start_s - found.step_s / 2,
            span.start_s + (frames - 0.5) * found.step_s,
            (-half_bin) / 1000,
            (found.top_hz + half_bin) / 1000,
        ),
        **_look(loudest - _RANGE_DB, loudest),
    )
    axis.figure.colorbar(image, cax=bar, label="Level\n[dB full scale]")
    top_khz = max(span.file_top_hz, span.model_top_hz) / 1000
    axis.set_ylim(0, top_khz)
    axis.set_ylabel("Frequency [kHz]")
    what, about = "Linear spectrogram", f"of the same samples, 0 to {khz(span.file_top_hz)}"
    if span.lost_hz is not None:
        low, high = (hz / 1000 for hz in span.lost_hz)
        axis.fill_between((span.start_s, span.end_s), low, high, **_LOST)
        axis.hlines(low, span.start_s, span.end_s, color="white", linewidth=1.4)
        told = (
            f"resampled to {khz(span.heard_hz)}, so nothing above {low:g} kHz reaches the model:"
            f" {percent(span.lost_share)} of the energy"
        )
        _tell(axis, span, (low + high) / 2, told)
    if span.empty_hz is not None:
        low, high = (hz / 1000 for hz in span.empty_hz)
        axis.fill_between((span.start_s, span.end_s), low, high, **_NOTHING)
        axis.hlines(low, span.start_s, span.end_s, color=INK, linewidth=1.0)
        _tell(axis, span, (low + high) / 2, f"nothing: a file of {khz(span.native_hz)} ends at {low:g} kHz")
    _title(axis, what, about)


def _draw_features(axis: Axes, bar: Axes, frontend: Frontend, heard: Heard, cost: Cost, span: Span) -> None:
    hop_length = heard.hop_length
    assert hop_length is not None
    step_s = hop_length / frontend.rate_hz
    begin_s = span.start_s + heard.first / frontend.rate_hz - step_s / 2
    bands = len(heard.values)
    image = axis.imshow(
        heard.values,
        extent=(begin_s, begin_s + heard.frames * step_s, -0.5, bands - 0.5),
        # Where there is room, every frame is seen as it is, with sharp edges.
        interpolation="nearest" if heard.frames < _COLUMNS else "auto",
        **_look(float(heard.values.min()), float(heard.values.max())),
    )
    axis.figure.colorbar(image, cax=bar, label="Feature\nvalue")
    axis.set_ylim(-0.5, bands - 0.5)
    centres_hz = frontend.band_centres_hz(bands)
    if centres_hz is None:
        axis.set_ylabel("Mel band")
    else:
        ticks = [hz for hz in _TICKS_HZ if centres_hz[0] <= hz <= centres_hz[-1]]
        axis.set_yticks(np.interp(ticks, centres_hz, np.arange(bands)), [f"{hz / 1000:g}" for hz in ticks])
        axis.set_ylabel("Mel band\ncentre [kHz]")
        empty = int((centres_hz > span.file_top_hz).sum())
        if empty:
            low = bands - empty - 0.5
            axis.fill_between((span.start_s, span.end_s), low, bands - 0.5, **_LOST)
            axis.hlines(low, span.start_s, span.end_s, color="white", linewidth=1.4)
            _tell(
                axis,
                span,
                (low + bands - 0.5) / 2,
                f"{empty} of {bands} bands empty: the file ends at {khz(span.file_top_hz)}",
            )
    _mark_padding(axis, heard, span, begin_s + heard.frames * step_s)
    _mark_end_of_table(axis, cost, span)
    own = "the model's own" if hop_length == frontend.hop_length else "for viewing only"
    _title(axis, f"Log-mel, hop {hop_length} samples ({1000 * step_s:g} ms), {own}", _cost_line(cost, frontend))


def _draw_waveform_input(axis: Axes, frontend: Frontend, heard: Heard, cost: Cost, span: Span) -> None:
    _draw_wave(axis, heard.values, span)
    axis.set_ylabel("Standard\ndeviations" if frontend.is_normalized else "Amplitude")
    how = "zero mean, unit variance" if frontend.is_normalized else "as it is"
    _title(
        axis,
        f"What the model is given: the waveform at {khz(span.heard_hz)}, {how}",
        _frames_line(cost),
    )


def _frames_line(cost: Cost) -> str:
    told = f"{cost.frames:,} samples"
    if cost.positions is None or cost.positions_per_s is None:
        return told
    return f"{told}; {cost.positions:,} frames after its convolutions, {cost.positions_per_s:.4g} a second"


def _is_padded(heard: Heard, span: Span) -> bool:
    """Tell whether there is as much padding as the strip that shows it."""
    return heard.padding * (heard.hop_length or 0) / span.heard_hz > span.duration_s * _PADDING_SHARE


def _mark_padding(axis: Axes, heard: Heard, span: Span, from_s: float) -> None:
    """Mark where the extractor adds silence."""
    if not _is_padded(heard, span):
        return
    axis.axvspan(from_s, span.end_s + span.duration_s * _PADDING_SHARE, **_NOTHING)
    axis.annotate(
        f"then {heard.padding:,}\nframes of\npadding",
        (1 - _PADDING_SHARE / (1 + _PADDING_SHARE) / 2, 0.5),
        xycoords="axes fraction", ha="center", va="center", fontsize=7.5, bbox=_TOLD,
    )  # fmt: skip


def _mark_end_of_table(axis: Axes, cost: Cost, span: Span) -> None:
    if cost.fits_s is None or cost.fits_s >= span.duration_s:
        return
    end_s = span.start_s + cost.fits_s
    axis.axvspan(end_s, span.end_s, **_LOST)
    axis.axvline(end_s, color="white", linewidth=1.4)
    axis.annotate(
        f"no encoder position left: a window holds {cost.fits_s:g} s",
        ((end_s + span.end_s) / 2, 0.5),
        xycoords=("data", "axes fraction"), ha="center", va="center", fontsize=8, bbox=_TOLD,
    )  # fmt: skip


def _cost_line(cost: Cost, frontend: Frontend) -> str:
    parts = [f"{cost.frames:,} frames"]
    if cost.positions is not None:
        parts.append(f"{cost.positions:,} encoder positions")
    told = ", ".join(parts)
    if cost.encoder_flop is None or cost.relative is None:
        return told
    window = f"a window of {frontend.window_s:g} s" if frontend.window_s is not None else "the span"
    than = "" if cost.relative == 1 else f", {cost.relative:.2f} times the model's own"
    return f"{told}; encoder work for {window}: {gflop(cost.encoder_flop)} GFLOP{than}"


def _look(low: float, high: float) -> dict[str, Any]:
    return {
        "origin": "lower",
        "aspect": "auto",
        "cmap": _COLOURS,
        "interpolation_stage": "data",
        "vmin": low,
        "vmax": high if high > low else low + 1,
    }


def _title(axis: Axes, what: str, about: str) -> None:
    axis.set_title(what, pad=15)
    told = axis.annotate(
        about, (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8.5, color=MUTED
    )
    told.set_in_layout(False)  # the title's own room holds it


def _tell(axis: Axes, span: Span, height: float, text: str) -> None:
    told = axis.annotate(
        text, ((span.start_s + span.end_s) / 2, height), ha="center", va="center", fontsize=8, bbox=_TOLD
    )
    told.set_in_layout(False)
