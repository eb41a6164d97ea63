"""Which recordings are the same sound: how many copies are found, and that nothing else is."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soxr

from bench.assets.voices import synthesize
from bench.data import same_sound
from bench.data.audio import decode_audio
from bench.data.same_sound import LEAST_FRAMES, same_sounds
from bench.data.sound import HOP_S, Fingerprint, fingerprint
from bench.records import Samples
from tests.data.distort import DISTORTIONS, RATE_HZ, delayed, distorted

Speech = dict[str, Samples]


@pytest.fixture(scope="module")
def speech(speech_dir: Path) -> Speech:
    """Fifty clips of five speakers, by the names of their files."""
    files = sorted((speech_dir / "librispeech_other").glob("*.flac"))
    assert len(files) == 50
    return {file.stem: decode_audio(file, RATE_HZ) for file in files}


def fingerprints(clips: Sequence[Samples]) -> list[Fingerprint]:
    return [fingerprint(clip) for clip in clips]


def pairs(first: Sequence[Samples], second: Sequence[Samples]) -> list[tuple[int, int]]:
    return [(match.first, match.second) for match in same_sounds(fingerprints(first), fingerprints(second))]


def middles(speech: Speech, seconds: float) -> list[Samples]:
    """That much from the middle of every clip that is long enough."""
    half = round(seconds * RATE_HZ / 2)
    return [clip[len(clip) // 2 - half : len(clip) // 2 + half] for clip in speech.values() if len(clip) > 2 * half]


@pytest.mark.parametrize("how", DISTORTIONS)
def test_every_copy_is_found_and_nothing_else(speech: Speech, how: str, tmp_path: Path) -> None:
    clips = list(speech.values())
    copies = [distorted(clip, how, tmp_path) for clip in clips[::2]]
    assert pairs(clips, copies) == [(2 * n, n) for n in range(25)]


@pytest.mark.parametrize("how", DISTORTIONS)
@pytest.mark.parametrize(("seconds", "share"), [(2.0, 1.0), (1.0, 0.7)])
def test_copies_of_short_clips_are_found(
    speech: Speech, how: str, seconds: float, share: float, tmp_path: Path
) -> None:
    clips = middles(speech, seconds)[::2]
    found = pairs(clips, [distorted(clip, how, tmp_path) for clip in clips])
    assert all(one == other for one, other in found)
    assert len(found) >= share * len(clips) > 20 * share


@pytest.mark.parametrize("milliseconds", [-700, -305, -1.7, 0, 13.1, 250, 500])
def test_the_shift_is_told(speech: Speech, milliseconds: float) -> None:
    clip = speech["1688-142285-0003"]  # 5 s
    (match,) = same_sounds(fingerprints([clip]), fingerprints([delayed(clip, milliseconds)]))
    assert match.offset_s == pytest.approx(milliseconds / 1000, abs=HOP_S)
    (back,) = same_sounds(fingerprints([delayed(clip, milliseconds)]), fingerprints([clip]))
    assert back.offset_s == pytest.approx(-milliseconds / 1000, abs=HOP_S)


def test_the_shift_is_told_from_the_side_of_the_first_whichever_is_larger(speech: Speech) -> None:
    clips = list(speech.values())
    later = [delayed(clips[3], 300)]
    assert [
        (m.first, m.second, round(m.offset_s, 1)) for m in same_sounds(fingerprints(clips), fingerprints(later))
    ] == [(3, 0, 0.3)]
    assert [
        (m.first, m.second, round(m.offset_s, 1)) for m in same_sounds(fingerprints(later), fingerprints(clips))
    ] == [(0, 3, -0.3)]


def test_a_clip_is_found_in_a_longer_recording(speech: Speech, tmp_path: Path) -> None:
    names = list(speech)
    whole = np.concatenate([speech[name] for name in names[::2]])
    (heard,) = fingerprints([distorted(whole, "mp3 at 32 kbit/s, 100 ms later", tmp_path)])
    matches = same_sounds(fingerprints([speech[name] for name in names]), [heard])
    assert [names[match.first] for match in matches] == names[::2]
    starts = np.cumsum([0, *(len(speech[name]) for name in names[::2])])[:-1] / RATE_HZ
    # LAME's own delay comes on top, and no player takes it all away.
    assert [match.offset_s for match in matches] == pytest.approx(starts + 0.1, abs=0.08)


def test_a_minority_in_common_is_no_match(speech: Speech) -> None:
    one, other, third = (speech[name][: 4 * RATE_HZ] for name in list(speech)[3:6])
    shared, rest = one[: 2 * RATE_HZ], 3 * RATE_HZ
    assert pairs([np.concatenate([shared, other[:rest]])], [np.concatenate([shared, third[:rest]])]) == []
    assert pairs([np.concatenate([one, other[:RATE_HZ]])], [np.concatenate([one, third[:RATE_HZ]])]) == [(0, 0)]


def test_no_two_clips_of_the_fifty_are_the_same(speech: Speech) -> None:
    clips = list(speech.values())
    assert pairs(clips, clips) == [(n, n) for n in range(50)]


@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_no_two_pieces_are_the_same(speech: Speech, seconds: float) -> None:
    # Hundreds of pieces by five speakers: equal frames are everywhere, and whole pieces are not.
    count = round(seconds * RATE_HZ)
    pieces = [clip[at : at + count] for clip in speech.values() for at in range(0, len(clip) - count + 1, count)]
    heard = fingerprints(pieces)
    assert len(heard) > 160
    telling = [one for one in heard if one.telling.sum() >= LEAST_FRAMES]
    assert len(telling) > 0.9 * len(heard)
    matches = same_sounds(telling, telling)
    assert [(match.first, match.second) for match in matches] == [(n, n) for n in range(len(telling))]


def test_unrelated_speech_stays_far_from_a_match(speech: Speech, speech_dir: Path) -> None:
    """The figures of bench.data.same_sound, on a million comparisons of 48 frames (1 s) with all else."""
    (longform,) = (speech_dir / "longform").glob("*.flac")
    known = fingerprints([decode_audio(longform, RATE_HZ), *speech.values()])
    frames = 48
    worst, spread, compared = 0.5, [], 0
    for one, other in combinations(range(1, len(known), 6), 2):
        for ours, theirs in ((known[one], known[other]), (known[one], known[0])):
            start = len(ours.bits) // 3
            windows = np.lib.stride_tricks.sliding_window_view(theirs.bits, frames)
            telling = np.lib.stride_tricks.sliding_window_view(theirs.telling, frames).all(axis=1)
            wrong = np.bitwise_count(windows[telling] ^ ours.bits[start : start + frames]).mean(axis=1) / 32
            if ours.telling[start : start + frames].all() and len(wrong):
                worst = min(worst, float(wrong.min()))
                spread.append(float(np.mean((wrong - 0.5) ** 2)))
                compared += len(wrong)
    assert compared > 200_000
    # 0.24 to 0.27 / √n, within what so few voices allow.
    assert 0.22 < np.sqrt(np.mean(spread) * frames) < 0.29
    deviation = 0.5 / np.sqrt(3 * frames)
    assert worst > 0.5 - 7 * deviation  # and a match takes 8


def test_one_voice_reading_a_sentence_at_another_speed_is_another_sound() -> None:
    sentences = [
        "he should make inquiries as to symptoms and time at which food or medicine was last taken",
        "a man said to the universe sir i exist",
        "the best emetic is that which is at hand",
    ]
    slow, fast = ([_spoken(sentence, rate_wpm) for sentence in sentences] for rate_wpm in (140, 190))
    assert pairs(slow, fast) == []
    assert pairs(slow, slow) == [(0, 0), (1, 1), (2, 2)]


def _spoken(text: str, rate_wpm: int) -> Samples:
    samples, rate_hz = synthesize(text, rate_wpm=rate_wpm)
    spoken: Samples = soxr.resample(samples.astype(np.float32) / 32_768, rate_hz, RATE_HZ)
    return spoken


def test_silence_and_hum_match_nothing_not_even_themselves() -> None:
    times = np.arange(3 * RATE_HZ) / RATE_HZ
    overtones = np.arange(100, 2_000, 100)[:, np.newaxis]
    hum: Samples = (0.1 * np.sin(2 * np.pi * overtones * times)).sum(axis=0).astype(np.float32)
    steady = [np.zeros(3 * RATE_HZ, np.float32), hum]
    assert pairs(steady, steady) == []


def test_noise_matches_its_copy_and_no_other_noise(tmp_path: Path) -> None:
    some = [np.random.default_rng(seed).normal(0, 0.1, 3 * RATE_HZ).astype(np.float32) for seed in range(20)]
    copies = [distorted(one, "mp3 at 32 kbit/s, 100 ms later", tmp_path) for one in some]
    assert pairs(some, copies) == [(n, n) for n in range(20)]


def test_copies_by_the_hundred_cannot_hide(speech: Speech) -> None:
    clips = list(speech.values())
    many = [clips[0]] * (same_sound._MOST_OF_A_KIND + 40)
    assert {one for one, _ in pairs([clips[1], delayed(clips[0], 40)], [*many, *clips[2:]])} == {1}


def test_large_collections_are_searched_in_parts(speech: Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = fingerprints(list(speech.values()))
    whole = same_sounds(heard[10:20], heard)
    monkeypatch.setattr(same_sound, "_INDEXED", 1_000)  # three clips or so
    monkeypatch.setattr(same_sound, "_LOOKED_UP", 100)
    assert same_sounds(heard[10:20], heard) == whole
    assert [(match.first, match.second) for match in whole] == [(n, n + 10) for n in range(10)]


def test_nothing_is_no_match() -> None:
    noise = fingerprints([np.random.default_rng(1).normal(0, 0.1, RATE_HZ).astype(np.float32)])
    short = fingerprints([np.zeros(100, np.float32)])
    assert same_sounds([], []) == same_sounds(noise, []) == same_sounds([], noise) == same_sounds(short, noise) == []
