"""What a recording holds, by name: so that every run of a study hears what the study was begun with."""

from pathlib import Path

from bench.assets import fingerprint
from bench.errors import AudioError, DataError

_UNREADABLE = "unreadable: "


def content_of(path: Path) -> str:
    """Name a recording's content; one that cannot be read has a name of its own kind, until it can."""
    try:
        return fingerprint.of_file(path)
    except OSError as error:
        return f"{_UNREADABLE}{type(error).__name__}"


def refuse_change(path: Path, before: str, now: str | AudioError) -> None:
    """Make sure that a recording is what it was when the data set was read, or as unreadable as it was then.

    Args:
        path: The recording.
        before: Name of its content then.
        now: Name of its content, or why it cannot be read.

    Raises:
        DataError: It is not: what is measured on it would stand under the name of other data.
    """
    if isinstance(now, AudioError):
        if not before.startswith(_UNREADABLE):
            raise DataError(
                f"{now}; the study could read it when it began: bring it back, and start the study again"
            ) from now
    elif now != before:
        raise DataError(f"{path} was changed since the study began; start it again, which takes it as other data")
