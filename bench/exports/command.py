"""``asr-sweep export``: which studies, what of them, and where it goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from bench.console import write
from bench.errors import ConfigError, StoreError
from bench.exports.leaderboard import leaderboard
from bench.exports.tables import SETTINGS, STORED, study_table
from bench.exports.texts import TextFormat, texts
from bench.exports.written import TableFormat, written
from bench.report.selection import Selection, load_blocks, trial_of
from bench.storage import write_atomically
from bench.store import load_utterances
from bench.transcription.command import refuse_no_folder, refuse_to_overwrite

_Form = TypeVar("_Form", TableFormat, TextFormat)

LEADERBOARD = "leaderboard"
TRANSCRIPTS = "transcripts"
CHOICES = (*STORED, SETTINGS, LEADERBOARD, TRANSCRIPTS)
"""What may be exported."""


def run_export(
    studies: Sequence[Selection], what: str, form: str | None, output: Path | None, overwrite: bool
) -> list[str]:
    """Export.

    Args:
        studies: One, or for a leaderboard several.
        what: One of :data:`CHOICES`.
        form: Of a table, a :class:`TableFormat`, by default CSV or what the file's ending says; of transcripts, a
            :class:`TextFormat`, by default text.
        output: A file for a table, a folder for transcripts; null writes a table to standard output.
        overwrite: Replace files that are there.

    Returns:
        What to tell the user.

    Raises:
        BenchError: The request is wrong, or there is no such study.
    """
    if what not in CHOICES:
        raise ConfigError(f"{what} is no table; export one of: {', '.join(CHOICES)}")
    if len(studies) > 1 and what != LEADERBOARD:
        raise ConfigError(f"{what} are those of one study; name one, or export a leaderboard over several")
    if what == TRANSCRIPTS:
        return _transcripts(studies[0], _format(TextFormat, what, form or TextFormat.txt), output, overwrite)
    ending = output.suffix.removeprefix(".").replace("tex", "latex") if output else ""
    guessed = ending if ending in set(TableFormat) else TableFormat.csv
    table_form = _format(TableFormat, what, form or guessed)
    if output is None and table_form is TableFormat.parquet:
        raise ConfigError("parquet needs a file; add --output FILE")
    refuse_to_overwrite([output] if output is not None else [], overwrite)
    table = leaderboard(studies) if what == LEADERBOARD else study_table(studies[0], what)
    if not table.data.num_rows:
        raise StoreError(f"{studies[0].study} has no {what}; nothing was written")
    content = written(table, table_form)
    if output is None:
        write(content)
        return []
    write_atomically(output, content)
    return [f"{output}: {table.data.num_rows} rows"]


def _format(forms: type[_Form], what: str, form: str) -> _Form:
    try:
        return forms(form)
    except ValueError:
        raise ConfigError(f"{what} cannot be written as {form}; use one of: {', '.join(forms)}") from None


def _transcripts(chosen: Selection, form: TextFormat, output: Path | None, overwrite: bool) -> list[str]:
    if output is None:
        raise ConfigError(f"{TRANSCRIPTS} are a file an utterance; add --output FOLDER")
    block, trial = trial_of(load_blocks(chosen), chosen)
    known = set(block.runs["run_id"])
    run = chosen.trial if chosen.trial in known else block.row(trial)["typical_run"]
    rows = load_utterances(chosen.study_dir, {str(run)})
    found = texts(rows, form)
    if not found.files:
        raise StoreError(f"run {run} of {chosen.study} has no transcript; nothing was written")
    targets = {output / name: content for name, content in found.files.items()}
    refuse_no_folder(output)
    refuse_to_overwrite(list(targets), overwrite)
    for target, content in targets.items():
        write_atomically(target, content.encode("utf-8", "replace"))
    told = [f"{output}: {len(targets)} transcripts of run {run} ({block.row(trial)['label']})"]
    if found.estimated:
        told.append(f"times of words in {found.estimated} of them are estimates: the model told none")
    if found.left_out:
        told.append(f"{found.left_out} utterances have no transcript")
    return told
