"""Folds: nothing is on both sides, everything is judged once, lengths are even, and all that is odd is told."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bench.config import FoldMethod, FoldsConfig
from bench.errors import DataError
from bench.finetune.folds import Folds, divide
from bench.records import Utterance

SECONDS = (0.25, 0.5, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.0, 3.0, 4.0, 6.0)
LEAVE_ONE_OUT = FoldsConfig(method=FoldMethod.leave_one_speaker_out)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> list[Path]:
    """Recordings that share nothing: noise, of :data:`SECONDS`."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    return [
        encode(folder / f"{number}.wav", rng.integers(-9_000, 9_000, round(8_000 * seconds), np.int16), 8_000)
        for number, seconds in enumerate(SECONDS)
    ]


@pytest.fixture(scope="module")
def twelve(files: list[Path]) -> list[Utterance]:
    """Twelve utterances that share nothing, without speakers."""
    return [Utterance(f"u{number}", path, f"sentence {number}") for number, path in enumerate(files)]


def length_s(places: Sequence[int]) -> float:
    return sum(SECONDS[place] for place in places)


def by(speakers: str, utterances: Sequence[Utterance]) -> list[Utterance]:
    """Give one speaker a letter; a blank is none."""
    return [replace(item, speaker=name.strip() or None) for name, item in zip(speakers, utterances, strict=True)]


def together(utterances: Sequence[Utterance], folds: Folds) -> list[set[frozenset[str]]]:
    """The names that are judged on together, a set of folds for each repeat."""
    divisions: dict[int, set[frozenset[str]]] = {}
    for fold in folds.folds:
        names = frozenset(utterances[place].utterance_id for place in fold.validation)
        divisions.setdefault(fold.repeat, set()).add(names)
    return list(divisions.values())


labels = st.fixed_dictionaries(
    {
        "sentences": st.lists(st.integers(0, 30), min_size=12, max_size=12),
        "speakers": st.lists(st.sampled_from("abcdefgh"), min_size=12, max_size=12),
        "files": st.permutations(range(12)).flatmap(
            lambda files: st.integers(0, 3).map(lambda again: [*files[: 12 - again], *files[:again]])
        ),
    }
)


def labelled(files: list[Path], sentences: list[int], speakers: list[str], which: list[int]) -> list[Utterance]:
    return [
        Utterance(f"u{n}", files[file], f"Sentence {sentence}!" if n % 2 else f"sentence {sentence}", speaker)
        for n, (sentence, speaker, file) in enumerate(zip(sentences, speakers, which, strict=True))
    ]


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    drawn=labels,
    count=st.integers(2, 4),
    repeats=st.integers(1, 3),
    keep=st.sampled_from([None, True, False]),
    seed=st.integers(0, 99),
    order=st.permutations(range(12)),
)
def test_no_sentence_recording_or_kept_speaker_is_on_both_sides_and_all_is_judged_once(
    files: list[Path],
    drawn: dict[str, list[int]],
    count: int,
    repeats: int,
    keep: bool | None,
    seed: int,
    order: list[int],
) -> None:
    items = labelled(files, drawn["sentences"], [str(name) for name in drawn["speakers"]], drawn["files"])
    config = FoldsConfig(count=count, repeats=repeats, keep_speakers=keep, seed=seed)
    try:
        found = divide(items, config)
    except DataError:
        reject()  # too few groups, which has tests of its own
    speakers_kept = keep or (keep is None and not any("speaker" in line for line in found.told))
    assert [(fold.repeat, fold.number) for fold in found.folds] == [
        (repeat, number) for repeat in range(repeats) for number in range(count)
    ]
    for fold in found.folds:
        assert sorted([*fold.training, *fold.validation]) == list(range(12))
        learnt, judged = ([items[place] for place in places] for places in (fold.training, fold.validation))
        assert learnt
        assert judged
        assert {item.text.strip("!").lower() for item in learnt}.isdisjoint(
            item.text.strip("!").lower() for item in judged
        )
        assert {item.path for item in learnt}.isdisjoint(item.path for item in judged)
        if speakers_kept:
            assert {item.speaker for item in learnt}.isdisjoint(item.speaker for item in judged)
    lengths: Counter[int] = Counter()
    for number, item in enumerate(items):
        lengths[found.groups[number]] += round(100 * SECONDS[files.index(item.path)])
    for repeat in range(repeats):
        folds = [fold.validation for fold in found.folds if fold.repeat == repeat]
        assert sorted(place for places in folds for place in places) == list(range(12))
        of_folds = [sum(round(100 * SECONDS[files.index(items[place].path)]) for place in places) for places in folds]
        assert max(of_folds) - min(of_folds) <= max(lengths.values())
    shuffled = [items[place] for place in order]
    assert together(shuffled, divide(shuffled, config)) == together(items, found)


