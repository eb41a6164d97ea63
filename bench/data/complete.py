"""Whether a file holds all the audio that its header promises; FFmpeg decodes one that was cut short without a word."""

import os
from pathlib import Path
from typing import BinaryIO

import av

_EXACT = frozenset({"wav", "flac", "aiff"})  # formats that count samples
_EXACT_SLACK_S = 0.01
_SLACK_S = 0.5  # elsewhere encoders pad, and count what they padded or do not
_SLACK_SHARE = 0.002
_UNCOMPRESSED = frozenset({0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE})  # PCM, floats, A-law, mu-law, extensible
_NO_LENGTH = 0x7F000000  # programs that write to a pipe put the largest number there is, or one a little smaller
_OGG_PAGE = b"OggS"
_OGG_LAST = 0x04  # the flag of a stream's last page (RFC 3533, section 6)
_OGG_HEADER = 27  # bytes, the last of which counts the lengths that follow
_TAIL_BYTES = 2**17  # a page has 65,307 bytes at most
_XING_WITHIN = 4096  # its frame is the first one


def promised_s(path: Path, container: av.container.InputContainer, stream: av.AudioStream) -> float | None:
    """Tell the seconds of audio that a header promises; null where none does, or where the number is an estimate.

    Args:
        path: The file.
        container: The same, open.
        stream: The stream that is decoded.

    Raises:
        OSError: The file cannot be read.
    """
    names = set(container.format.name.split(","))
    if "wav" in names:
        return _wav_s(path)
    if names & {"mp4", "flac", "aiff"} or ("mp3" in names and _counts_frames(path)):
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    # Matroska tells the length of the whole, which is that of the audio where nothing else is in it.
    if names & {"matroska", "webm"} and len(container.streams) == 1 and container.duration:
        return (container.duration - (container.start_time or 0)) / av.time_base
    return None


def is_cut_short(path: Path, names: str, promised: float | None, decoded_s: float) -> bool:
    """Whether audio that was promised is missing, at its end or where it is damaged, or an Ogg stream has no end.

    Args:
        path: The file.
        names: FFmpeg's names of its format.
        promised: What :func:`promised_s` found.
        decoded_s: Seconds of audio that could be decoded.

    Raises:
        OSError: The file cannot be read.
    """
    if "ogg" in names.split(","):
        return not _has_last_page(path)
    if promised is None:
        return False
    exact = not _EXACT.isdisjoint(names.split(","))
    return decoded_s < promised - (_EXACT_SLACK_S if exact else max(_SLACK_S, _SLACK_SHARE * promised))


def _wav_s(path: Path) -> float | None:
    """Read the size of the data from a WAV file's chunks; a larger format (RF64) has it elsewhere, and is not asked."""
    with path.open("rb") as file:
        if file.read(12)[:4] != b"RIFF":
            return None
        bytes_a_second = 0
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return size / bytes_a_second if bytes_a_second and 0 < size < _NO_LENGTH else None
            if head[:4] == b"fmt ":
                form = file.read(14)
                # Of other codecs samples have no fixed size; the bytes a second that the header tells may be wrong.
                if int.from_bytes(form[:2], "little") in _UNCOMPRESSED:
                    bytes_a_second = int.from_bytes(form[4:8], "little") * int.from_bytes(form[12:14], "little")
                size -= 14
            file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _counts_frames(path: Path) -> bool:
    """Whether an MP3 file tells how many frames it has; otherwise its length is guessed from its first frame."""
    with path.open("rb") as file:
        head = file.read(10)
        start = 0
        if head[:3] == b"ID3":
            start = 10 + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(head[6:10])))
        file.seek(start)
        first = file.read(_XING_WITHIN)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _has_last_page(path: Path) -> bool:
    with path.open("rb") as file:
        tail = _tail(file)
    page = tail.rfind(_OGG_PAGE)
    lengths = tail[page + _OGG_HEADER :][: tail[page + _OGG_HEADER - 1]] if len(tail) > page + _OGG_HEADER else b""
    is_whole = len(tail) >= page + _OGG_HEADER + len(lengths) + sum(lengths)
    return page >= 0 and bool(lengths) and is_whole and bool(tail[page + 5] & _OGG_LAST)


def _tail(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    return file.read()
