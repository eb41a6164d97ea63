"""A configuration's data: its utterances, a name for people, and a fingerprint for machines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.assets import fingerprint
from bench.assets.recordings import ensure_demo_recordings
from bench.config import DataConfig, DataSource
from bench.data.manifest import read_manifest
from bench.records import Utterance


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


def subset(data: DataSet, name: str, utterances: Sequence[Utterance]) -> DataSet:
    """Take some of a data set's utterances, in their order there, as a data set of its own.

    Args:
        data: The whole.
        name: What the part is called, beside the whole's name.
        utterances: Those to take.
    """
    wanted = {item.utterance_id for item in utterances}
    chosen = tuple(item for item in data.utterances if item.utterance_id in wanted)
    return DataSet(f"{data.name} ({name})", chosen, _fingerprint(chosen))


def _fingerprint(utterances: Iterable[Utterance]) -> str:
    files: dict[Path, str] = {}
    parts: list[str] = []
    for item in utterances:
        if item.path not in files:
            files[item.path] = _content(item.path)
        parts += [files[item.path], item.text, repr(item.start_s), repr(item.duration_s)]
    return fingerprint.of_parts(parts)


def _content(path: Path) -> str:
    """Name a recording's content; one that cannot be read has a name of its own kind, until it can."""
    try:
        return fingerprint.of_file(path)
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