@hypothesis_settings(deadline=None, max_examples=40)
@given(drawn=labels)
def test_each_speaker_is_judged_by_models_that_heard_nothing_of_theirs(
    files: list[Path], drawn: dict[str, list[int]]
) -> None:
    items = labelled(files, drawn["sentences"], [str(name) for name in drawn["speakers"]], drawn["files"])
    try:
        found = divide(items, LEAVE_ONE_OUT)
    except DataError:
        reject()
    assert [{items[place].speaker for place in fold.validation} for fold in found.folds] == [
        {name} for name in sorted({str(item.speaker) for item in items})
    ]
    assert sorted(place for fold in found.folds for place in fold.validation) == list(range(12))
    whole = True
    for fold in found.folds:
        judged = {found.groups[place] for place in fold.validation}
        left_out = set(range(12)) - set(fold.training) - set(fold.validation)
        whole &= not left_out
        assert fold.training
        assert judged.isdisjoint(found.groups[place] for place in fold.training)
        assert all(found.groups[place] in judged for place in left_out)
    assert whole is not any("left out of training" in line for line in found.told)


def test_twelve_recordings_of_23_seconds_make_even_folds(twelve: list[Utterance]) -> None:
    found = divide(twelve, FoldsConfig(count=3, repeats=5, keep_speakers=False))
    lengths = [length_s(fold.validation) for fold in found.folds]
    assert sum(lengths) == pytest.approx(5 * 22.75)
    assert min(lengths) >= 6  # of 7.58 on average; the longest recording alone has 6
    assert max(lengths) <= 9
    assert found.told == ()
    assert found.groups == tuple(range(12))


def test_seed_and_repeat_divide_anew_and_nothing_else_does(twelve: list[Utterance], tmp_path: Path) -> None:
    config = FoldsConfig(count=3, repeats=4, keep_speakers=False)
    found = divide(twelve, config)
    assert found == divide(twelve, config)
    divisions = together(twelve, found)
    assert len({frozenset(division) for division in divisions}) == 4
    assert together(twelve, divide(twelve, replace(config, seed=1))) != divisions
    elsewhere = [replace(item, path=tmp_path / item.path.name) for item in twelve]
    for one, other in zip(twelve, elsewhere, strict=True):
        other.path.write_bytes(one.path.read_bytes())
    assert divide(elsewhere, config) == found


def test_what_cannot_be_used_is_in_no_fold_and_told(twelve: list[Utterance], tmp_path: Path) -> None:
    spoilt = [
        replace(twelve[0], error="leaves the data root"),
        replace(twelve[1], path=tmp_path / "missing.wav"),
        *twelve[2:],
    ]
    found = divide(spoilt, FoldsConfig(count=2, keep_speakers=False), max_duration_s=3.5)  # the last two are longer
    assert sorted(place for fold in found.folds for place in fold.validation) == list(range(2, 10))
    assert all(sorted([*fold.training, *fold.validation]) == list(range(2, 10)) for fold in found.folds)
    assert found.told == ("4 of the 12 utterances cannot be used and are in no fold",)


def test_speakers_stay_together_where_there_are_enough_of_them(twelve: list[Utterance]) -> None:
    found = divide(by("abcabcabcabc", twelve), FoldsConfig())
    assert {fold.validation for fold in found.folds} == {(0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11)}
    assert found.groups == (0, 1, 2) * 4
    assert found.told == ()


