"""What splits share: each kind of clash is found with both its places, counted once, and nothing is invented."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.data.audio import decode_audio
from bench.data.leaks import Clash, Kind, find_leaks, refuse_leaks
from bench.errors import DataError
from bench.records import Utterance
from tests.data.distort import DISTORTIONS, RATE_HZ, delayed, write


@pytest.fixture(scope="module")
def clips(speech_dir: Path) -> list[Utterance]:
    """Fifty clips of five speakers, ten each, all different."""
    folder = speech_dir / "librispeech_other"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return [
            Utterance(row["path"], folder / row["path"], row["text"], row["speaker"]) for row in csv.DictReader(file)
        ]


def sides(clash: Clash) -> tuple[str, list[str], str, list[str]]:
    return (
        clash.first.split,
        [item.utterance_id for item in clash.first.utterances],
        clash.second.split,
        [item.utterance_id for item in clash.second.utterances],
    )


def unlike(utterance: Utterance, path: Path, **others: object) -> Utterance:
    """An utterance that shares neither words nor speaker with anything."""
    changed: dict[str, object] = {"utterance_id": path.name, "path": path, "text": path.stem, "speaker": None}
    return replace(utterance, **(changed | others))  # type: ignore[arg-type]


def test_fifty_different_clips_share_nothing_but_their_speakers(clips: list[Utterance]) -> None:
    found = find_leaks({"train": clips[0::3], "validation": clips[1::3], "test": clips[2::3]})
    assert found.counts() == {Kind.speaker: 15}  # five speakers in three pairs of splits
    assert not found.unchecked
    assert not find_leaks({"train": clips[:30], "test": clips[30:]}).clashes
    with (clips[0].path.parent / "manifest.csv").open(encoding="utf-8", newline="") as file:
        whole_s = sum(float(row["duration_s"]) for row in csv.DictReader(file))
    assert sum(found.lengths_s.values()) == pytest.approx(whole_s, abs=0.5)


@pytest.mark.parametrize("how", ["mp3 at 32 kbit/s, 100 ms later", "telephone: 8 kHz and mu-law, 33 ms later"])
def test_a_clip_encoded_anew_and_shifted_is_found(clips: list[Utterance], how: str, tmp_path: Path) -> None:
    copy = DISTORTIONS[how](decode_audio(clips[7].path, RATE_HZ), tmp_path / "copy")
    found = find_leaks({"train": clips[:30], "test": [*clips[30:], unlike(clips[7], copy)]})
    (clash,) = found.clashes
    assert clash.kind is Kind.audio
    assert sides(clash) == ("train", [clips[7].utterance_id], "test", [copy.name])
    assert clips[7].utterance_id in clash.line
    assert copy.name in clash.line


def test_equal_bytes_are_one_recording_under_any_name(clips: list[Utterance], tmp_path: Path) -> None:
    copy = Path(shutil.copy(clips[3].path, tmp_path / "copy.flac"))
    found = find_leaks({"train": clips[:10], "test": [unlike(clips[3], copy)]})
    assert [(clash.kind, *sides(clash)) for clash in found.clashes] == [
        (kind, "train", [clips[3].utterance_id], "test", ["copy.flac"]) for kind in (Kind.recording, Kind.audio)
    ]
    assert "copy.flac" in found.clashes[0].detail


def test_spans_of_one_recording_clash_by_audio_only_where_they_overlap(clips: list[Utterance]) -> None:
    def span(name: str, start_s: float, duration_s: float | None) -> Utterance:
        return unlike(clips[0], clips[0].path, utterance_id=name, text=name, start_s=start_s, duration_s=duration_s)

    apart = find_leaks({"train": [span("a", 0, 5)], "test": [span("b", 4.95, None)]})
    assert [(clash.kind, clash.detail) for clash in apart.clashes] == [
        (Kind.recording, f"{clips[0].path.name}, in spans that do not overlap")
    ]
    train = [span("a", 0, 5), span("b", 5, 3)]
    overlapping = find_leaks({"train": train, "test": [span("c", 7.5, 2), span("d", 12, None)]})
    recording, audio = overlapping.clashes
    assert sides(recording) == ("train", ["a", "b"], "test", ["c", "d"])
    assert sides(audio) == ("train", ["b"], "test", ["c"])
    assert "0.50 s" in audio.detail
    whole = find_leaks({"train": [clips[0]], "test": [span("c", 7.5, 2)]}, [Kind.audio])
    assert [sides(clash) for clash in whole.clashes] == [("train", [clips[0].utterance_id], "test", ["c"])]


def test_the_same_span_is_the_same_audio_however_short(clips: list[Utterance]) -> None:
    short = unlike(clips[0], clips[0].path, start_s=1.0, duration_s=0.05)
    found = find_leaks({"train": [short], "test": [short]}, [Kind.audio])
    assert [clash.detail for clash in found.clashes] == ["the same span"]


def test_a_group_is_one_clash_and_names_all_its_utterances() -> None:
    # Pairs would be ten million.
    train, test = (
        [Utterance(f"{name}{n}", Path("none"), f"Sentence {n}!", f"speaker {n % 2}") for n in range(count)]
        for name, count in (("a", 10_000), ("b", 1_000))
    )
    found = find_leaks({"train": train, "test": test}, [Kind.speaker, Kind.sentence])
    assert found.counts() == {Kind.sentence: 1_000, Kind.speaker: 2}
    speaker = found.clashes[-1]
    assert speaker.detail == "'speaker 1'"
    assert len(speaker.first.utterances) == 5_000
    assert len(speaker.second.utterances) == 500
    assert "train (a1 and 4999 more)" in speaker.line


def test_the_same_sentence_clashes_however_it_is_written() -> None:
    def said(name: str, text: str) -> Utterance:
        return Utterance(name, Path("none"), text)

    found = find_leaks(
        {"train": [said("a", "Mae hi'n braf."), said("b", "")], "test": [said("c", "mae HIN braf"), said("d", "?!")]},
        [Kind.sentence, Kind.speaker],
    )
    assert [(clash.detail, *sides(clash)) for clash in found.clashes] == [
        ("'mae hin braf'", "train", ["a"], "test", ["c"])
    ]


def test_who_has_no_label_is_no_speaker() -> None:
    nobody = [Utterance(name, Path("none"), name, speaker) for name, speaker in (("a", None), ("b", ""))]
    assert not find_leaks({"train": nobody, "test": nobody}, [Kind.speaker]).clashes


def test_silence_matches_by_its_bytes_alone(tmp_path: Path) -> None:
    one, other = (
        write(tmp_path / f"{seconds}.wav", "pcm_s16le", np.zeros(seconds * RATE_HZ, np.float32)) for seconds in (2, 3)
    )
    copy = Path(shutil.copy(one, tmp_path / "copy.wav"))
    silent = [Utterance(path.name, path, "") for path in (one, other, copy)]
    found = find_leaks({"train": silent[:1], "test": silent[1:]})
    assert [(clash.kind, sides(clash)[3]) for clash in found.clashes] == [
        (Kind.recording, ["copy.wav"]),
        (Kind.audio, ["copy.wav"]),
    ]
    assert {item.utterance.utterance_id for item in found.unchecked} == {"2.wav", "3.wav", "copy.wav"}
    assert all("silent" in item.reason for item in found.unchecked)


def test_what_cannot_be_read_is_named_and_stops_nothing(clips: list[Utterance], tmp_path: Path) -> None:
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"fLaC and no more")
    missing = tmp_path / "missing.wav"
    bad = [
        unlike(clips[0], broken),
        unlike(clips[0], missing),
        replace(clips[0], utterance_id="outside", error="leaves the data root"),
    ]
    found = find_leaks({"train": clips[:2], "test": bad})
    assert not found.clashes  # though the last one has the words and the speaker of a training clip
    assert {item.utterance.utterance_id: item.split for item in found.unchecked} == dict.fromkeys(
        ["broken.flac", "missing.wav", "outside"], "test"
    )
    reasons = {item.utterance.utterance_id: item.reason for item in found.unchecked}
    assert str(broken) in reasons["broken.flac"]
    assert "No such file" in reasons["missing.wav"]
    assert reasons["outside"] == "leaves the data root"


def test_too_long_recordings_are_not_decoded(clips: list[Utterance]) -> None:
    found = find_leaks({"train": clips[:3], "test": clips[3:5]}, max_duration_s=5.0)  # 15, 12.6, 2.8, 5.06 and 4.5 s
    assert [item.utterance for item in found.unchecked] == [clips[0], clips[1], clips[3]]


def test_repeats_within_a_split_are_counted_and_no_clash(clips: list[Utterance], tmp_path: Path) -> None:
    copy = Path(shutil.copy(clips[0].path, tmp_path / "copy.flac"))
    again = replace(clips[0], utterance_id="again")
    found = find_leaks({"train": [clips[0], again, unlike(clips[0], copy)], "test": [clips[-1]]})
    assert not found.clashes
    assert (found.repeats["train"].sounds, found.repeats["train"].sentences) == (2, 1)
    assert (found.repeats["test"].sounds, found.repeats["test"].sentences) == (0, 0)


def test_progress_reaches_the_number_of_sounds(clips: list[Utterance]) -> None:
    told: list[tuple[int, int]] = []
    find_leaks({"train": clips, "test": clips[:5]}, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (50, 50)


def test_leaks_are_refused_with_both_places_and_the_cure(clips: list[Utterance]) -> None:
    splits = {"train": clips[:25], "test": clips[20:22] + clips[30:]}
    with pytest.raises(DataError) as caught:
        refuse_leaks(splits)
    message = str(caught.value)
    assert "\n" not in message
    assert "2 by recording, 2 by audio, 2 by sentence, 1 by speaker" in message
    assert f"train ({clips[20].utterance_id})" in message
    assert f"test ({clips[20].utterance_id})" in message
    assert "data.allow_leaks=[recording,audio,sentence,speaker]" in message
    assert not refuse_leaks(splits, ["speaker", "sentence", "audio", "recording"]).clashes
    with pytest.raises(
        DataError, match=r"2 by audio, 2 by sentence;.*allow_leaks=\[recording,audio,sentence,speaker\]"
    ):
        refuse_leaks(splits, ["speaker", "recording"])


def test_what_is_allowed_is_not_looked_for(tmp_path: Path) -> None:
    missing = [Utterance(name, tmp_path / name, name) for name in ("a", "b")]
    assert len(refuse_leaks({"train": missing[:1], "test": missing[1:]}).unchecked) == 2
    assert not refuse_leaks({"train": missing[:1], "test": missing[1:]}, ["audio", "recording"]).unchecked


def test_an_unknown_kind_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(
        DataError, match=r"allow_leaks=voice is unknown; use some of: recording, audio, sentence, speaker"
    ):
        refuse_leaks({}, ["speaker", "voice"])


def test_copies_on_both_sides_are_one_clash(clips: list[Utterance], tmp_path: Path) -> None:
    samples = decode_audio(clips[2].path, RATE_HZ)
    shifted = write(tmp_path / "shifted.wav", "pcm_s16le", delayed(samples, 120))
    theirs = [unlike(clips[2], Path(shutil.copy(shifted, tmp_path / f"{n}.wav"))) for n in range(3)]
    found = find_leaks({"train": [clips[2], replace(clips[2], utterance_id="again")], "test": theirs}, [Kind.audio])
    (clash,) = found.clashes
    assert sides(clash) == ("train", [clips[2].utterance_id, "again"], "test", ["0.wav", "1.wav", "2.wav"])
    assert "shifted by 0.12 s" in clash.detail
