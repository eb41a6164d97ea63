"""Leaks: what is both in the data a model learns from and in the data it is judged on.

Splits clash by

- ``recording``: the same file, or another with the same bytes, whichever spans of it they use;
- ``audio``: the same sound (:mod:`bench.data.same_sound`), or spans of one recording that overlap;
- ``sentence``: the same words (:func:`bench.data.sentences.plain`); a transcript without words has no part in this;
- ``speaker``: the same label; who has none has no part in this.

A speaker with a thousand utterances on either side is one clash and no million: a clash is a recording, a pair of
sounds, a sentence or a speaker, and names the utterances of both splits that have it.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import isinf

from bench.data.heard import Heard, Progress, Sound, Unchecked, hear
from bench.data.same_sound import same_sounds
from bench.data.sentences import plain
from bench.errors import DataError
from bench.records import Utterance

_LEAST_OVERLAP_S = 0.1  # manifests round, and cut in the silence between two sentences


class Kind(StrEnum):
    """What two splits must not share; the values of ``data.allow_leaks``."""

    recording = "recording"
    audio = "audio"
    sentence = "sentence"
    speaker = "speaker"


@dataclass(frozen=True)
class Side:
    """One split's part in a clash: its utterances that have what is shared, at least one."""

    split: str
    utterances: tuple[Utterance, ...]

    @property
    def place(self) -> str:
        """The split and the first of the utterances, for people."""
        more = f" and {len(self.utterances) - 1} more" if len(self.utterances) > 1 else ""
        return f"{self.split} ({self.utterances[0].utterance_id}{more})"


@dataclass(frozen=True)
class Clash:
    """Something that two splits share.

    Attributes:
        kind: What kind of thing.
        detail: The thing itself: the sentence, the speaker, how the sounds lie to each other.
        first: The split that was named first.
        second: The other one.
    """

    kind: Kind
    detail: str
    first: Side
    second: Side

    @property
    def line(self) -> str:
        """What is shared, and an example of it on both sides, for people."""
        return f"{self.detail}: {self.first.place} and {self.second.place}"


@dataclass(frozen=True)
class Repeats:
    """What a split has more than once, which is no leak.

    Attributes:
        sounds: Utterances with the same bytes and span as an earlier one.
        sentences: Utterances with the same sentence as an earlier one.
    """

    sounds: int
    sentences: int


@dataclass(frozen=True)
class Leaks:
    """What a check of some splits found.

    Attributes:
        clashes: By kind, then by pair of splits, then in the order of the first one's utterances.
        unchecked: Utterances whose sound could not be compared.
        repeats: For each split.
        lengths_s: Seconds of audio of each split, as far as it was decoded.
    """

    clashes: tuple[Clash, ...]
    unchecked: tuple[Unchecked, ...]
    repeats: Mapping[str, Repeats]
    lengths_s: Mapping[str, float]

    def counts(self) -> dict[Kind, int]:
        """Count the clashes of each kind that has any."""
        return dict(Counter(clash.kind for clash in self.clashes))


def parse_kinds(names: Sequence[str]) -> frozenset[Kind]:
    """Read the value of ``data.allow_leaks``.

    Raises:
        DataError: A name is none of a :class:`Kind`.
    """
    unknown = [name for name in names if name not in set(Kind)]
    if unknown:
        raise DataError(f"data.allow_leaks={unknown[0]} is unknown; use some of: {', '.join(Kind)}")
    return frozenset(Kind(name) for name in names)


def refuse_leaks(
    splits: Mapping[str, Sequence[Utterance]],
    allowed: Sequence[str] = (),
    *,
    max_duration_s: float | None = None,
    progress: Progress | None = None,
) -> Leaks:
    """Stop unless splits share nothing but what is allowed. What is allowed is not looked for, which may save decoding.

    Args:
        splits: Utterances by the name of their split.
        allowed: The value of ``data.allow_leaks``: names of :class:`Kind`.
        max_duration_s: Seconds beyond which an utterance is not used; null is no limit.
        progress: Called with the number of sounds done and of all.

    Returns:
        What was found, which is no clash, but there may be utterances that could not be checked.

    Raises:
        DataError: They do, or a name in ``allowed`` is unknown.
        AssetError: There is nowhere to write decoded audio to.
    """
    sought = frozenset(Kind) - parse_kinds(allowed)
    found = find_leaks(splits, sought, max_duration_s=max_duration_s, progress=progress)
    if found.clashes:
        first, counts = found.clashes[0], found.counts()
        said = ", ".join(f"{count} by {kind}" for kind, count in counts.items())
        accepted = ",".join(kind for kind in Kind if kind in counts or kind not in sought)
        raise DataError(
            f"{' and '.join(splits)} clash, {said}; the first: {first.kind} {first.line}; take such utterances out of"
            f" one split (asr-sweep splits lists them all), or accept this with 'data.allow_leaks=[{accepted}]'"
        )
    return found


