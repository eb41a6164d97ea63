"""Which utterances are trained on and which are judged on, in each training of a cross-validation.

What must stay together (:mod:`bench.finetune.groups`) is never on both sides. Division depends on the utterances'
names, sentences and sounds, the settings and the seed, not on their order or the machine.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.config import FoldMethod, FoldsConfig
from bench.data.heard import Progress
from bench.data.lengths import lengths_s
from bench.errors import DataError
from bench.finetune.groups import group, with_speakers
from bench.records import Utterance


@dataclass(frozen=True)
class Fold:
    """One training and what it is judged on; both as places in the list of utterances, from 0, ascending.

    Attributes:
        repeat: Which division it is of, from 0.
        number: Which fold of that division, from 0.
        training: What is trained on; nothing of it shares a group with what is judged on.
        validation: What is judged on.
    """

    repeat: int
    number: int
    training: tuple[int, ...]
    validation: tuple[int, ...]


@dataclass(frozen=True)
class Folds:
    """All trainings of a cross-validation.

    Attributes:
        groups: The group of each utterance, numbered from 0 by first appearance; an unusable one has its own.
        folds: By repeat, then by number.
        told: What the user should know about the division, a sentence each.
    """

    groups: tuple[int, ...]
    folds: tuple[Fold, ...]
    told: tuple[str, ...]


def divide(
    utterances: Sequence[Utterance],
    config: FoldsConfig,
    *,
    max_duration_s: float | None = None,
    progress: Progress | None = None,
) -> Folds:
    """Divide utterances for cross-validation; those that cannot be used are in no fold.

    Args:
        utterances: All of them, each with an id of its own.
        config: How.
        max_duration_s: Seconds beyond which an utterance is not used; null is no limit.
        progress: Called with the number of sounds done and of all.

    Raises:
        DataError: There is too little to divide that could be kept apart.
        AssetError: There is nowhere to write decoded audio to.
        ValueError: The method divides nothing, or there are fewer than two folds or no repeat.
    """
    if config.method is FoldMethod.none or config.count < 2 or config.repeats < 1:
        raise ValueError(f"{config} divides nothing")
    seconds = {
        number: length
        for number, length in enumerate(lengths_s(utterances))
        if length is not None and (max_duration_s is None or length <= max_duration_s)
    }
    groups = group(utterances, speakers=False, max_duration_s=max_duration_s, progress=progress)
    told = []
    if unusable := len(utterances) - len(seconds):
        told.append(f"{unusable} of the {len(utterances)} utterances cannot be used and are in no fold")
    if alike := len(seconds) - _count(groups, seconds):
        told.append(
            f"{_counted(alike, 'utterance')} kept with others of the same sentence or sound, which makes"
            f" {_counted(_count(groups, seconds), 'group')}"
        )
    if config.method is FoldMethod.leave_one_speaker_out:
        folds, remarks = _by_speaker(utterances, groups, sorted(seconds), config)
    else:
        groups, remarks = _grouped(utterances, groups, sorted(seconds), config)
        folds = [
            _fold((repeat, number), validation, sorted(seconds), groups)
            for repeat in range(config.repeats)
            for number, validation in enumerate(_balanced(utterances, groups, seconds, config, repeat))
        ]
        divisions = {frozenset(fold.validation for fold in folds if fold.repeat == n) for n in range(config.repeats)}
        if len(divisions) < config.repeats:
            remarks.append(
                f"the {_count(groups, seconds)} groups are so few that {config.repeats} repeats came to"
                f" {_counted(len(divisions), 'different division')}"
            )
    return Folds(groups, tuple(folds), (*told, *remarks))


def _grouped(
    utterances: Sequence[Utterance], groups: tuple[int, ...], usable: Sequence[int], config: FoldsConfig
) -> tuple[tuple[int, ...], list[str]]:
    """Keep speakers together as the settings say and the data allows; returns the groups, and remarks for the user."""
    found = _count(groups, usable)
    if found < config.count:
        raise DataError(
            f"the {_counted(len(usable), 'utterance')} that can be used, less those that are the same sentence or sound"
            f" as others, make {_counted(found, 'group')}, fewer than finetune.folds.count={config.count}; use fewer"
            " folds (at least 2), or add data"
        )
    if config.keep_speakers is False:
        return groups, []
    speakers = {utterances[number].speaker for number in usable}
    joined = with_speakers(utterances, groups)
    left = _count(joined, usable)
    if not all(speakers):
        nameless = sum(not utterances[number].speaker for number in usable)
        wrong = f"{nameless} of the {len(usable)} utterances name no speaker"
        cure = "name the speaker of each in the manifest"
    elif left < config.count:
        wrong = f"the {len(usable)} utterances come from {_counted(len(speakers), 'speaker')}"
        if left < len(speakers):
            wrong += f", of whom shared sentences or sounds leave {_counted(left, 'group')}"
        wrong += f", fewer than the {config.count} folds"
        cure = "use fewer folds (finetune.folds.count, at least 2), add speakers"
    else:
        return joined, []
    if config.keep_speakers:
        raise DataError(
            f"{wrong}; {cure}, or accept one in training and validation: finetune.folds.keep_speakers=false"
        )
    return groups, [
        f"{wrong}, so the same speaker may be in training and validation data: WER for other speakers may be higher"
    ]


def _balanced(
    utterances: Sequence[Utterance],
    groups: Sequence[int],
    seconds: Mapping[int, float],
    config: FoldsConfig,
    repeat: int,
) -> list[list[int]]:
    """Divide into folds of about as much audio; returns the utterances of each.

    Groups go to the fold with the least audio so far, the longest first, but those within a factor of two in an order
    that depends on seed, repeat and names alone. The folds' lengths differ by no more than the longest group, since
    what a fold got last it got when it was the shortest.
    """
    members: dict[int, list[int]] = {}
    for number in seconds:
        members.setdefault(groups[number], []).append(number)

    def length(items: Sequence[int]) -> float:
        return math.fsum(seconds[number] for number in items)  # exact, so that the order of utterances does not matter

    def place(items: Sequence[int]) -> tuple[int, str]:
        names = sorted(utterances[number].utterance_id for number in items)
        key = hashlib.sha256("\0".join([str(config.seed), str(repeat), *names]).encode()).hexdigest()
        return -math.frexp(length(items))[1], key

    folds: list[list[int]] = [[] for _ in range(config.count)]
    lengths = [0.0] * config.count
    for items in sorted(members.values(), key=place):
        shortest = min(range(config.count), key=lambda fold: (lengths[fold], len(folds[fold])))
        folds[shortest] += items
        lengths[shortest] += length(items)
    return folds


def _by_speaker(
    utterances: Sequence[Utterance], groups: Sequence[int], usable: Sequence[int], config: FoldsConfig
) -> tuple[list[Fold], list[str]]:
    """Judge on one speaker at a time; returns the folds, and remarks for the user."""
    said: dict[str, list[int]] = {}
    for number in usable:
        said.setdefault(utterances[number].speaker or "", []).append(number)
    if nameless := said.get(""):
        raise DataError(
            f"{len(nameless)} of the {len(usable)} utterances name no speaker, which"
            " finetune.folds.method=leave_one_speaker_out needs of each; name them in the manifest, or use kfold"
        )
    if len(said) < 2:
        raise DataError(
            f"the {_counted(len(usable), 'utterance')} that can be used come from {_counted(len(said), 'speaker')}, and"
            " finetune.folds.method=leave_one_speaker_out needs two; add speakers, or use kfold"
        )
    folds = [_fold((0, number), said[speaker], usable, groups) for number, speaker in enumerate(sorted(said))]
    for fold, speaker in zip(folds, sorted(said), strict=True):
        if not fold.training:
            raise DataError(
                f"without speaker '{speaker}' nothing is left to train on: all else is the same sentence or sound as"
                " something they said; add data, or use finetune.folds.method=kfold"
            )
    remarks = []
    left_out = [len(usable) - len(fold.training) - len(fold.validation) for fold in folds]
    if any(left_out):
        remarks.append(
            f"in {sum(map(bool, left_out))} of {len(folds)} folds, up to {_counted(max(left_out), 'utterance')} by"
            " other speakers are left out of training, being the same sentence or sound as some that are judged on"
        )
    if config.repeats > 1:
        remarks.append(f"there is one way to leave out each speaker, so finetune.folds.repeats={config.repeats} is 1")
    return folds, remarks


def _fold(place: tuple[int, int], validation: Sequence[int], usable: Sequence[int], groups: Sequence[int]) -> Fold:
    judged = {groups[number] for number in validation}
    training = tuple(number for number in usable if groups[number] not in judged)
    return Fold(*place, training=training, validation=tuple(sorted(validation)))


def _count(groups: Sequence[int], usable: Iterable[int]) -> int:
    return len({groups[number] for number in usable})


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
