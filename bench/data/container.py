"""Audio and video files, opened so that nothing but themselves is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

# Formats that only name other files, wherever those lie: the audio would not be the file's, nor under its folder.
_LISTS = frozenset({"hls", "concat", "dash", "webm_dash_manifest", "imf", "sdp", "rtsp", "rtp", "sap", "image2", "mlv"})


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file by its content.

    Raises:
        av.FFmpegError: It is of no format that FFmpeg knows.
        OSError: It cannot be read.
        ValueError: It is a playlist, or a list of files in another form.
    """
    # Without the prefix, a colon in a name makes it an address. No other protocol is allowed within.
    with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
        if not _LISTS.isdisjoint(container.format.name.split(",")):
            raise ValueError("it is a list of other files; name the audio files themselves")
        yield container
