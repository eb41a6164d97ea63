"""What each command does; :mod:`bench.__main__` parses its arguments.

Commands import what they need when they run, so that ``--help`` answers at once and the driver of a sweep never imports
torch. Each returns the exit status.
"""

import argparse
import functools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, ConfigError
from bench.terminal import print_alignment, print_lines, print_passages, print_table

if TYPE_CHECKING:
    from bench.search.compose import Composed
    from bench.storage import Place
    from bench.sweep import StudyResult

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run(arguments: list[str]) -> int:
    """Run one trial or a study, or foretell one."""
    from bench.console import Console, print_line
    from bench.progress import Progress
    from bench.search.compose import compose
    from bench.sweep import run_study

    study = compose(arguments)
    if study is None:
        return 0
    command = shlex.join(["asr-sweep", "run", *arguments])
    if study.config.search.dry_run:
        return _dry_run(study, arguments, command)
    console = Console()
    with Progress(console) as progress:
        result = run_study(study, command, progress)
    say = functools.partial(print_line, console)

    if result.interrupted:
        say(f"stopped with {result.unfinished} of {result.planned} runs to go; to go on: {command}")
        return INTERRUPTED
    say(f"results: {result.study_dir} ({result.executed} runs executed)")
    if study.space.varies:
        from bench.report import build

        say(f"report: {build(result.study_dir, Path(study.config.results.reports)) / 'index.html'}")
    if line := _against_forecast(result.study_dir):
        say(line)
    print_lines(_what_is_left(study, result, command))
    return FAILED if result.unfinished and not result.out_of_budget else 0


def _what_is_left(study: "Composed", result: "StudyResult", command: str) -> list[str]:
    """Say what a study that was not interrupted still lacks, and how to get it."""
    if result.out_of_budget:
        return [f"stopped with {result.unfinished} of {result.planned} runs to go: {result.out_of_budget}"]
    said = []
    if result.unfinished:
        said.append(f"{result.unfinished} of {result.planned} runs failed; the reasons are in the column status_reason")
    if result.invalid:
        alone = " executor.workers=1" if study.config.executor.workers != 1 else ""
        said.append(
            f"{result.invalid} of {result.planned} timings are not valid; the reasons are in the column doubts;"
            f" to time them again: {command}{alone} measure.rerun_invalid={result.reruns + 1}"
        )
    if result.exhausted:
        more = study.config.executor.max_attempts + 1
        said.append(
            f"{result.exhausted} have used up their attempts; to try them again: {command} executor.max_attempts={more}"
        )
    elif result.unfinished:
        said.append(f"to try them again: {command}")
    return said


def _dry_run(study: "Composed", arguments: Sequence[str], command: str) -> int:
    """Foretell a study, and say how to run it."""
    from bench.config import Task
    from bench.forecast import show
    from bench.forecast.plan import forecast_study
    from bench.training_plan import plan_study

    to_run = [each for each in arguments if each.lstrip("+").partition("=")[0] != "search.dry_run"]
    if study.config.task is Task.finetune:
        print_lines([*plan_study(study), f"to run it: {shlex.join(['asr-sweep', 'run', *to_run])}"])
        return 0
    forecast = forecast_study(study, command, lambda *told: print_lines([show.probe_line(*told)]))
    print_table(*show.cells(forecast))
    print_lines(show.lines(forecast, study.config.search))
    print_lines([f"to run it: {shlex.join(['asr-sweep', 'run', *to_run])}"])
    return 0


def _against_forecast(study_dir: "Place") -> str | None:
    """Compare a study with its forecast in a line; null where there is none. A bad one takes nothing from a study."""
    from bench.forecast.record import compared, read_forecast
    from bench.forecast.show import comparison_line
    from bench.store import load_runs

    try:
        forecast = read_forecast(study_dir)
    except BenchError as error:
        return str(error)
    found = None if forecast is None else compared(forecast, load_runs(study_dir))
    return None if found is None else comparison_line(found)


