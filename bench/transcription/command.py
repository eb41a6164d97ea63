"""``asr-sweep transcribe``: which arguments are recordings, where texts go, and what is said on the way."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.config import Config
from bench.console import Console, print_line, write
from bench.errors import ConfigError
from bench.measure import memory
from bench.printable import clean
from bench.storage import Place, write_atomically
from bench.transcription.formats import SUBTITLES, Format, written
from bench.transcription.settings import settle

if TYPE_CHECKING:
    from bench.transcription.run import Transcribed

_OVERRIDE = re.compile(r"[+~]{0,2}[\w./@]+=")
_INDENT = 2
_MOST_BYTES = 240  # of a name; file systems take 255, and endings and numbers come on top


def run_command(
    inputs: Sequence[str], formats: Sequence[str], output: Path | None, overwrite: bool, study_dir: Place | None
) -> int:
    """Transcribe recordings, to standard output or to files.

    Args:
        inputs: Recordings and settings, in any order; see :func:`told_apart`.
        formats: What to write; none is text.
        output: Folder to write files to, named after the recordings; null writes to standard output.
        overwrite: Replace files that are there.
        study_dir: Folder of the study whose recommended setting to take.

    Returns:
        0, or 1 where a recording could not be used.

    Raises:
        BenchError: The request cannot be met as a whole.
        OSError: A file cannot be written.
    """
    console = Console(stderr=True)
    paths, overrides = told_apart(inputs)
    forms = list(dict.fromkeys(Format(name) for name in formats or [Format.txt]))
    names = _names(paths, console) if output is not None else {}
    if output is None:
        _refuse_what_standard_output_cannot_hold(paths, forms)
    else:
        targets = [output / f"{name}.{form}" for name in names.values() for form in forms]
        refuse_no_folder(output)
        refuse_to_overwrite(targets, overwrite)
        output.mkdir(parents=True, exist_ok=True)
    settled = settle(overrides, study_dir, with_times=not SUBTITLES.isdisjoint(forms))
    _say(console, *settled.told)
    from bench.transcription.run import transcripts  # torch takes seconds to import, and a wrong request none

    memory.bound_heap()
    failed, shown = 0, 0
    for done in transcripts(paths, settled, _Bar(console)):
        if done.error is not None:
            _say(console, done.error)
            failed += 1
        elif output is None:
            # Transcripts are UTF-8 whatever the locale, and SubRip's line ends are its own.
            write(_encoded(_headed(done, settled.config, forms[0], len(paths) > 1, first=not shown)))
            shown += 1
        else:
            for form in forms:
                target = output / f"{names[done.path]}.{form}"
                write_atomically(target, _encoded(written(done, settled.config, form, _INDENT)))
                write(os.fsencode(f"{target}\n"))
    return 1 if failed else 0


def told_apart(inputs: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Tell recordings from settings: a setting has a ``=`` after its name, and is no file that exists.

    Each recording is taken once, however often it is named.

    Raises:
        ConfigError: There is no recording, or one is a URL.
    """
    files, overrides = list[Path](), list[str]()
    for text in inputs:
        if _OVERRIDE.match(text) and not Path(text).is_file():
            overrides.append(text)
        elif "://" in text:
            raise ConfigError(f"{text} is a URL, and transcribe reads files; download it and name the file")
        else:
            files.append(Path(text))
    if not files:
        raise ConfigError("transcribe needs a recording; name one or more files")
    return list(dict.fromkeys(files)), overrides


def _names(paths: Sequence[Path], console: Console) -> dict[Path, str]:
    """Name what is written after each recording; of recordings with equal names, all but the first get a number."""
    names: dict[Path, str] = {}
    stems = {path: _short(path.stem) for path in paths}
    # Some file systems take A.txt and a.txt for one.
    first, taken = {stem.casefold() for stem in stems.values()}, set[str]()
    for path, stem in stems.items():
        name, number = stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in first):
            number += 1
            name = f"{stem}-{number}"
        if number > 1:
            _say(console, f"{path} goes to {name}.*, since another recording is named {stem}, too")
        names[path] = name
        taken.add(name.casefold())
    return names


def _short(stem: str) -> str:
    """Cut a name that leaves no room for a number and an ending, between two of its letters."""
    written = os.fsencode(stem)
    return stem if len(written) <= _MOST_BYTES else written[:_MOST_BYTES].decode(errors="ignore")


def _refuse_what_standard_output_cannot_hold(paths: Sequence[Path], forms: Sequence[Format]) -> None:
    if len(forms) > 1:
        raise ConfigError(f"{' and '.join(forms)} need files of their own; add --output FOLDER")
    if len(paths) > 1 and forms[0] in SUBTITLES:
        raise ConfigError(f"{forms[0]} of several recordings needs a file for each; add --output FOLDER")


def refuse_no_folder(output: Path) -> None:
    """Refuse where files are to go into what is no folder.

    Raises:
        ConfigError: It is none.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is no folder; name one to write files to")


def refuse_to_overwrite(targets: Sequence[Path], overwrite: bool) -> None:
    """Refuse where a file is there already, and where it is none that may be replaced.

    Args:
        targets: The files to write.
        overwrite: Replace files that are there; a link, a device or a folder never is.

    Raises:
        ConfigError: One is there.
    """
    for target in targets:
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise ConfigError(f"{target} is no plain file, so nothing replaces it; give another --output")
    there = [] if overwrite else [target for target in targets if target.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ConfigError(f"{there[0]}{more} exist already; add --overwrite, or give another --output")


def _headed(done: "Transcribed", config: Config, form: Format, several: bool, first: bool) -> str:
    """Write a transcript, text of one among several under its name, as ``head`` does."""
    text = written(done, config, form)
    if form is not Format.txt or not several:
        return text
    return f"{'' if first else chr(10)}==> {clean(str(done.path))} <==\n{text}"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # the name of a file may be no Unicode


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        print_line(console, f"asr-sweep: {line}")


class _Bar:
    """Shows on a terminal how far a group of recordings is, and nothing elsewhere.

    Args:
        console: Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None

    def begin(self, what: str, windows: int | None) -> None:
        """Draw a bar; one whose end is not known only moves."""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,  # what follows is text, at times on the same terminal
            disable=not self._console.is_terminal,
        )
        self._bar.add_task(escape(clean(what)), total=windows)
        self._bar.start()

    def advance(self, windows: int) -> None:
        """Move it."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], windows)

    def end(self) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
