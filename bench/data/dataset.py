"""A configuration's data: its utterances, a name for people, and a fingerprint for machines."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.assets.recordings import ensure_demo_recordings
from bench.config import DataConfig, DataSource
from bench.data.manifest import read_manifest
from bench.records import Utterance

_BLOCK = 64 * 1024


@dataclass(frozen=True)
class DataSet:
    """Utterances to transcribe.

    Attributes:
        name: Short name for tables and figures.
        utterances: In the manifest's order.
        fingerprint: Equal for equal transcripts, spans and audio, wherever the files lie.
    """

    name: str
    utterances: tuple[Utterance, ...]
    fingerprint: str


def load_dataset(config: DataConfig) -> DataSet:
    """Read the data a configuration names, making the demo recordings first where they are asked for.

    Raises:
        DataError: The manifest cannot be used.
        AssetError: The demo recordings cannot be made.
    """
    if config.source is DataSource.demo:
        manifest = ensure_demo_recordings() / "manifest.csv"
        name = "demo"
    else:
        manifest = Path(config.path or "")
        name = f"{manifest.resolve().parent.name}/{manifest.name}"
    utterances = read_manifest(
        manifest,
        Path(config.root) if config.root else None,
        allow_outside_root=config.allow_outside_root,
        limit=config.limit,
    )
    return DataSet(name, tuple(utterances), _fingerprint(utterances))


def _fingerprint(utterances: Iterable[Utterance]) -> str:
    digest = hashlib.sha256()
    files: dict[Path, str] = {}
    for item in utterances:
        if item.path not in files:
            files[item.path] = _file_fingerprint(item.path)
        digest.update(json.dumps([files[item.path], item.text, item.start_s, item.duration_s]).encode())
    return digest.hexdigest()[:16]


def _file_fingerprint(path: Path) -> str:
    """Hash a file's size and its first, middle and last 64 KiB.

    That is cheap for hours of audio, and no edit of a real recording keeps all four. A file that cannot be read has a
    fingerprint of its own kind.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for start in sorted({0, max(0, (size - _BLOCK) // 2), max(0, size - _BLOCK)}):
                file.seek(start)
                digest.update(file.read(_BLOCK))
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
    return digest.hexdigest()
