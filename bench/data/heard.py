"""The sounds of several splits: which utterances have the same bytes, and what each one sounds like."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.assets.fingerprint import of_file
from bench.data.audio import load_recordings
from bench.data.same_sound import LEAST_FRAMES
from bench.data.sound import INPUT_HZ, Fingerprint, fingerprint
from bench.errors import AudioError
from bench.records import Samples, Utterance

Progress = Callable[[int, int], None]
"""Called with the number of sounds done and the number of all."""

_LOADED = 64  # utterances loaded together: each keeps a file mapped


@dataclass(frozen=True, slots=True)
class Sound:
    """A span of a recording, known by its bytes wherever they lie.

    Attributes:
        content: SHA-256 of the file.
        start_s: Start of the span in seconds.
        duration_s: Length of the span in seconds; null reaches to the end.
    """

    content: str
    start_s: float
    duration_s: float | None

    @property
    def stop_s(self) -> float:
        """End of the span in seconds; infinite where it is the recording's end."""
        return float("inf") if self.duration_s is None else self.start_s + self.duration_s


@dataclass(frozen=True)
class Unchecked:
    """An utterance whose sound could not be compared, and why."""

    split: str
    utterance: Utterance
    reason: str


@dataclass(frozen=True)
class Heard:
    """The sounds of several splits.

    Attributes:
        of: For each split the sounds in it, in their order, with the utterances that have them.
        fingerprints: What each sounds like; nothing for those that tell too little, and where nobody listened.
        lengths_s: Seconds of each sound that was decoded.
        unchecked: What could not be compared.
    """

    of: Mapping[str, Mapping[Sound, Sequence[Utterance]]]
    fingerprints: Mapping[Sound, Fingerprint]
    lengths_s: Mapping[Sound, float]
    unchecked: Sequence[Unchecked]


def hear(
    splits: Mapping[str, Sequence[Utterance]],
    *,
    listen: bool,
    max_duration_s: float | None = None,
    progress: Progress | None = None,
) -> Heard:
    """Find out which sounds there are in some splits; each is decoded once, however often and wherever it occurs.

    Args:
        splits: Utterances by the name of their split.
        listen: Decode them and compute fingerprints; without it, only bytes are compared.
        max_duration_s: Seconds beyond which an utterance is not used; null is no limit.
        progress: Called after each bout of decoding.

    Raises:
        AssetError: There is nowhere to write decoded audio to.
    """
    of, unchecked = _by_sound(splits)
    fingerprints: dict[Sound, Fingerprint] = {}
    lengths_s: dict[Sound, float] = {}
    reasons: dict[Sound, str] = {}
    examples = {sound: items[0] for sounds in of.values() for sound, items in sounds.items()} if listen else {}
    for done, (sound, samples) in enumerate(_loaded(examples, max_duration_s), 1):
        if isinstance(samples, AudioError):
            reasons[sound] = str(samples)
        else:
            lengths_s[sound] = len(samples) / INPUT_HZ
            heard = fingerprint(samples)
            if heard.telling.sum() < LEAST_FRAMES:
                reasons[sound] = "it is too short, silent or steady to be told from others by its sound"
            else:
                fingerprints[sound] = heard
        if progress is not None and (done % _LOADED == 0 or done == len(examples)):
            progress(done, len(examples))
    for name, sounds in of.items():
        for sound, items in sounds.items():
            if sound in reasons:
                unchecked += [Unchecked(name, item, reasons[sound]) for item in items]
    return Heard(of, fingerprints, lengths_s, unchecked)


def _by_sound(
    splits: Mapping[str, Sequence[Utterance]],
) -> tuple[dict[str, dict[Sound, list[Utterance]]], list[Unchecked]]:
    """Group the utterances of each split by their sounds; those whose file cannot be read come apart."""
    contents: dict[Path, str | AudioError] = {}
    groups: dict[str, dict[Sound, list[Utterance]]] = {}
    unchecked: list[Unchecked] = []
    for name, utterances in splits.items():
        group = groups[name] = {}
        for item in utterances:
            if item.error is not None:
                unchecked.append(Unchecked(name, item, item.error))
                continue
            if item.path not in contents:
                contents[item.path] = _content(item.path)
            content = contents[item.path]
            if isinstance(content, AudioError):
                unchecked.append(Unchecked(name, item, str(content)))
            else:
                group.setdefault(Sound(content, item.start_s, item.duration_s), []).append(item)
    return groups, unchecked


def _content(path: Path) -> str | AudioError:
    try:
        return of_file(path)
    except OSError as error:
        return AudioError(f"{path} cannot be read ({error.strerror or error}); mend its path in the manifest")


def _loaded(
    examples: Mapping[Sound, Utterance], max_duration_s: float | None
) -> Iterator[tuple[Sound, Samples | AudioError]]:
    """Yield each sound's samples, or why there are none; spans of one file come one after the other."""
    ordered = iter(sorted(examples.items(), key=lambda item: (item[1].path, item[1].start_s)))
    while batch := list(islice(ordered, _LOADED)):
        loaded = load_recordings([item for _, item in batch], INPUT_HZ, max_duration_s)
        yield from zip((sound for sound, _ in batch), loaded.recordings, strict=True)