def report(options: argparse.Namespace) -> int:
    """Write a report."""
    from bench.report import build

    _print_path(build(_study_dir(options), Path(options.reports), options.valid_only) / "index.html")
    return 0


def compare(options: argparse.Namespace) -> int:
    """Compare two studies or settings, or one setting's values; returns 1 where a margin is not shown to be kept."""
    from bench.report.selection import is_study
    from bench.schema import SETTINGS
    from bench.storage import place

    results = place(options.results)
    if ":" not in options.study.rpartition("/")[2] and (
        options.other in SETTINGS or not is_study(options.other, results)
    ):
        return _compare_values(options)
    return _compare_two(options)


def _compare_values(options: argparse.Namespace) -> int:
    """Compare the speed of one setting's values."""
    from bench.report.comparison import compare_study
    from bench.schema import SETTINGS

    if given := [flag for flag in _OF_TWO if getattr(options, flag)]:
        raise ConfigError(
            f"--{given[0].replace('_', '-')} is for two studies or settings, and {options.other} is neither a study nor"
            " a setting of one; name the second as STUDY or STUDY:TRIAL"
        )
    if options.other not in SETTINGS:
        raise ConfigError(
            f"{options.other} is neither a study under {options.results} nor a setting; 'asr-sweep list' shows the"
            " studies, 'asr-sweep run --cfg job' the settings"
        )
    compared = compare_study(_study_dir(options), options.other, options.baseline, options.valid_only)
    print_table(*compared.cells())
    print_lines(compared.notes(options.valid_only))
    return 0


_OF_TWO = ("max_wer_increase", "max_slowdown", "max_memory_increase", "across_machines", "format")


def _compare_two(options: argparse.Namespace) -> int:
    """Compare two studies or settings, utterance by utterance."""
    from bench.report.margins import Margins, Outcome, judge, read_margin
    from bench.report.passage import markdown
    from bench.report.selection import selection
    from bench.report.versus import versus
    from bench.report.versus_text import passages
    from bench.storage import place

    if options.baseline is not None:
        raise ConfigError("--baseline is a value of a setting; of two studies the first is what is compared with")
    margins = Margins(
        wer=read_margin("--max-wer-increase", options.max_wer_increase, points=True),
        time=read_margin("--max-slowdown", options.max_slowdown),
        memory=read_margin("--max-memory-increase", options.max_memory_increase),
    )
    first, second = (selection(text, place(options.results)) for text in (options.study, options.other))
    found = versus(first, second, options.valid_only, options.across_machines)
    verdicts = judge(found, margins)
    told = passages(found, verdicts)
    if options.format == "markdown":
        sys.stdout.buffer.write(markdown(told).encode())
        sys.stdout.flush()
    else:
        print_passages(told)
    return 0 if all(verdict.outcome is Outcome.passed for verdict in verdicts) else FAILED


def show(options: argparse.Namespace) -> int:
    """Show a study, or one of its settings."""
    from bench.report.overview import study_passages, trial_passages, worst_utterances
    from bench.report.selection import Selection, selection
    from bench.storage import place

    chosen = selection(options.study, place(options.results))
    if options.trial is not None:
        chosen = Selection(chosen.study_dir, options.trial)
    if chosen.trial is None:
        print_passages(study_passages(chosen))
        return 0
    told, block, trial = trial_passages(chosen)
    print_passages(told)
    for heard in worst_utterances(chosen, block, trial, options.utterances):
        print_lines(["", heard.title])
        print_alignment(heard.pieces)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write a study's tables, a leaderboard, or transcripts."""
    from bench.exports.command import run_export
    from bench.report.selection import selection
    from bench.storage import place

    studies = [selection(text, place(options.results)) for text in options.studies]
    told = run_export(studies, options.table, options.format, options.output, options.overwrite)
    print_lines(told)
    return 0


