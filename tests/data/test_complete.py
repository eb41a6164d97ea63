"""Files that lack a part of what they promise, and files whose headers promise what nobody should believe."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from bench.assets.voices import synthesize
from bench.data.audio import decode_audio
from bench.errors import AudioError

ENDINGS = [".wav", ".flac", ".mp3", ".webm", ".ogg", ".m4a", ".mkv"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    samples, rate_hz = synthesize("It was the age of wisdom, it was the age of foolishness.")
    return {ending: encode(folder / f"a{ending}", samples, rate_hz) for ending in ENDINGS}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_whole_file_is_whole(whole: dict[str, Path], ending: str) -> None:
    assert len(decode_audio(whole[ending], 16_000)) / 16_000 == pytest.approx(
        len(decode_audio(whole[".wav"], 16_000)) / 16_000, abs=0.1
    )


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_was_cut_short_is_an_error(
    whole: dict[str, Path], tmp_path: Path, ending: str, share: float
) -> None:
    content = whole[ending].read_bytes()
    path = tmp_path / f"cut{ending}"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioError, match="cut"):
        decode_audio(path, 16_000)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s24le", "pcm_f64le", "pcm_mulaw", "adpcm_ima_wav", "adpcm_ms"])
@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100])
def test_wav_of_any_codec_is_whole(tmp_path: Path, codec: str, rate_hz: int) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        tone = np.round(9_000 * np.sin(np.arange(20 * rate_hz) / 9)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=stream.format, layout="mono", frame_size=stream.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    assert len(decode_audio(path, 16_000)) / 16_000 == pytest.approx(20, abs=0.2)
    if not codec.startswith("adpcm"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(AudioError, match="cut short"):
            decode_audio(path, 16_000)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0], ids=hex)
def test_a_stream_that_was_saved_promises_nothing(whole: dict[str, Path], tmp_path: Path, size: int) -> None:
    """Programs that write WAV to a pipe cannot know its length."""
    content = bytearray(whole[".wav"].read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = size.to_bytes(4, "little")
    path = tmp_path / "piped.wav"
    path.write_bytes(content)
    assert np.array_equal(decode_audio(path, 16_000), decode_audio(whole[".wav"], 16_000))


def test_a_wrong_rate_of_bytes_is_not_believed(whole: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(whole[".wav"].read_bytes())
    content[28:32] = (1_000).to_bytes(4, "little")
    path = tmp_path / "odd.wav"
    path.write_bytes(content)
    assert np.array_equal(decode_audio(path, 16_000), decode_audio(whole[".wav"], 16_000))


def test_an_ogg_file_that_ends_within_its_last_page_was_cut(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.ogg"
    path.write_bytes(whole[".ogg"].read_bytes()[:-20])
    with pytest.raises(AudioError, match="cut short"):
        decode_audio(path, 16_000)


def test_chunks_before_and_after_the_samples_are_no_samples(whole: dict[str, Path], tmp_path: Path) -> None:
    content = whole[".wav"].read_bytes()
    place = content.index(b"data")
    note = b"LIST" + (11).to_bytes(4, "little") + b"INFOhello!!" + b"\0"  # of odd length, and padded
    path = tmp_path / "noted.wav"
    path.write_bytes(content[:place] + note + content[place:] + note)
    assert np.array_equal(decode_audio(path, 16_000), decode_audio(whole[".wav"], 16_000))
    path.write_bytes(content[:place] + note + content[place : len(content) // 2])
    with pytest.raises(AudioError, match="cut short"):
        decode_audio(path, 16_000)


def test_an_mp3_without_a_count_of_frames_is_taken_as_it_is(whole: dict[str, Path], tmp_path: Path) -> None:
    """Its length is guessed from the rate of its first frame, which a variable rate belies."""
    content = whole[".mp3"].read_bytes()
    tag = max(content.find(b"Xing"), content.find(b"Info"))
    assert tag > 0
    path = tmp_path / "untagged.mp3"
    path.write_bytes(content[:tag] + b"\0\0\0\0" + content[tag + 4 : len(content) // 2])
    assert len(decode_audio(path, 16_000)) > 16_000


@pytest.mark.parametrize("bytes_of_tag", [200, 20_000])
def test_a_long_tag_before_the_first_frame(whole: dict[str, Path], tmp_path: Path, bytes_of_tag: int) -> None:
    """A cover picture comes before the count of frames."""
    content = whole[".mp3"].read_bytes()
    if content[:3] == b"ID3":
        content = content[10 + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(content[6:10]))) :]
    size = bytes(bytes_of_tag >> 7 * place & 0x7F for place in (3, 2, 1, 0))
    path = tmp_path / "tagged.mp3"
    tagged = b"ID3\4\0\0" + size + bytes(bytes_of_tag) + content
    path.write_bytes(tagged)
    assert len(decode_audio(path, 16_000)) == len(decode_audio(whole[".mp3"], 16_000))
    path.write_bytes(tagged[: tagged.index(content[:2], len(tagged) - len(content) // 2)])  # where a frame begins
    with pytest.raises(AudioError, match="cut short"):
        decode_audio(path, 16_000)
