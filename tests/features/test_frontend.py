"""What models are given, against arithmetic of the tests' own."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import AutoFeatureExtractor

from bench.errors import ConfigError, ModelError
from bench.features.frontend import Frontend
from tests.inference.ctc_folders import save

RATE_HZ = 16_000
TINY = "architecture/whisper-tiny"


def noise(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, 0.1, round(seconds * RATE_HZ)).astype(np.float32)


def test_whisper_is_given_what_its_own_extractor_makes(tiny_en: Path) -> None:
    samples = noise(2)
    heard = Frontend(str(tiny_en)).hear(samples, 160)
    own = AutoFeatureExtractor.from_pretrained(tiny_en)(samples, sampling_rate=RATE_HZ, return_tensors="np")
    np.testing.assert_array_equal(heard.values, own["input_features"][0][:, :200])
    assert (heard.frames, heard.padding) == (200, 2_800)


@pytest.mark.parametrize("hop_length", [16, 80, 150, 160, 320, 400])
@pytest.mark.parametrize("samples", [1_600, 16_001, 480_000])
def test_whisper_makes_a_frame_of_every_hop_and_pads_to_30_seconds(hop_length: int, samples: int) -> None:
    heard = Frontend(TINY).hear(noise(30)[:samples], hop_length)
    assert heard.values.shape == (80, min(math.ceil(samples / hop_length), 480_000 // hop_length))
    assert heard.frames + heard.padding == 480_000 // hop_length


def test_half_the_hop_looks_at_the_same_places_and_between_them() -> None:
    frontend = Frontend(TINY)
    coarse, fine = (frontend.hear(noise(2), hop_length).values for hop_length in (160, 80))
    np.testing.assert_allclose(fine[:, ::2], coarse, atol=1e-5)
    assert np.abs(fine[:, 1::2] - coarse).mean() > 0.05


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("family", ["whisper", "parakeet", "lasr", "wav2vec2-bert"])
@pytest.mark.parametrize("at", [16_000, 16_080, 20_037])
def test_a_click_is_seen_when_it_sounds(tmp_path: Path, family: str, at: int) -> None:
    name = TINY if family == "whisper" else str(save(family, tmp_path / family))
    samples = 1e-4 * noise(2)
    samples[at] = 1.0
    frontend = Frontend(name)
    heard = frontend.hear(samples, 160)
    assert len(heard.values) == 128 if family == "lasr" else 80
    loudest = int(heard.values.sum(axis=0).argmax())
    assert abs(heard.first + 160 * loudest - at) <= 80  # no frame's middle is further away than half a hop


def test_the_bands_are_centred_on_slaneys_mel_scale() -> None:
    # Slaney's Auditory Toolbox (1998): 200/3 Hz a mel up to 1 kHz, from there on a factor of 6.4 in 27 mels.
    mels = np.linspace(0, 15 + 27 * math.log(8) / math.log(6.4), 82)[1:-1]
    centres_hz = np.where(mels < 15, mels * 200 / 3, 1_000 * 6.4 ** ((mels - 15) / 27))
    found = Frontend(TINY).band_centres_hz(80)
    assert found is not None
    np.testing.assert_allclose(found, centres_hz, atol=22, rtol=0.015)  # the filters lie on bins 40 Hz apart
    assert (found > 4_000).sum() == (centres_hz > 4_000).sum() == 18


@pytest.mark.parametrize("bands", [80, 128])
def test_bands_rise_however_many_there_are(bands: int) -> None:
    name = TINY if bands == 80 else "architecture/whisper-large-v3"
    found = Frontend(name).band_centres_hz(bands)
    assert found is not None
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] < 100
    assert 7_500 < found[-1] < 8_000


@pytest.mark.parametrize(
    ("name", "normalized"), [("architecture/wav2vec2-base", True), ("architecture/moonshine-tiny", False)]
)
def test_models_of_waveforms_are_given_the_waveform(name: str, normalized: bool) -> None:
    frontend, samples = Frontend(name), noise(1) + np.float32(0.2)
    heard = frontend.hear(samples, None)
    wanted = (samples - samples.mean()) / samples.std() if normalized else samples
    np.testing.assert_allclose(heard.values, wanted, atol=1e-3)
    assert (frontend.hop_length, frontend.is_normalized, heard.padding) == (None, normalized, 0)
    with pytest.raises(
        ConfigError, match=r"reads the waveform itself.* has no hop length to change; leave --hop-length"
    ):
        frontend.checked(160)


def test_a_hop_that_is_built_in_cannot_be_changed(tmp_path: Path) -> None:
    frontend = Frontend(str(save("wav2vec2-bert", tmp_path / "model")))
    assert frontend.checked(160) == 160
    with pytest.raises(ConfigError, match="has its hop of 160 samples built in; leave --hop-length out"):
        frontend.checked(80)


@pytest.mark.parametrize("hop_length", [-160, 0, 15, 401])
def test_a_hop_that_shows_nothing_more_or_leaves_sound_out_is_refused(hop_length: int) -> None:
    with pytest.raises(ConfigError, match=f"--hop-length {hop_length} is not between 16 and 400"):
        Frontend(TINY).checked(hop_length)


def test_a_folder_without_an_extractor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(ModelError, match="cannot be loaded"):
        Frontend(str(tmp_path))
