"""What a hop length costs: frames, encoder positions, and the encoder's arithmetic.

All of it comes from the model's own code, run on torch's meta device: shapes without numbers, so it takes neither
weights nor time, and is no formula of ours. Arithmetic is counted by torch's ``FlopCounterMode``: two operations for
each multiplication and addition of a matrix product or convolution, attention's products among them, whose number grows
with the square of the positions.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    MODEL_FOR_CTC_MAPPING,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    WhisperConfig,
)

from bench.errors import ModelError
from bench.features.frontend import Frontend, Heard

_ROWS_PER_POSITION = 2  # Whisper's second convolution has stride 2 (Radford et al. 2022, section 2.2)

_LONG_S = 1_000  # long enough that a convolution more or less at its ends does not tell

# What the families call their own count of what remains of so many input rows.
_COUNTERS = ("_get_feat_extract_output_lengths", "_get_subsampling_output_length")


@dataclass(frozen=True)
class Cost:
    """What a span costs at one hop length.

    A *window* is what the encoder computes over, padding included: Whisper's 30 s, however short the span, and the span
    itself for models that pad nothing.

    Attributes:
        frames: Frames that are audio; samples where the model is given the waveform.
        positions: Encoder positions of these; null where the family has no count of its own.
        window_frames: Frames of the window.
        window_positions: Encoder positions of the window.
        positions_per_s: Encoder positions that a second of sound adds; null as above.
        fits_s: Longest window that the model's table of positions has places for, in seconds; null where there is no
            such table.
        encoder_flop: Floating-point operations of the encoder over the window; null where they are not counted.
        relative: The same as a multiple of what the model's own hop length takes.
    """

    frames: int
    positions: int | None
    window_frames: int
    window_positions: int | None
    positions_per_s: float | None
    fits_s: float | None
    encoder_flop: int | None
    relative: float | None


def cost_of(frontend: Frontend, heard: Heard, own: Heard) -> Cost:
    """Find what a span costs.

    Args:
        frontend: What made the model's input.
        heard: The span at a hop length.
        own: The same span at the model's own hop length.

    Raises:
        ModelError: The model's family is not supported.
    """
    model = _skeleton(frontend, frontend.settings)
    window = heard.frames + heard.padding
    rows_per_s = frontend.rate_hz / (heard.hop_length or 1) / frontend.rows_per_input
    table = getattr(frontend.settings, "max_source_positions", None) if frontend.window_s else None
    flop, own_flop = _encoder_flop(frontend, heard), _encoder_flop(frontend, own)
    return Cost(
        frames=heard.frames,
        positions=_positions(model, heard.frames // frontend.rows_per_input),
        window_frames=window,
        window_positions=_positions(model, window // frontend.rows_per_input),
        positions_per_s=_positions_per_s(model, rows_per_s),
        fits_s=table * _ROWS_PER_POSITION * heard.hop_length / frontend.rate_hz if table and heard.hop_length else None,
        encoder_flop=flop,
        relative=flop / own_flop if flop and own_flop else None,
    )


def gflop(flop: int) -> str:
    """Write operations in billions, to three digits."""
    billions = flop / 1e9
    return f"{billions:,.0f}" if billions >= 100 else f"{billions:.3g}"


def _positions(model: Any, rows: int) -> int | None:
    for name in _COUNTERS:
        if hasattr(model, name):
            return int(getattr(model, name)(torch.tensor([rows])))
    return None


def _positions_per_s(model: Any, rows_per_s: float) -> float | None:
    """Count over a long while, from far enough on that no convolution meets the beginning."""
    begin, end = (_positions(model, round(seconds * rows_per_s)) for seconds in (_LONG_S, 2 * _LONG_S))
    return None if begin is None or end is None else (end - begin) / _LONG_S


def _encoder_flop(frontend: Frontend, heard: Heard) -> int | None:
    """Count over the window; only where a hop length can be changed, for there is nothing else to compare."""
    settings = frontend.settings
    is_whisper = isinstance(settings, WhisperConfig)
    if heard.hop_length is None or not (is_whisper or type(settings) in MODEL_FOR_CTC_MAPPING):
        return None
    rows = (heard.frames + heard.padding) // frontend.rows_per_input
    bands = len(heard.values) * frontend.rows_per_input
    if is_whisper:
        # Its encoder refuses windows that do not fill its table of positions, so it gets a table to match.
        settings = copy.deepcopy(settings)
        settings.max_source_positions = -(-rows // _ROWS_PER_POSITION)
        shape = (1, bands, settings.max_source_positions * _ROWS_PER_POSITION)
    else:
        shape = (1, rows, bands)
    model = _skeleton(frontend, settings)
    encoder = model.get_encoder() if is_whisper else model
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        encoder(torch.empty(shape, device="meta"))
    return int(counter.get_total_flops())


def _skeleton(frontend: Frontend, settings: Any) -> Any:
    """Build a model without numbers."""
    if type(settings) in MODEL_FOR_CTC_MAPPING:
        auto = AutoModelForCTC
    elif type(settings) in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING:
        auto = AutoModelForSpeechSeq2Seq
    else:
        raise ModelError(
            f"model.name={frontend.name} is of the family {settings.model_type!r}, which transformers does not list for"
            " speech recognition; name a CTC model or a speech-to-text model"
        )
    with torch.device("meta"):
        model = auto.from_config(settings, attn_implementation="eager", dtype=torch.float32, trust_remote_code=False)
    return model.eval()