def rescore(options: argparse.Namespace) -> int:
    """Score stored texts under another normaliser."""
    from bench.report.normalizers import rankings
    from bench.rescoring import normalizer_named, rescore_study

    name, _, value = options.settings[0].partition("=")
    if len(options.settings) > 1 or name != "score.normalizer":
        raise ConfigError(
            f"{shlex.join(options.settings)}: rescore changes the normaliser and nothing else, since all else takes a"
            f" new run; give one {normalizer_choice()}"
        )
    normalizer, study_dir = normalizer_named(value), _study_dir(options)
    done = rescore_study(study_dir, normalizer)
    runs = f"{done.scored} runs" if done.scored else "nothing to do"
    had = f" ({done.had} had been before)" if done.had else ""
    print_lines([f"scored under {normalizer}: {runs}{had}; the scores: {study_dir / 'scores'}"])
    found = rankings(study_dir, normalizer)
    for one in found:
        print_lines(["", one.title] if len(found) > 1 else [])
        print_table(*one.cells())
        print_lines(one.notes())
    return 0


def compact(options: argparse.Namespace) -> int:
    """Merge the files of a study's runs; returns 1 where some could not be."""
    from bench.compaction import compact as merge
    from bench.store import existing

    study_dir = existing(_study_dir(options))
    done = merge(study_dir)
    print_lines([f"{study_dir}: of {done.files_before} files {done.files_after} are left"])
    print_lines([f"not merged: {line}" for line in done.left])
    return FAILED if done.left else 0


def finetune_final(options: argparse.Namespace) -> int:
    """Train with the best setting of a study, and compare with the model as it was."""
    from bench.final import finetune_final as judge
    from bench.report import build

    study_dir = _study_dir(options)
    judge(study_dir, lambda line: print_lines([line]), options.again)
    _print_path(build(study_dir, Path(options.reports)) / "index.html")
    return 0


def transcribe(options: argparse.Namespace) -> int:
    """Transcribe recordings."""
    from bench.transcription.command import run_command

    study_dir = _study_dir(options) if options.study else None
    return run_command(options.inputs, options.format or (), options.output, options.overwrite, study_dir)


def splits(options: argparse.Namespace) -> int:
    """Say what splits share; returns 1 where they must not."""
    from bench.splits import ROLES, cells, check_splits, lines, write_clashes

    checked = check_splits(options.overrides, {role: getattr(options, role) for role in ROLES})
    print_table(*cells(checked))
    print_lines(lines(checked))
    if options.output is not None:
        write_clashes(checked.leaks, options.output)
    return FAILED if checked.refused else 0


def normalizer_choice() -> str:
    """Write the normalisers as one setting takes them."""
    from bench.config import NormalizerName

    return f"score.normalizer={{{'|'.join(NormalizerName)}}}"


def _print_path(path: Path) -> None:
    from bench.console import write

    write(os.fsencode(f"{path}\n"))  # each byte of it, for programs that open it


def _study_dir(options: argparse.Namespace) -> "Place":
    from bench.storage import Remote, place

    named = place(options.study)
    if isinstance(named, Remote) or (named / "study.yaml").exists():
        return named
    return place(options.results) / str(options.study)


def features(options: argparse.Namespace) -> int:
    """Draw what a model sees of a recording."""
    from bench.features import look, table

    seen = look(Path(options.audio), options.model, options.hop_length, options.start, options.duration)
    saved = seen.save(Path(options.output))
    print_table(*table.cells(seen.frontend, seen.heard, seen.costs))
    print_lines([*table.lines(seen.frontend, seen.span, seen.costs), *map(str, saved)])
    return 0


def list_studies(options: argparse.Namespace) -> int:
    """List the studies there are."""
    from bench.report.listing import listing
    from bench.storage import place

    found = listing(place(options.results))
    if found is None:
        print_lines([f"no studies under {options.results}; make one with: asr-sweep run experiment=demo"])
        return 0
    print_passages([found])
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Say whether the machine is fit for timings."""
    from bench.doctor import examine, lines
    from bench.storage import place, workspace

    for line in lines(examine(options.seconds, workspace(place(options.results)))):
        print(line, flush=True)
    return 0
