"""How long recordings are, without decoding them."""

from collections.abc import Sequence
from pathlib import Path

import av

from bench.data.container import opened
from bench.records import Utterance


def lengths_s(utterances: Sequence[Utterance]) -> list[float | None]:
    """Tell the seconds of each utterance; null for one that cannot be used.

    What a file's header says may be off by a fraction of a second; runs measure for themselves.
    """
    whole: dict[Path, float | None] = {}
    found: list[float | None] = []
    for utterance in utterances:
        if utterance.error is not None:
            found.append(None)
            continue
        if utterance.path not in whole:
            whole[utterance.path] = file_s(utterance.path)
        whole_s = whole[utterance.path]
        if whole_s is None or utterance.start_s >= whole_s:
            found.append(None)
        elif utterance.duration_s is None:
            found.append(whole_s - utterance.start_s)
        else:
            found.append(min(utterance.duration_s, whole_s - utterance.start_s))
    return found


def file_s(path: Path) -> float | None:
    """Read a file's seconds from its header, or where that has none from its packets; null where it has no audio."""
    if not path.is_file():  # to open a pipe might take forever
        return None
    try:
        with opened(path) as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            if stream.duration and stream.time_base:
                return float(stream.duration * stream.time_base)
            if container.duration:
                return container.duration / av.time_base
            packets = sum(packet.duration or 0 for packet in container.demux(stream))
            return float(packets * stream.time_base) if packets and stream.time_base else None
    except (av.FFmpegError, OSError, ValueError):
        return None


def too_long(seconds: float, most_s: float) -> str:
    """Say that an utterance is longer than ``data.max_duration_s`` allows."""
    return f"{seconds:.0f} s is longer than data.max_duration_s={most_s:g}; cut it, or allow more (null is no limit)"
