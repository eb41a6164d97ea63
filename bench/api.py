"""What the command line does, as functions."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from bench.errors import ConfigError
from bench.progress import Progress
from bench.rescoring import normalizer_named, rescore_study
from bench.search.compose import compose
from bench.storage import Place, place
from bench.store import load_runs, load_scores
from bench.sweep import run_study

if TYPE_CHECKING:
    from bench.transcription.run import Transcribed


def run(*arguments: str) -> pd.DataFrame:
    """Run a trial or a study, as ``asr-sweep run`` does with the same arguments; what is done already is not repeated.

    Args:
        arguments: Overrides in Hydra's grammar, ``"-m"`` among them to sweep:
            ``run("-m", "study=mine", "decode.chunk_length_s=10,20")``.

    Returns:
        All runs of the study, a row each, as :func:`bench.load_runs` loads them.

    Raises:
        BenchError: The request is wrong; the message says how to mend it.
        KeyboardInterrupt: The study was interrupted; what it had finished is kept.
    """
    study = compose(arguments)
    if study is None:
        raise ConfigError("these arguments only ask Hydra for information; leave out --help, --info and --cfg")
    if study.config.search.dry_run:
        raise ConfigError("search.dry_run=true runs nothing; give it to asr-sweep run, or leave it out")
    with Progress(Console()) as progress:
        result = run_study(study, shlex.join(["asr-sweep", "run", *arguments]), progress)
    if result.interrupted:
        raise KeyboardInterrupt
    return load_runs(result.study_dir)


def write_report(study_dir: str | Place, reports_root: str | Path = "reports", valid_only: bool = False) -> Path:
    """Write a study's report, as ``asr-sweep report`` does.

    Args:
        study_dir: The study's folder of results, by its path or URL.
        reports_root: Folder of all reports.
        valid_only: Leave timings that are known not to be valid out of everything about speed.

    Returns:
        The report's folder, with ``index.html``, ``summary.md`` and the figures.

    Raises:
        StoreError: There is no such study.
    """
    # Drawing takes seconds to import, which a notebook that only runs studies should not pay.
    from bench.report import build

    return build(place(study_dir), Path(reports_root), valid_only)


def compare(
    study_dir: str | Place, setting: str, baseline: str | None = None, valid_only: bool = False
) -> pd.DataFrame:
    """Compare the speed of one setting's values, all else being equal, as ``asr-sweep compare`` does.

    Args:
        study_dir: The study's folder of results, by its path or URL.
        setting: The setting, dotted as in the configuration: ``device``, ``threads``, ``model.dtype``.
        baseline: The value to compare with; null takes ``cpu``, ``transformers``, ``float32`` or the least.
        valid_only: Leave timings that are known not to be valid out.

    Returns:
        A row a pair, as :func:`bench.report.comparison.comparison_frame` describes it.

    Raises:
        StoreError: There is no such study, or nothing of it can be compared.
        ConfigError: The setting does not vary within the study, or never has that value.
    """
    from bench.report.comparison import compare_study

    return compare_study(place(study_dir), setting, baseline, valid_only).frame()


def rescore(study_dir: str | Place, normalizer: str) -> pd.DataFrame:
    """Score a study's stored texts under another normaliser, as ``asr-sweep rescore`` does; nothing is transcribed.

    Args:
        study_dir: The study's folder of results, by its path or URL.
        normalizer: The normaliser, as ``score.normalizer`` has it: ``whisper_english``, ``whisper_basic``, ``none``.

    Returns:
        All scores that were added to the study so far, as :func:`bench.load_scores` loads them.

    Raises:
        ConfigError: There is no such normaliser.
        StoreError: There is no such study, another process is running it, or it holds no texts.
    """
    rescore_study(place(study_dir), normalizer_named(normalizer))
    return load_scores(study_dir)


def transcribe(
    files: str | Path | Sequence[str | Path], *overrides: str, from_study: str | Place | None = None
) -> "list[Transcribed]":
    """Transcribe recordings, as ``asr-sweep transcribe`` does; nothing is measured.

    Args:
        files: One recording or several.
        overrides: Settings in Hydra's grammar, as for :func:`run`: ``"decode.chunk_length_s=20"``, ``"device=cuda"``.
        from_study: Folder of the study whose recommended setting to take, under the overrides.

    Returns:
        What came of each recording, in order; one that could not be used has an ``error`` and no ``transcript``.

    Raises:
        BenchError: The request cannot be met as a whole; the message says how to mend it.
    """
    # torch takes seconds to import, and the driver of a sweep has no use for it.
    from bench.transcription.run import Unwatched, transcripts
    from bench.transcription.settings import settle

    try:
        paths = [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]
    except TypeError:
        raise ConfigError(f"{files!r} is no recording; give its path, or a list of paths") from None
    settled = settle(overrides, None if from_study is None else place(from_study))
    return list(transcripts(paths, settled, Unwatched()))
