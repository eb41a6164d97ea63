"""A configuration's data: its utterances, a name for people, and a fingerprint for machines."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.assets import fingerprint
from bench.assets.recordings import ensure_demo_recordings
from bench.config import SPLIT, DataConfig, DataSource, OnError
from bench.data.choice import choose as chosen
from bench.data.content import content_of
from bench.data.sources.common_voice import CLIPS, read_common_voice
from bench.data.sources.entries import Entry, Utterances
from bench.data.sources.folder import read_folder
from bench.data.sources.hub import read_hub
from bench.data.sources.librispeech import read_librispeech
from bench.data.sources.manifest import read_manifest
from bench.data.sources.synthetic import ensure_spoken, entries_of, recordings_of
from bench.errors import DataError
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
    """Read the data a configuration names, making recordings first where they are synthesised.

    Utterances that cannot be used are part of it, each with its reason, unless ``data.limit`` chooses among the others.

    Raises:
        DataError: The source cannot be read or names no utterance that can be used, or ``data.on_error`` is ``fail``
            and there is one that cannot.
        AssetError: Recordings cannot be made, or the cache cannot be written.
    """
    utterances = _read(config)
    where = _where(config)
    unusable = [item for item in utterances if item.error is not None]
    if not utterances:
        raise DataError(f"{where} names no utterance; give at least one, with its audio and text")
    if len(unusable) == len(utterances):
        raise DataError(
            f"none of the {len(utterances)} utterances of {where} can be used; the first: {unusable[0].error}"
        )
    if config.on_error is OnError.fail:
        _refuse_unusable(utterances, config)
    known = tuple(_with_content(utterances))
    return DataSet(_name(config), known, _fingerprint(known))


def _where(config: DataConfig) -> str:
    return config.path or f"data={config.source}"


def _refuse_unusable(utterances: Sequence[Utterance], config: DataConfig) -> None:
    unusable = [item for item in utterances if item.error is not None]
    if unusable:
        raise DataError(
            f"{len(unusable)} of the {len(utterances)} utterances of {_where(config)} cannot be used; the first:"
            f" {unusable[0].error}; mend them, or leave them out with data.on_error=skip"
        )


def _read(config: DataConfig) -> list[Utterance]:
    def choose(utterances: Sequence[Utterance]) -> list[Utterance]:
        return chosen(utterances, config.limit, config.choice, config.seed)

    if config.source is DataSource.hub:
        return read_hub(config, choose)
    root, entries = _entries(config)
    found = Utterances(root, allow_outside_root=config.allow_outside_root, max_duration_s=config.max_duration_s)
    for entry in entries:
        found.add(entry)
    if config.on_error is OnError.fail:  # also what data.limit would pass over
        _refuse_unusable(found.found, config)
    return choose(found.found)


def _entries(config: DataConfig) -> tuple[Path, Iterator[Entry]]:
    """Name the folder that a source's paths start from, and read what it says."""
    path = Path(path_of(config))
    match config.source:
        case DataSource.manifest:
            root = Path(config.root or path.parent)
            if config.root and not root.is_dir():
                raise DataError(f"data.root={root} is not a folder; give the one that the manifest's paths start from")
            return root, read_manifest(path)
        case DataSource.folder:
            return path, read_folder(path)
        case DataSource.common_voice:
            # Clips often lie on another disk, behind a link that the user made.
            return path / CLIPS, read_common_voice(path, str(config.split))
        case DataSource.librispeech:
            root = path / (config.split or "")
            return root, read_librispeech(root)
        case DataSource.synthetic:
            recordings = recordings_of(None if config.path is None else path, config.synthetic)
            return ensure_spoken(recordings), entries_of(recordings)
        case _:
            root = ensure_demo_recordings()
            return root, read_manifest(root / "manifest.csv")


def path_of(config: DataConfig) -> str:
    """Name the place of a data set, with its split put in where the path has a place for it."""
    path = config.path or ""
    return path.replace(SPLIT, config.split) if config.split else path


def _name(config: DataConfig) -> str:
    if config.path is None:  # the demo, and sentences that are made up
        return config.source.value
    if config.source is DataSource.hub:
        return f"{config.path}/{config.split}"
    path = Path(path_of(config)).resolve()
    if config.source in (DataSource.common_voice, DataSource.librispeech):
        return f"{path.name}/{config.split}" if config.split else path.name
    return f"{path.parent.name}/{path.name}"


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


def _with_content(utterances: Iterable[Utterance]) -> Iterator[Utterance]:
    """Look at each recording once, and note what it holds."""
    files: dict[Path, str] = {}
    for item in utterances:
        if item.error is not None:
            yield item
            continue
        if item.path not in files:
            files[item.path] = content_of(item.path)
        yield replace(item, content=files[item.path])


def _fingerprint(utterances: Iterable[Utterance]) -> str:
    parts: list[str] = []
    for item in utterances:
        if item.error is not None:
            parts += ["unusable", item.text]
        else:
            parts += [str(item.content), item.text, repr(item.start_s), repr(item.duration_s)]
    return fingerprint.of_parts(parts)