@pytest.mark.parametrize(
    ("speakers", "told"),
    [
        ("aaaaaaaaaaaa", "the 12 utterances come from 1 speaker, fewer than the 3 folds"),
        ("aaaaaabbbbbb", "the 12 utterances come from 2 speakers, fewer than the 3 folds"),
        ("abcabcabcab ", "1 of the 12 utterances name no speaker"),
    ],
)
def test_with_too_few_speakers_they_are_divided_and_that_is_told_or_refused(
    twelve: list[Utterance], speakers: str, told: str
) -> None:
    items = by(speakers, twelve)
    (line,) = divide(items, FoldsConfig()).told
    assert line.startswith(told)
    assert "the same speaker may be in training and validation data" in line
    assert divide(items, FoldsConfig(keep_speakers=False)).told == ()
    with pytest.raises(DataError) as caught:
        divide(items, FoldsConfig(keep_speakers=True))
    assert str(caught.value).startswith(told)
    assert "finetune.folds.keep_speakers=false" in str(caught.value)


def test_speakers_who_read_the_same_sentence_are_one_group(twelve: list[Utterance]) -> None:
    items = by("aaaabbbbcccc", twelve)
    items[4] = replace(items[4], text="Sentence 0")
    alike, line = divide(items, FoldsConfig()).told
    assert alike == "1 utterance kept with others of the same sentence or sound, which makes 11 groups"
    assert "3 speakers, of whom shared sentences or sounds leave 2 groups, fewer than the 3 folds" in line
    assert len(divide(items, FoldsConfig(count=2)).told) == 1


def test_fewer_groups_than_folds_are_refused_with_the_cure(twelve: list[Utterance]) -> None:
    same = [replace(item, text="the same") for item in twelve[:11]]
    with pytest.raises(
        DataError, match=r"12 utterances .* make 2 groups, fewer than finetune.folds.count=3; use fewer"
    ):
        divide([*same, twelve[11]], FoldsConfig())
    found = divide([*same, twelve[11]], FoldsConfig(count=2, repeats=3))
    assert {fold.validation for fold in found.folds} == {tuple(range(11)), (11,)}
    assert any("3 repeats came to 1 different division" in line for line in found.told)


def test_leaving_out_a_speaker_leaves_out_what_others_said_alike(twelve: list[Utterance]) -> None:
    items = by("aaaabbbbcccc", twelve)
    items[4] = replace(items[4], text="Sentence 0")
    found = divide(items, replace(LEAVE_ONE_OUT, repeats=2))
    assert [(fold.training, fold.validation) for fold in found.folds] == [
        ((5, 6, 7, 8, 9, 10, 11), (0, 1, 2, 3)),
        ((1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7)),
        ((0, 1, 2, 3, 4, 5, 6, 7), (8, 9, 10, 11)),
    ]
    assert "in 2 of 3 folds, up to 1 utterance by other speakers are left out of training" in found.told[1]
    assert "finetune.folds.repeats=2 is 1" in found.told[2]


@pytest.mark.parametrize(
    ("speakers", "wrong"),
    [
        ("aaaaaaaaaaaa", r"12 utterances .* come from 1 speaker,.* add speakers, or use kfold"),
        ("aaaaaabbbbb ", r"1 of the 12 utterances name no speaker.* or use kfold"),
    ],
)
def test_leaving_out_speakers_needs_two_and_all_their_names(twelve: list[Utterance], speakers: str, wrong: str) -> None:
    with pytest.raises(DataError, match=wrong):
        divide(by(speakers, twelve), LEAVE_ONE_OUT)


def test_a_speaker_without_whom_nothing_is_left_is_named(twelve: list[Utterance]) -> None:
    items = [replace(item, text="the same") for item in by("ab", twelve[:2])]
    with pytest.raises(DataError, match=r"without speaker 'a' nothing is left to train on.*kfold"):
        divide(items, LEAVE_ONE_OUT)


@pytest.mark.parametrize("config", [FoldsConfig(FoldMethod.none), FoldsConfig(count=1), FoldsConfig(repeats=0)])
def test_what_divides_nothing_is_misuse(twelve: list[Utterance], config: FoldsConfig) -> None:
    with pytest.raises(ValueError, match="divides nothing"):
        divide(twelve, config)
