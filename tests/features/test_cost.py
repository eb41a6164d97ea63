"""Costs, against the models' own output and against arithmetic by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, WhisperForConditionalGeneration

from bench.errors import ModelError
from bench.features.cost import Cost, cost_of, gflop
from bench.features.frontend import Frontend
from tests.inference.ctc_folders import RATE_HZ, babble, save

TINY = "architecture/whisper-tiny"


def cost(name: str, hop_length: int | None, seconds: float = 2.0) -> Cost:
    frontend = Frontend(name)
    samples = babble(seconds)
    return cost_of(frontend, frontend.hear(samples, hop_length), frontend.hear(samples, frontend.hop_length))


def whisper_tiny_flop(positions: int) -> int:
    """Two operations for each multiplication and addition of Radford et al. 2022, table 1: width 384, 4 layers."""
    convolutions = 2 * 3 * 384 * (80 * 2 * positions + 384 * positions)
    projections, mlp = 4 * 2 * positions * 384**2, 2 * 2 * positions * 384 * 1536
    attention = 2 * 2 * positions**2 * 384
    return convolutions + 4 * (projections + mlp + attention)


@pytest.mark.parametrize(("hop_length", "positions"), [(80, 3_000), (160, 1_500), (256, 938), (320, 750)])
def test_the_encoders_work_is_what_its_layers_add_up_to(hop_length: int, positions: int) -> None:
    found = cost(TINY, hop_length)
    assert found.window_positions == positions
    assert found.encoder_flop == whisper_tiny_flop(positions)
    assert found.relative == pytest.approx(whisper_tiny_flop(positions) / whisper_tiny_flop(1_500))


@pytest.mark.parametrize(("hop_length", "fits_s"), [(80, 15), (160, 30), (320, 60)])
def test_whispers_table_of_1500_positions_bounds_the_window(hop_length: int, fits_s: float) -> None:
    found = cost(TINY, hop_length)
    assert found.fits_s == fits_s
    assert found.positions_per_s == 1_500 / fits_s
    assert (found.frames, found.window_frames) == (32_000 // hop_length, 480_000 // hop_length)


def test_whisper_itself_takes_no_other_number_of_frames(tiny_en: Path) -> None:
    frontend = Frontend(str(tiny_en))
    encoder = WhisperForConditionalGeneration.from_pretrained(tiny_en, dtype=torch.float32).get_encoder()
    for hop_length in (80, 320):
        heard = frontend.hear(babble(30), hop_length)
        with pytest.raises(ValueError, match="3000"):
            encoder(torch.from_numpy(heard.values)[None])
    own = frontend.hear(babble(30), 160)
    with torch.inference_mode():
        encoded = encoder(torch.from_numpy(own.values)[None]).last_hidden_state
    assert encoded.shape[1] == cost(str(tiny_en), 160).window_positions


@pytest.mark.parametrize("family", ["wav2vec2-group", "wav2vec2-adapter", "wav2vec2-bert", "lasr", "parakeet"])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_positions_are_the_frames_that_the_model_emits(tmp_path: Path, family: str) -> None:
    folder = save(family, tmp_path / family)
    frontend = Frontend(str(folder))
    heard = frontend.hear(babble(3.3), frontend.hop_length)
    values = heard.values if heard.hop_length is None else heard.values.T
    inputs = torch.from_numpy(np.ascontiguousarray(values)).reshape(1, *_shape(values, frontend.rows_per_input))
    with torch.inference_mode():
        emitted = AutoModelForCTC.from_pretrained(folder)(inputs).logits.shape[1]
    found = cost(str(folder), frontend.hop_length, 3.3)
    assert found.positions == emitted
    assert found.positions_per_s == pytest.approx(emitted / 3.3, rel=0.05)
    assert found.fits_s is None


def _shape(values: np.ndarray, stacked: int) -> tuple[int, ...]:
    return values.shape if values.ndim == 1 else (len(values) // stacked, values.shape[1] * stacked)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("family", ["lasr", "parakeet"])
def test_models_that_pad_nothing_cost_what_the_span_is_long(tmp_path: Path, family: str) -> None:
    name = str(save(family, tmp_path / family))
    fine, own = cost(name, 80), cost(name, 160)
    assert own.relative == 1
    assert fine.relative is not None
    assert 1.8 < fine.relative < 4  # between proportional, but for the ends, and the square
    assert fine.frames == pytest.approx(2 * own.frames, abs=4)
    longer = cost(name, 160, seconds=4.0)
    assert own.encoder_flop is not None
    assert longer.encoder_flop is not None
    assert longer.encoder_flop > 1.9 * own.encoder_flop


@pytest.mark.parametrize(
    ("name", "samples_a_frame"), [("architecture/wav2vec2-base", 320), ("architecture/moonshine-tiny", 384)]
)
def test_models_of_waveforms_have_the_frame_rate_of_their_strides(name: str, samples_a_frame: int) -> None:
    found = cost(name, None)
    assert found.positions_per_s == pytest.approx(RATE_HZ / samples_a_frame, rel=1e-4)
    assert (found.frames, found.window_frames, found.encoder_flop, found.relative) == (32_000, 32_000, None, None)


def test_a_model_that_writes_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clap"}')
    (tmp_path / "preprocessor_config.json").write_text('{"feature_extractor_type": "WhisperFeatureExtractor"}')
    frontend = Frontend(str(tmp_path))
    heard = frontend.hear(babble(1), 160)
    with pytest.raises(ModelError, match="'clap', which transformers does not list for speech recognition"):
        cost_of(frontend, heard, heard)


def test_operations_are_written_with_three_digits() -> None:
    assert [gflop(flop) for flop in (36_937_728_000, 101_523_456_000, 2_270_000_000_000)] == ["36.9", "102", "2,270"]
