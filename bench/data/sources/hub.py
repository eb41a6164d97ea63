"""Data sets of the `datasets` library: from the Hugging Face hub, or a local folder of Parquet files or audio."""

import dataclasses
import hashlib
import itertools
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.assets.cache import CACHE_VARIABLE, cache_root
from bench.config import Choice, DataConfig
from bench.data.sources.entries import Entry, Utterances
from bench.errors import AssetError, DataError
from bench.records import Utterance

Choose = Callable[[Sequence[Utterance]], list[Utterance]]
"""Leaves the utterances that are used."""


def read_hub(config: DataConfig, choose: Choose) -> list[Utterance]:
    """Read a data set, and write the audio of the utterances that are used into the cache, under their content's name.

    Code that a data set brings along is never run: `datasets` reads data files only.

    Args:
        config: Names the data set, its split and its columns.
        choose: Leaves the utterances that are used; the audio of the others is not touched.

    Raises:
        DataError: There is no such data set, split or column, it cannot be reached, or audio is asked for of a column
            that holds none.
        AssetError: The cache cannot be written.
    """
    if config.hub.streaming and (config.choice is not Choice.first or config.limit is None):
        raise DataError(
            "data.hub.streaming=true reads a data set from its beginning; give data.limit=N and leave"
            " data.choice=first, or say data.hub.streaming=false"
        )
    rows = _load(config)
    rows = _without_decoding(rows, config)
    place = f"{config.path} {config.split}"
    if config.hub.streaming:
        with_audio = list(itertools.islice(rows, config.limit))
        chosen = choose(_utterances(with_audio, config, place))
        row_of = with_audio.__getitem__
    else:
        wanted = [name for name in (config.hub.text, config.hub.speaker) if name]
        chosen = choose(_utterances(rows.select_columns(wanted), config, place))
        row_of = rows.__getitem__
    return [_with_audio(item, row_of(int(item.utterance_id.rpartition("/")[2])), config) for item in chosen]


def _load(config: DataConfig) -> Any:
    # Takes a second, which other sources should not pay.
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    hub = config.hub
    try:
        return load_dataset(
            config.path, hub.subset, split=config.split, revision=hub.revision, streaming=hub.streaming
        )  # fmt: skip
    except (DatasetsError, OSError, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the data set data.path={config.path} cannot be loaded: {reason:.300}; check its name, data.split"
            f"={config.split}, data.hub.subset={hub.subset} and the network"
        ) from error


def _without_decoding(rows: Any, config: DataConfig) -> Any:
    """Have the files as they are: decoding is the business of :mod:`bench.data.audio`."""
    from datasets import Audio

    hub = config.hub
    columns = rows.column_names or []  # a stream may know them only once it is read
    named = [("audio", hub.audio), ("text", hub.text), *([("speaker", hub.speaker)] if hub.speaker else [])]
    for setting, name in named:
        if columns and name not in columns:
            raise DataError(
                f"{config.path} has no column {name} (found: {', '.join(columns)}); give data.hub.{setting}=COLUMN"
            )
    try:
        return rows.cast_column(hub.audio, Audio(decode=False))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the column {hub.audio} of {config.path} holds no audio ({error}); give data.hub.audio=COLUMN"
        ) from error


def _utterances(rows: Iterable[Mapping[str, Any]], config: DataConfig, place: str) -> list[Utterance]:
    """Make utterances that have no audio yet; their names end in the numbers of their rows."""
    found = Utterances(Path("/"), max_duration_s=config.max_duration_s)
    hub = config.hub
    for number, row in enumerate(rows):
        speaker = row.get(hub.speaker) if hub.speaker else None
        label = None if speaker is None else str(speaker)  # many data sets number their speakers
        found.add(Entry(f"{place} row {number}", f"{config.split}/{number}", row.get(hub.text), label))
    return found.found


def _with_audio(item: Utterance, row: Mapping[str, Any], config: DataConfig) -> Utterance:
    audio = row.get(config.hub.audio)
    content, path = (audio.get("bytes"), audio.get("path")) if isinstance(audio, Mapping) else (None, None)
    if item.error is not None:
        return item
    if content is not None:
        return dataclasses.replace(item, path=_written(content, Path(path or "audio").suffix))
    if path is not None and Path(path).is_file():
        if not config.allow_outside_root and not _is_its_own(Path(path), config):
            wrong = f"{config.path} {item.utterance_id}: {path} is no file of the data set"
            return dataclasses.replace(item, error=f"{wrong}; name another, or say data.allow_outside_root=true")
        return dataclasses.replace(item, path=Path(path))
    return dataclasses.replace(
        item, error=f"{config.path} {item.utterance_id} has no audio; take it out of the data set"
    )


def _is_its_own(path: Path, config: DataConfig) -> bool:
    """Whether a file lies in the local data set, or where the library keeps what it fetched."""
    from datasets.config import HF_CACHE_HOME, HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    homes = [Path(str(config.path)), Path(HF_CACHE_HOME), Path(HF_DATASETS_CACHE), Path(HF_HUB_CACHE)]
    return any(path.resolve().is_relative_to(home.resolve()) for home in homes)


def _written(content: bytes, suffix: str) -> Path:
    """Write a file into the cache, unless it is there."""
    path = cache_root() / "hub" / f"{hashlib.sha256(content).hexdigest()}{suffix.lower()}"
    if path.is_file() and path.stat().st_size == len(content):
        return path
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise AssetError(
            f"cannot write {path} ({error}); make room, or set {CACHE_VARIABLE} to a folder that has it"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path