def find_leaks(
    splits: Mapping[str, Sequence[Utterance]],
    kinds: Collection[Kind] = frozenset(Kind),
    *,
    max_duration_s: float | None = None,
    progress: Progress | None = None,
) -> Leaks:
    """Find what each two of some splits share.

    Utterances that are known to be unusable have no part in it.

    Args:
        splits: Utterances by the name of their split.
        kinds: What to look for.
        max_duration_s: Seconds beyond which an utterance is not used; null is no limit.
        progress: Called with the number of sounds done and of all.

    Raises:
        AssetError: There is nowhere to write decoded audio to.
    """
    usable = {name: [item for item in items if item.error is None] for name, items in splits.items()}
    sentences = {name: _by_sentence(items) for name, items in usable.items()}
    heard = Heard({name: {} for name in splits}, {}, {}, ())
    if not {Kind.recording, Kind.audio}.isdisjoint(kinds):
        heard = hear(splits, listen=Kind.audio in kinds, max_duration_s=max_duration_s, progress=progress)
    pairs = list(combinations(splits, 2))
    clashes: list[Clash] = []
    for kind in (kind for kind in Kind if kind in kinds):
        for pair in pairs:
            match kind:
                case Kind.recording:
                    clashes += _recordings(heard, *pair)
                case Kind.audio:
                    clashes += _sounds(heard, *pair)
                case Kind.sentence:
                    clashes += _shared(kind, sentences, *pair)
                case Kind.speaker:
                    clashes += _shared(kind, {name: _by_speaker(usable[name]) for name in pair}, *pair)
    repeats = {name: Repeats(_surplus(heard.of[name].values()), _surplus(sentences[name].values())) for name in splits}
    lengths_s = {
        name: sum(heard.lengths_s.get(sound, 0.0) * len(items) for sound, items in sounds.items())
        for name, sounds in heard.of.items()
    }
    return Leaks(tuple(clashes), tuple(heard.unchecked), repeats, lengths_s)


def _by_sentence(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    groups: dict[str, list[Utterance]] = {}
    for item in utterances:
        if sentence := plain(item.text):
            groups.setdefault(sentence, []).append(item)
    return groups


def _by_speaker(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    groups: dict[str, list[Utterance]] = {}
    for item in utterances:
        if item.speaker:
            groups.setdefault(item.speaker, []).append(item)
    return groups


def _surplus(groups: Collection[Sequence[Utterance]]) -> int:
    return sum(map(len, groups)) - len(groups)


def _shared(
    kind: Kind, groups: Mapping[str, Mapping[str, Sequence[Utterance]]], first: str, second: str
) -> Iterator[Clash]:
    for key, items in groups[first].items():
        if key in groups[second]:
            yield Clash(kind, f"'{key}'", Side(first, tuple(items)), Side(second, tuple(groups[second][key])))


def _recordings(heard: Heard, first: str, second: str) -> Iterator[Clash]:
    ours, theirs = _by_content(heard.of[first]), _by_content(heard.of[second])
    for content, sounds in ours.items():
        if content in theirs:
            sides = [
                Side(name, tuple(item for sound in group for item in heard.of[name][sound]))
                for name, group in ((first, sounds), (second, theirs[content]))
            ]
            one, other = (side.utterances[0].path for side in sides)
            detail = one.name if one == other else f"{one.name}, which has the bytes of {other.name}"
            apart = not any(True for _ in _overlaps(sounds, theirs[content]))
            yield Clash(Kind.recording, detail + (", in spans that do not overlap" if apart else ""), *sides)


def _sounds(heard: Heard, first: str, second: str) -> Iterator[Clash]:
    ours, theirs = heard.of[first], heard.of[second]
    details: dict[tuple[Sound, Sound], str] = {}
    known = _by_content(theirs)
    for content, sounds in _by_content(ours).items():
        for one, other, overlap_s in _overlaps(sounds, known.get(content, ())):
            length = "to its end" if isinf(overlap_s) else f"for {overlap_s:.2f} s"
            details[one, other] = "the same span" if one == other else f"spans of one recording that overlap {length}"
    sought, among = ([sound for sound in sounds if sound in heard.fingerprints] for sounds in (ours, theirs))
    for match in same_sounds(*([heard.fingerprints[sound] for sound in sounds] for sounds in (sought, among))):
        one, other = sought[match.first], among[match.second]
        if one.content != other.content:
            details[one, other] = f"shifted by {match.offset_s:.2f} s, with {match.different:.1%} of the bits differing"
    order = {sound: number for number, sound in enumerate(ours)}
    for (one, other), detail in sorted(details.items(), key=lambda item: order[item[0][0]]):
        yield Clash(Kind.audio, detail, Side(first, tuple(ours[one])), Side(second, tuple(theirs[other])))


def _by_content(sounds: Mapping[Sound, Sequence[Utterance]]) -> dict[str, list[Sound]]:
    groups: dict[str, list[Sound]] = {}
    for sound in sounds:
        groups.setdefault(sound.content, []).append(sound)
    return groups


def _overlaps(ours: Sequence[Sound], theirs: Sequence[Sound]) -> Iterator[tuple[Sound, Sound, float]]:
    """Yield the spans of one recording that overlap, and for how many seconds."""
    ordered = sorted(theirs, key=lambda sound: sound.start_s)
    for one in ours:
        for other in ordered:
            if other.start_s >= one.stop_s:
                break
            overlap_s = min(one.stop_s, other.stop_s) - max(one.start_s, other.start_s)
            if one == other or overlap_s > _LEAST_OVERLAP_S:
                yield one, other, overlap_s
