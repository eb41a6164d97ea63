"""What the picture says, read from its parts, and the files it is written to."""

import wave
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from bench.data.audio import native_rate_hz
from bench.features.cost import cost_of
from bench.features.frontend import Frontend
from bench.features.picture import draw, save
from bench.features.span import Span, read_span
from tests.inference.ctc_folders import save as save_model

TINY = "architecture/whisper-tiny"


def noise_file(folder: Path, rate_hz: int, seconds: float = 2.0) -> Path:
    """Noise that fills all of the band a rate has room for."""
    samples = np.random.default_rng(3).normal(0, 3_000, round(seconds * rate_hz)).astype("<i2")
    path = folder / f"noise_{rate_hz}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())
    return path


def figure_of(path: Path, model: str = TINY, hop_lengths: tuple[int | None, ...] = (160,)) -> tuple[Figure, Span]:
    frontend = Frontend(model)
    span = read_span(path, frontend.rate_hz, window_s=frontend.window_s)
    own = frontend.hear(span.heard, frontend.hop_length)
    heard = [frontend.hear(span.heard, hop_length) for hop_length in hop_lengths]
    return draw(frontend, span, heard, [cost_of(frontend, each, own) for each in heard]), span


def told(axis: Axes) -> list[str]:
    return [child.get_text() for child in axis.get_children() if isinstance(child, Annotation)]


def panels(figure: Figure) -> list[Axes]:
    """The panels of the time axis, without the colour bars."""
    return [axis for axis in figure.axes if axis.get_shared_x_axes().joined(axis, figure.axes[0])]


def test_of_a_48_khz_file_the_band_above_8_khz_is_marked_as_lost(tmp_path: Path) -> None:
    path = noise_file(tmp_path, 48_000)
    assert native_rate_hz(path) == 48_000
    figure, _ = figure_of(path)
    _, linear, mel = panels(figure)
    assert linear.get_ylim() == (0, 24)
    (said,) = [text for text in told(linear) if "reaches" in text]
    assert said.startswith("resampled to 16 kHz, so nothing above 8 kHz reaches the model: 6")  # two thirds of the band
    veil = linear.collections[0].get_paths()[0].get_extents()
    assert (veil.y0, veil.y1) == (8, 24)
    assert not any("empty" in text for text in told(mel))


def test_of_an_8_khz_file_the_bands_above_4_khz_are_marked_and_are_empty(tmp_path: Path) -> None:
    figure, span = figure_of(noise_file(tmp_path, 8_000))
    _, linear, mel = panels(figure)
    assert linear.get_ylim() == (0, 8)
    assert "nothing: a file of 8 kHz ends at 4 kHz" in told(linear)
    assert "18 of 80 bands empty: the file ends at 4 kHz" in told(mel)
    veil = mel.collections[0].get_paths()[0].get_extents()
    assert (veil.y0, veil.y1) == (61.5, 79.5)
    values = Frontend(TINY).hear(span.heard, 160).values[:, 3:-3]  # where noise begins and ends, all bands hear it
    assert values[64:].max() < values[:61].mean() - 1  # a unit is 40 dB; the band at the border is half in


def test_of_a_16_khz_file_no_band_is_marked(tmp_path: Path) -> None:
    figure, _ = figure_of(noise_file(tmp_path, 16_000, seconds=30))
    _, linear, mel = panels(figure)
    assert not linear.collections
    assert not mel.collections
    assert not mel.patches


def test_hop_lengths_share_the_axis_and_tell_their_frames_and_cost(tmp_path: Path) -> None:
    figure, span = figure_of(noise_file(tmp_path, 16_000), hop_lengths=(80, 160, 320))
    assert len(panels(figure)) == 5
    assert len({axis.get_xlim() for axis in panels(figure)}) == 1
    fine, own, coarse = panels(figure)[2:]
    assert [axis.get_title(loc="left").rpartition(", ")[2] for axis in (fine, own, coarse)] == [
        "for viewing only",
        "the model's own",
        "for viewing only",
    ]
    assert told(fine)[-1].startswith("400 frames, 200 encoder positions; encoder work for a window of 30 s: 102 GFLOP")
    assert told(own)[-1] == "200 frames, 100 encoder positions; encoder work for a window of 30 s: 36.9 GFLOP"
    for axis, hop_length in ((fine, 80), (own, 160), (coarse, 320)):
        (image,) = axis.get_images()
        left, right, _, _ = image.get_extent()
        step_s = hop_length / 16_000
        assert (left, right) == pytest.approx((-step_s / 2, span.duration_s - step_s / 2))
        assert f"then {28 * 16_000 // hop_length:,}\nframes of\npadding" in told(axis)


def test_what_finds_no_encoder_position_is_marked(tmp_path: Path) -> None:
    figure, _ = figure_of(noise_file(tmp_path, 16_000, seconds=20), hop_lengths=(80, 160))
    fine, own = panels(figure)[2:]
    assert "no encoder position left: a window holds 15 s" in told(fine)
    assert [patch.get_x() for patch in fine.patches][-1] == 15  # type: ignore[attr-defined]
    assert not any("no encoder position" in text for text in told(own))


def test_a_model_of_waveforms_gets_a_waveform_and_its_frame_rate(tmp_path: Path) -> None:
    figure, _ = figure_of(noise_file(tmp_path, 16_000), "architecture/wav2vec2-base", (None,))
    given = panels(figure)[-1]
    assert "zero mean, unit variance" in given.get_title(loc="left")
    assert told(given) == ["32,000 samples; 99 frames after its convolutions, 50 a second"]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("family", ["lasr", "parakeet", "wav2vec2-bert"])
def test_families_that_pad_nothing_are_drawn_without_padding(tmp_path: Path, family: str) -> None:
    figure, _ = figure_of(noise_file(tmp_path, 16_000), str(save_model(family, tmp_path / family)))
    assert panels(figure)[-1].get_xlim() == (0, 2)
    assert not any("padding" in text for text in told(panels(figure)[-1]))


def test_silence_can_be_drawn(tmp_path: Path) -> None:
    path = noise_file(tmp_path, 48_000)
    path.write_bytes(path.read_bytes()[:44] + bytes(2 * 96_000))
    figure, _ = figure_of(path)
    assert save(figure, tmp_path, "silence")


def test_the_files_are_a_png_and_an_svg_and_the_same_every_time(tmp_path: Path) -> None:
    path = noise_file(tmp_path, 48_000)
    first, again = (save(figure_of(path)[0], tmp_path / each, "noise") for each in ("first", "again"))
    assert [file.relative_to(tmp_path / "first").name for file in first] == ["noise.png", "noise.svg"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    with Image.open(first[0]) as image:
        image.load()
        assert image.format == "PNG"
        assert image.width == 1_040  # 8 inches
        assert len(image.convert("RGB").getcolors(256) or []) > 50
    root = ElementTree.parse(first[1]).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall(".//{http://www.w3.org/2000/svg}image")) >= 2  # the two spectrograms
