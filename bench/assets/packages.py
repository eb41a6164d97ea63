"""Files inside installed packages, found without importing the package and checked before they are believed."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from bench.errors import AssetError


def package_folder(module: str, requirement: str, extra: str) -> Path:
    """Folder of an installed top-level package.

    Args:
        module: Its import name.
        requirement: What provides it, such as `some-package==1.0`, for the message.
        extra: The extra of this project that asks for it.

    Returns:
        The folder; nothing of the package has run.

    Raises:
        AssetError: It is not installed.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise AssetError(f"the package {requirement} is not installed; run: pip install 'asr-sweep[{extra}]'")
    return Path(spec.submodule_search_locations[0])


def read_checked(path: Path, sha256: str, requirement: str) -> bytes:
    """Read a file whose content is known in advance.

    Args:
        path: The file.
        sha256: Hexadecimal SHA-256 that it must have.
        requirement: What provides it, for the message.

    Returns:
        Its content: the very bytes that were checked.

    Raises:
        AssetError: It cannot be read, or is another file.
    """
    cure = f"run: pip install --force-reinstall --no-deps '{requirement}'"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AssetError(f"cannot read {path}: {error}; {cure}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise AssetError(f"{path} has SHA-256 {found}, not {sha256}; {cure}")
    return content
