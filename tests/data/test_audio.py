import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from bench.data.audio import decode_audio, load_recordings
from bench.errors import AudioError
from bench.records import Samples, Utterance

RATE_HZ = 16_000
RATES_HZ = [8_000, 16_000, 22_050, 44_100, 48_000]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, so that everything is decoded anew."""
    monkeypatch.setenv("ASR_SWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))


def sine(frequency_hz: float, seconds: float, rate_hz: int, amplitude: float = 0.5) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def write_pcm(path: Path, rate_hz: int, *channels: NDArray[np.float64]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.round(np.stack(channels, axis=1) * 32_768).astype("<i2").tobytes())
    return path


def encode(path: Path, codec: str, rate_hz: int, channels: int, signal: NDArray[np.float64]) -> Path:
    """Write the signal to every channel of a compressed file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono" if channels == 1 else "stereo"
        pcm = np.round(np.repeat(signal, channels) * 32_767).astype(np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=stream.layout.name)
        frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def tone(samples: Samples, rate_hz: int = RATE_HZ) -> tuple[float, float]:
    """Frequency in Hz and amplitude of the strongest tone, away from the ends; exact for whole periods in 0.5 s."""
    middle = len(samples) // 2
    half = rate_hz // 4
    part = samples[middle - half : middle + half].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(part)) / half
    peak = int(spectrum.argmax())
    return peak * rate_hz / len(part), float(spectrum[peak])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_tone_keeps_its_pitch_loudness_and_length(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = write_pcm(tmp_path / "a.wav", rate_hz, *[sine(1_000, 2, rate_hz)] * channels)
    samples = decode_audio(path, RATE_HZ)
    assert samples.dtype == np.float32
    assert samples.shape == (2 * RATE_HZ,)
    frequency_hz, amplitude = tone(samples)
    assert frequency_hz == 1_000
    assert amplitude == pytest.approx(0.5, rel=2e-3)
    # Sample by sample too, away from the ends: an ideal resampler gives the sine at the new instants.
    inner = slice(RATE_HZ // 2, -RATE_HZ // 2)
    assert samples[inner] == pytest.approx(sine(1_000, 2, RATE_HZ)[inner], abs=2e-3)


def test_what_lies_above_the_new_band_is_removed_and_not_folded_back(tmp_path: Path) -> None:
    # 10 kHz at 48 kHz would alias to 6 kHz at 16 kHz.
    samples = decode_audio(write_pcm(tmp_path / "a.wav", 48_000, sine(10_000, 2, 48_000)), RATE_HZ)
    assert np.abs(samples[RATE_HZ // 2 : -RATE_HZ // 2]).max() < 1e-3


def test_pcm_at_the_wanted_rate_is_exact(tmp_path: Path) -> None:
    pcm = np.array([0, 1, -1, 16_384, -16_384, 32_767, -32_768])
    samples = decode_audio(write_pcm(tmp_path / "a.wav", RATE_HZ, pcm / 32_768), RATE_HZ)
    assert samples.tolist() == (pcm / 32_768).tolist()


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = sine(1_000, 1, RATE_HZ, 0.5), np.full(RATE_HZ, 0.25)
    samples = decode_audio(write_pcm(tmp_path / "a.wav", RATE_HZ, left, right), RATE_HZ)
    assert samples == pytest.approx((left + right) / 2, abs=2 / 32_768)
    silent = decode_audio(write_pcm(tmp_path / "b.wav", RATE_HZ, left, -left), RATE_HZ)
    assert np.abs(silent).max() <= 1 / 32_768


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "amplitude_error"),
    [
        ("a.flac", "flac", 16_000, 1e-3),
        ("a.flac", "flac", 44_100, 2e-3),
        ("a.mp3", "libmp3lame", 44_100, 0.08),  # at 128 kbit/s and below LAME turns the volume down to 0.95
        ("a.ogg", "libopus", 48_000, 0.03),
        ("a.m4a", "aac", 44_100, 0.03),
    ],
)
def test_compressed_files(
    tmp_path: Path, name: str, codec: str, rate_hz: int, amplitude_error: float, channels: int
) -> None:
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of PyAV has no encoder {codec}")
    samples = decode_audio(encode(tmp_path / name, codec, rate_hz, channels, sine(1_000, 2, rate_hz)), RATE_HZ)
    frequency_hz, amplitude = tone(samples)
    assert frequency_hz == 1_000
    assert amplitude == pytest.approx(0.5, rel=amplitude_error)
    assert len(samples) / RATE_HZ == pytest.approx(2, abs=0.1)  # an encoder may pad by a frame or two
    if codec == "flac":
        assert len(samples) == 2 * RATE_HZ


def test_a_span_is_cut_to_the_sample(tmp_path: Path) -> None:
    whole = np.arange(RATE_HZ) / 32_768  # every sample is another value
    path = write_pcm(tmp_path / "a.wav", RATE_HZ, whole)
    spans: list[tuple[float, float | None, int, int]] = [
        (0.0, None, 0, RATE_HZ),
        (0.0, 0.25, 0, 4_000),
        (0.25, 0.5, 4_000, 12_000),
        (0.25, None, 4_000, RATE_HZ),
        (0.0000625, 0.0000625, 1, 2),  # one sample
    ]
    found = load_recordings(
        [Utterance(str(span), path, "", None, span[0], span[1]) for span in spans], RATE_HZ
    ).recordings
    for samples, (*_, start, stop) in zip(found, spans, strict=True):
        assert not isinstance(samples, AudioError)
        assert samples.tolist() == whole[start:stop].astype(np.float32).tolist()


def test_neighbouring_utterances_share_one_decoding(tmp_path: Path) -> None:
    one = write_pcm(tmp_path / "1.wav", 8_000, sine(1_000, 1, 8_000))
    two = write_pcm(tmp_path / "2.wav", 8_000, sine(1_000, 1, 8_000))
    spans = [(one, 0.0, 0.5), (one, 0.25, 0.5), (two, 0.25, 0.5), (one, 0.25, 0.5)]
    found = load_recordings([Utterance(str(span), span[0], "", None, *span[1:]) for span in spans], RATE_HZ).recordings
    arrays = [samples for samples in found if not isinstance(samples, AudioError)]
    assert len(arrays) == 4
    assert np.shares_memory(arrays[0], arrays[1])
    assert arrays[0][4_000:].tolist() == arrays[1][:4_000].tolist()
    assert not np.shares_memory(arrays[1], arrays[2])
    assert arrays[3].tolist() == arrays[1].tolist()


def unusable(folder: Path, write_wav: Callable[..., Path]) -> dict[str, Path]:
    wav = write_wav(folder / "good.wav", 1).read_bytes()
    files = {
        "empty": (folder / "empty.wav", b""),
        "a header cut off": (folder / "cut.wav", wav[:30]),
        "a header alone": (folder / "header.wav", wav[:44]),
        "half a sample": (folder / "half.wav", wav[:45]),
        "text": (folder / "text.wav", b"This is no recording.\n" * 100),
        "random": (folder / "random.wav", np.random.default_rng(0).bytes(10_000)),
    }
    for path, content in files.values():
        path.write_bytes(content)
    found = {name: path for name, (path, _) in files.items()}
    flac = encode(folder / "whole.flac", "flac", RATE_HZ, 1, np.random.default_rng(0).normal(0, 0.1, RATE_HZ * 2))
    found["a FLAC cut off"] = folder / "cut.flac"
    found["a FLAC cut off"].write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    found["not a number"] = folder / "nan.wav"
    with av.open(str(found["not a number"]), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE_HZ)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.full((1, 1_000), np.nan, np.float32), format="flt", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    # One sample at 48 kHz is a third of one at 16 kHz.
    found["too short to resample"] = write_pcm(folder / "short.wav", 48_000, np.array([0.5]))
    return found | {"missing": folder / "no.wav", "a folder": folder}


def test_what_cannot_be_decoded_is_an_error_that_names_the_file(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    for kind, path in unusable(tmp_path, write_wav).items():
        with pytest.raises(AudioError) as caught:
            decode_audio(path, RATE_HZ)
        message = str(caught.value)
        assert message.startswith(str(path)), kind
        assert ";" in message, f"{kind}: names no cure"
        assert len(message.splitlines()) == 1, kind


def test_one_unusable_recording_does_not_lose_the_others(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    good = write_wav(tmp_path / "ok.wav", 1)
    bad = tmp_path / "no.wav"
    found = load_recordings([Utterance(str(path), path, "") for path in (good, bad, bad, good)], RATE_HZ).recordings
    assert [isinstance(each, AudioError) for each in found] == [False, True, True, False]


@pytest.mark.parametrize("start_s", [1.0, 5.0])
def test_a_span_outside_the_recording_says_where_it_ends(
    tmp_path: Path, write_wav: Callable[..., Path], start_s: float
) -> None:
    path = write_wav(tmp_path / "a.wav", 1)
    found, whole = load_recordings(
        [Utterance("a", path, "", None, start_s, 1.0), Utterance("b", path, "")], RATE_HZ
    ).recordings
    assert isinstance(found, AudioError)
    assert f"the span from {start_s:g} s to {start_s + 1:g} s does not lie within its 1.00 s" in str(found)
    assert "start_s and duration_s" in str(found)
    assert not isinstance(whole, AudioError)


@pytest.mark.parametrize(("start_s", "duration_s"), [(0.5, 1.1), (1e305, 1.0), (0.0, 1e305)])
def test_a_span_past_the_end_is_refused(
    tmp_path: Path, write_wav: Callable[..., Path], start_s: float, duration_s: float
) -> None:
    """Its transcript would hold words that the audio does not."""
    path = write_wav(tmp_path / "a.wav", 1)
    (found,) = load_recordings([Utterance("a", path, "", None, start_s, duration_s)], RATE_HZ).recordings
    assert isinstance(found, AudioError)


def test_a_duration_that_was_rounded_up_is_accepted(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    path = write_wav(tmp_path / "a.wav", 1)
    (found,) = load_recordings([Utterance("a", path, "", None, 0.25, 0.8)], RATE_HZ).recordings
    assert not isinstance(found, AudioError)
    assert len(found) == 12_000


def test_a_video_without_sound_holds_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "silent.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio stream"):
        decode_audio(path, RATE_HZ)


def test_read_speech_decodes_to_what_its_header_promises(speech_dir: Path) -> None:
    path = min((speech_dir / "librispeech_other").glob("*.flac"))
    # Bytes 18 to 25 of a FLAC file: 20 bits rate, 3 channels, 5 depth, 36 total samples (RFC 9639, section 8.2).
    stream_info = int.from_bytes(path.read_bytes()[18:26], "big")
    assert stream_info >> 44 == RATE_HZ
    samples = decode_audio(path, RATE_HZ)
    assert len(samples) == stream_info & (2**36 - 1)
    assert 0.01 < np.abs(samples).max() <= 1


LISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile {}\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_other_files_is_no_recording(tmp_path: Path, name: str) -> None:
    """It would lead out of the data root, and its content says nothing of the audio's."""
    encode(tmp_path / "secret.ts", "aac", 44_100, 1, sine(1_000, 2, 44_100))
    assert len(decode_audio(tmp_path / "secret.ts", RATE_HZ)) > RATE_HZ
    (tmp_path / name).write_text(LISTS[name].format("secret.ts"))
    with pytest.raises(AudioError, match="it is a list of other files"):
        decode_audio(tmp_path / name, RATE_HZ)


def test_a_colon_in_a_name_is_no_address(
    tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "meeting 10:30.wav", 1)
    monkeypatch.chdir(tmp_path)
    assert len(decode_audio(Path("meeting 10:30.wav"), RATE_HZ)) == RATE_HZ


@pytest.mark.parametrize("rubbish", [bytes(5_000), b"<html>not found</html>" * 50, b"TAG" + bytes(125)], ids=len)
def test_rubbish_after_an_mp3_spoils_nothing(tmp_path: Path, rubbish: bytes) -> None:
    path = encode(tmp_path / "a.mp3", "libmp3lame", 44_100, 1, sine(1_000, 10, 44_100))
    whole = len(decode_audio(path, RATE_HZ))
    path.write_bytes(path.read_bytes() + rubbish)
    assert len(decode_audio(path, RATE_HZ)) == pytest.approx(whole, abs=RATE_HZ / 10)


@pytest.mark.parametrize("begin_s", [0, 10])
@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libopus"), ("a.mkv", "flac")])
def test_a_gap_in_the_times_is_silence(tmp_path: Path, name: str, codec: str, begin_s: int) -> None:
    """As calls leave where nobody speaks; a recording that only begins late, cut from a longer one, has none."""
    rate_hz = 48_000
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        resampler = av.AudioResampler(format=stream.format, layout="mono", frame_size=stream.frame_size or 960)
        pcm = np.round(sine(1_000, 10, rate_hz) * 32_767).astype(np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
        for part in [*resampler.resample(frame), None]:
            for packet in stream.encode(part):
                assert packet.pts is not None
                assert packet.dts is not None
                at_s = float(packet.pts * packet.time_base)
                late = round((begin_s + (3 if at_s >= 5 else 0)) / packet.time_base)
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
                container.mux(packet)
    samples = decode_audio(tmp_path / name, RATE_HZ)
    assert len(samples) / RATE_HZ == pytest.approx(13, abs=0.15)
    assert np.abs(samples[round(5.2 * RATE_HZ) : round(7.8 * RATE_HZ)]).max() < 0.01
    assert np.abs(samples[round(8.3 * RATE_HZ) : round(12.5 * RATE_HZ)]).max() == pytest.approx(0.5, abs=0.05)
