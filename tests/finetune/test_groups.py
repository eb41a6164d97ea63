"""What must stay together is found however it is disguised, and nothing else is tied."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.data.audio import decode_audio
from bench.finetune.groups import group, with_speakers
from bench.records import Utterance

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def clips(speech_dir: Path) -> list[Utterance]:
    """Ten clips by two speakers, all different."""
    folder = speech_dir / "librispeech_other"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    speakers = list(dict.fromkeys(row["speaker"] for row in rows))[:2]
    return [
        Utterance(row["path"], folder / row["path"], row["text"], row["speaker"])
        for speaker in speakers
        for row in [row for row in rows if row["speaker"] == speaker][:5]
    ]


def unlike(utterance: Utterance, path: Path, **others: object) -> Utterance:
    """An utterance that shares neither words nor speaker with anything."""
    changed: dict[str, object] = {"utterance_id": path.name, "path": path, "text": path.name, "speaker": None}
    return replace(utterance, **(changed | others))  # type: ignore[arg-type]


def missing(name: str, text: str = "", speaker: str | None = None, error: str | None = None) -> Utterance:
    return Utterance(name, Path("no such folder") / name, text, speaker, error=error)


def test_different_clips_are_groups_of_their_own_unless_a_speaker_ties_them(clips: list[Utterance]) -> None:
    assert group(clips, speakers=False) == tuple(range(10))
    assert group(clips, speakers=True) == (0,) * 5 + (1,) * 5


@pytest.mark.parametrize(("suffix", "late_ms"), [(".mp3", 0), (".mp3", 100), (".wav", 120)])
def test_a_clip_encoded_anew_and_shifted_stays_with_itself(
    clips: list[Utterance], encode: Callable[..., Path], tmp_path: Path, suffix: str, late_ms: int
) -> None:
    samples = np.round(decode_audio(clips[3].path, RATE_HZ) * 32_767).astype(np.int16)
    late = np.concatenate([np.zeros(late_ms * RATE_HZ // 1000, np.int16), samples])
    copy = encode(tmp_path / f"copy{suffix}", late, RATE_HZ, bit_rate=32_000 if suffix == ".mp3" else None)
    assert group([*clips, unlike(clips[3], copy)], speakers=False) == (*range(10), 3)


def test_the_same_bytes_and_all_spans_of_a_recording_stay_together(clips: list[Utterance], tmp_path: Path) -> None:
    copy = Path(shutil.copy(clips[0].path, tmp_path / "copy.flac"))
    first, last = (
        unlike(clips[0], copy, utterance_id=text, text=text, start_s=start_s, duration_s=1.0)
        for text, start_s in (("the first", 0.0), ("the last", 2.0))
    )
    assert group([first, clips[1], last, clips[0]], speakers=False) == (0, 1, 0, 0)


def test_a_sentence_by_two_speakers_stays_together_and_ties_what_is_tied_to_either(clips: list[Utterance]) -> None:
    planted = [*clips[:3], replace(clips[5], text=f"{clips[1].text.lower()}!"), clips[6]]
    assert group(planted, speakers=False) == (0, 1, 2, 1, 3)
    assert group(planted, speakers=True) == (0,) * 5  # both speakers, by way of the sentence


def test_ties_that_lead_from_one_to_the_next_make_one_group(clips: list[Utterance], tmp_path: Path) -> None:
    copy = Path(shutil.copy(clips[2].path, tmp_path / "copy.flac"))
    chain = [clips[0], clips[2], unlike(clips[2], copy, text=clips[4].text), clips[4]]
    assert group(chain, speakers=False) == (0, 1, 1, 1)


def test_neither_empty_transcripts_nor_missing_labels_tie() -> None:
    nobody = [missing("a"), missing("b", "?!"), missing("c", speaker=""), missing("d", "words"), missing("e", "Words")]
    assert group(nobody, speakers=True) == (0, 1, 2, 3, 3)


def test_what_cannot_be_used_ties_nothing_and_is_alone() -> None:
    items = [
        missing("a", "one", "x"),
        missing("b", "one", "x", error="leaves the data root"),
        missing("c", "two", "x"),
        missing("d", "one", "y", error="leaves the data root"),
    ]
    assert group(items, speakers=False) == (0, 1, 2, 3)
    assert group(items, speakers=True) == (0, 1, 0, 2)


def test_an_utterance_that_comes_twice_is_with_itself(clips: list[Utterance]) -> None:
    assert group([clips[0], clips[1], clips[0]], speakers=False) == (0, 1, 0)
    assert group([], speakers=True) == ()


def test_silence_is_no_sound_to_be_the_same(tmp_path: Path, encode: Callable[..., Path]) -> None:
    silent = [encode(tmp_path / f"{n}.wav", np.zeros(n * RATE_HZ, np.int16), RATE_HZ) for n in (2, 3)]
    assert group([Utterance(path.name, path, "") for path in silent], speakers=False) == (0, 1)


def test_speakers_join_groups_that_were_found_before() -> None:
    items = [missing(str(n), speaker=speaker) for n, speaker in enumerate(["x", "y", None, "x", "y", None])]
    assert with_speakers(items, (4, 3, 2, 1, 0, 3)) == (0, 1, 2, 0, 1, 1)


def test_progress_reaches_the_number_of_sounds(clips: list[Utterance]) -> None:
    told: list[tuple[int, int]] = []
    group(clips, speakers=False, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
