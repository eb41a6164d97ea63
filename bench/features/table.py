"""A look at a recording in words and numbers, for a terminal."""

from collections.abc import Sequence

from bench.features.cost import Cost, gflop
from bench.features.frontend import Frontend, Heard
from bench.features.span import Span, khz, percent

_UNKNOWN = "–"


def cells(frontend: Frontend, heard: Sequence[Heard], costs: Sequence[Cost]) -> tuple[list[str], list[list[str]]]:
    """Lay out what each hop length gives and costs: heads, and a row each."""
    what = "samples" if frontend.reads_waveform else "frames"
    heads = [
        "hop length",
        f"span: {what}",
        "positions",
        f"window: {what}",
        "positions",
        "positions/s",
        "longest window",
        "encoder GFLOP",
        "relative",
        "scored",
    ]
    return heads, [_row(frontend, each, cost) for each, cost in zip(heard, costs, strict=True)]


def lines(frontend: Frontend, span: Span, costs: Sequence[Cost]) -> list[str]:
    """Say what the table's columns and the picture's marks mean."""
    said = [
        f"{span.path.name}: {span.start_s:g} s to {span.end_s:.4g} s, {khz(span.native_hz)};"
        f" {frontend.name} takes {khz(span.heard_hz)}. {band_line(span)}"
    ]
    if frontend.window_s is not None:
        said.append(
            f"window: every input is padded with silence to {frontend.window_s:g} s, and the encoder computes over all"
            f" of it; this span fills {span.duration_s / frontend.window_s:.0%}"
        )
    else:
        said.append("window: the span itself, since this model pads nothing")
    if any(cost.fits_s is not None for cost in costs):
        said.append(
            f"longest window: the sound that the model's {frontend.settings.max_source_positions:,} encoder positions"
            " hold at that hop length"
        )
    if any(cost.relative is not None for cost in costs):
        said.append(
            "encoder GFLOP: billions of operations of the encoder over a window, counted, not timed; attention grows"
            " with the square of the positions, the rest in proportion; relative: to the model's own hop length"
        )
    if frontend.reads_waveform:
        said.append("the model reads the waveform itself; positions are the frames that its convolutions leave of it")
    elif any(cost.relative != 1 for cost in costs):
        said.append("scored: asr-sweep run takes the model's own hop length alone, the one it was trained on")
    return said


def band_line(span: Span) -> str:
    """Say which frequencies cannot reach the model, and why."""
    if span.lost_hz is not None:
        return (
            f"Resampling drops what lies between {khz(span.lost_hz[0])} and {khz(span.lost_hz[1])}: a rate of"
            f" {khz(span.heard_hz)} holds frequencies up to half of it. That is {percent(span.lost_share)} of the"
            " span's energy."
        )
    if span.empty_hz is not None:
        return (
            f"The file holds nothing above {khz(span.empty_hz[0])}, half its rate, so the model's bands from there to"
            f" {khz(span.empty_hz[1])} are empty."
        )
    return f"Both end at {khz(span.file_top_hz)}, so resampling loses nothing."


def _row(frontend: Frontend, heard: Heard, cost: Cost) -> list[str]:
    hop = heard.hop_length
    own = hop == frontend.hop_length
    return [
        "none" if hop is None else f"{hop} ({1000 * hop / frontend.rate_hz:g} ms)",
        f"{cost.frames:,}",
        _count(cost.positions),
        f"{cost.window_frames:,}",
        _count(cost.window_positions),
        _UNKNOWN if cost.positions_per_s is None else f"{cost.positions_per_s:.4g}",
        _UNKNOWN if cost.fits_s is None else f"{cost.fits_s:g} s",
        _UNKNOWN if cost.encoder_flop is None else gflop(cost.encoder_flop),
        _UNKNOWN if cost.relative is None else f"x{cost.relative:.2f}",
        "yes" if own else "no",
    ]


def _count(number: int | None) -> str:
    return _UNKNOWN if number is None else f"{number:,}"
