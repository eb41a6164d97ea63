"""The command ``splits``: what train, validation and test hold, and what they share that they must not."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bench.config import SPLIT, DataConfig, DataSource
from bench.data.dataset import load_dataset, path_of
from bench.data.leaks import Kind, Leaks, find_leaks, parse_kinds
from bench.data.sentences import plain
from bench.errors import ConfigError, DataError
from bench.records import Utterance
from bench.search.compose import compose
from bench.spreadsheet import as_text
from bench.validation import validate

ROLES = {"train": ("train",), "validation": ("validation", "dev", "valid"), "test": ("test",)}
"""What splits are for, and the names that are tried for each, the first that there is."""

_NAMED_BY_PATH = (DataSource.manifest, DataSource.folder, DataSource.synthetic)
_LEAST_SPLITS = 2
_EXAMPLES = 3  # of clashes of one kind, on screen
_COLUMNS = ("clash", "kind", "detail", "split", "utterance_id", "path", "start_s", "duration_s")


@dataclass(frozen=True)
class Checked:
    """Some splits, and what they share.

    Attributes:
        splits: Utterances by the name of their split.
        roles: What each of these splits is for, one of :data:`ROLES`.
        notes: What else to say of how they were chosen.
        allowed: What they may share.
    """

    splits: Mapping[str, Sequence[Utterance]]
    roles: Mapping[str, str]
    notes: Sequence[str]
    allowed: frozenset[Kind]
    leaks: Leaks

    @property
    def refused(self) -> list[Kind]:
        """The kinds of clashes that there are and that are not allowed."""
        return [kind for kind in self.leaks.counts() if kind not in self.allowed]


def check_splits(overrides: Sequence[str], names: Mapping[str, str | None]) -> Checked:
    """Load the splits of a data set and find what they share; a bar shows how it goes on a terminal's stderr.

    Args:
        overrides: The data set in Hydra's grammar, as ``asr-sweep run`` takes it.
        names: The name of the split for each role; null tries those of :data:`ROLES`.

    Raises:
        ConfigError: An override is wrong, or the data set has no splits.
        DataError: A split that was named cannot be read, or there are fewer than two.
        AssetError: There is nowhere to write decoded audio to.
    """
    try:
        composed = compose(overrides)
    except ConfigError:  # some corpora are nothing without the name of a split
        composed = compose([f"data.split={ROLES['train'][0]}", *overrides])
    if composed is None:
        raise ConfigError("these arguments only ask Hydra for information; leave out --help, --info and --cfg")
    config = composed.config.data
    allowed = parse_kinds(config.allow_leaks)
    _refuse_without_splits(config)
    for split in filter(None, names.values()):
        validate(replace(composed.config, data=replace(config, split=split)))
    splits, roles, notes = _load(config, names)
    with _bar() as bar:
        task = bar.add_task("listening", total=None)
        leaks = find_leaks(
            splits,
            max_duration_s=config.max_duration_s,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for name, seconds in leaks.lengths_s.items():
        if not seconds:  # nothing was compared, so nothing is known
            first = next(one for one in leaks.unchecked if one.split == name)
            raise DataError(
                f"none of the {len(splits[name])} utterances of {name} can be read; the first: {first.reason}"
            )
    if config.limit is not None:
        notes.append(f"only what data.limit={config.limit} leaves of each split was looked at")
    return Checked(splits, roles, notes, allowed, leaks)


def _refuse_without_splits(config: DataConfig) -> None:
    if config.source is DataSource.demo:
        raise ConfigError("data=demo has no splits; add data=manifest data.path=lists/SPLIT.csv or another source")
    if config.source in _NAMED_BY_PATH and SPLIT not in str(config.path):
        raise ConfigError(
            f"data.path={config.path} is one list and no splits; write {SPLIT} where their paths differ, such as"
            f" data.path=lists/{SPLIT}.csv"
        )


def _load(
    config: DataConfig, names: Mapping[str, str | None]
) -> tuple[dict[str, Sequence[Utterance]], dict[str, str], list[str]]:
    """Load the split of each role, as far as there is one; returns them, their roles, and what else to say."""
    splits: dict[str, Sequence[Utterance]] = {}
    roles: dict[str, str] = {}
    missing: list[str] = []
    reasons: list[str] = []
    for role, usual in ROLES.items():
        named = names.get(role)
        if named in splits:
            raise ConfigError(f"--{role} {named}: that is the split for {roles[named]} already; name another")
        for split in [named] if named else [name for name in usual if name not in splits]:
            if (utterances := _utterances(config, split, reasons, required=named is not None)) is not None:
                splits[split], roles[split] = utterances, role
                break
        else:
            missing.append(f"no split for {role} (looked for {', '.join(usual)}); name it with --{role} NAME")
    if len(splits) < _LEAST_SPLITS:
        why = "; ".join([*missing, *reasons[-1:]])
        raise DataError(f"{config.path} has {len(splits)} of the {_LEAST_SPLITS} splits it takes: {why}")
    return splits, roles, missing


def _utterances(config: DataConfig, split: str, reasons: list[str], *, required: bool) -> Sequence[Utterance] | None:
    """Load a split; nothing where there is none and none is required. A broken one is an error in any case.

    Of a data set that must be loaded to tell, why it could not be is added to ``reasons``.
    """
    wanted = replace(config, split=split)
    path = Path(path_of(wanted))
    places = {DataSource.common_voice: path / f"{split}.tsv", DataSource.librispeech: path / split}
    if config.source is DataSource.hub and not required:  # only loading it tells
        try:
            return load_dataset(wanted).utterances
        except DataError as error:
            reasons.append(str(error))
            return None
    if not required and not places.get(config.source, path).exists():
        return None
    return load_dataset(wanted).utterances


def _bar() -> Bar:
    console = Console(stderr=True)
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def cells(checked: Checked) -> tuple[list[str], list[list[str]]]:
    """What each split holds, as a table: its heads, and its rows."""
    heads = ["split", "for", "utterances", "unusable", "hours", "speakers", "sentences", "words"]
    rows = []
    for name, utterances in checked.splits.items():
        usable = [item for item in utterances if item.error is None]
        texts = [plain(item.text) for item in usable]
        rows.append(
            [
                name,
                checked.roles[name],
                f"{len(utterances):,}",
                f"{len(utterances) - len(usable):,}",
                f"{checked.leaks.lengths_s[name] / 3600:.2f}",
                f"{len({item.speaker for item in usable if item.speaker}):,}",
                f"{len({text for text in texts if text}):,}",
                f"{sum(len(text.split()) for text in texts):,}",
            ]
        )
    return heads, rows


def lines(checked: Checked) -> list[str]:
    """What they share, with examples, then what could not be told, and last the verdict."""
    said = []
    for kind in Kind:
        clashes = [clash for clash in checked.leaks.clashes if clash.kind is kind]
        allowed = " (allowed)" if clashes and kind in checked.allowed else ""
        said.append(f"{kind}: {len(clashes) or 'none'}{allowed}")
        said += [f"  {clash.line}" for clash in clashes[:_EXAMPLES]]
        if len(clashes) > _EXAMPLES:
            said.append(f"  and {len(clashes) - _EXAMPLES:,} more")
    for name, repeats in checked.leaks.repeats.items():
        if repeats.sounds or repeats.sentences:
            said.append(
                f"note: within {name}, {repeats.sounds:,} utterances repeat the audio of another, and"
                f" {repeats.sentences:,} its sentence"
            )
    if unchecked := checked.leaks.unchecked:
        first = unchecked[0]
        said.append(
            f"not checked by sound: {len(unchecked):,} of {sum(map(len, checked.splits.values())):,} utterances; the"
            f" first: {first.split}"
            f" ({first.utterance.utterance_id}): {first.reason}"
        )
    said += [f"note: {note}" for note in checked.notes]
    return [*said, _verdict(checked)]


def _verdict(checked: Checked) -> str:
    named = f"{', '.join(list(checked.splits)[:-1])} and {list(checked.splits)[-1]}"
    if not checked.refused:
        allowed = " but what is allowed" if checked.leaks.clashes else ""
        return f"{named} share nothing{allowed}{', as far as could be checked' if checked.leaks.unchecked else ''}"
    accepted = ",".join(kind for kind in Kind if kind in checked.refused or kind in checked.allowed)
    return (
        f"{named} clash by {' and '.join(checked.refused)}; take such utterances out of one of them (--output FILE.csv"
        f" lists all), or accept this with 'data.allow_leaks=[{accepted}]'"
    )


def write_clashes(leaks: Leaks, path: Path) -> None:
    """Write all clashes as CSV: a row for each utterance that has a part in one.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for number, clash in enumerate(leaks.clashes, 1):
            for side in (clash.first, clash.second):
                for item in side.utterances:
                    names = map(as_text, (clash.kind, clash.detail, side.split, item.utterance_id, str(item.path)))
                    rows.writerow([number, *names, item.start_s, item.duration_s])
