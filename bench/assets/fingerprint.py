"""Names for content: equal for equal bytes, wherever they lie."""

import errno
import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path


def of_file(path: Path) -> str:
    """Hash a file's whole content; SHA-256, hexadecimal.

    Raises:
        OSError: The file cannot be read, or is none: reading a pipe or a device might never end.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_parts(parts: Iterable[str]) -> str:
    """Hash a sequence of texts to sixteen hexadecimal digits; the border between two of them counts."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]
