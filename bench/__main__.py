"""The command line: ``asr-sweep run | report | compare | rescore | transcribe | features | splits | list | doctor``.

``python -m bench ...`` is the same. Commands import what they need when they run, so that ``--help`` answers at once
and the driver of a sweep never imports torch.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench.errors import BenchError, ConfigError

if TYPE_CHECKING:
    from bench.search.compose import Composed
    from bench.sweep import StudyResult

_FAILED = 1
_WRONG_REQUEST = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_PIPED_WIDTH = 400  # a program that reads a table wants a line a row

_RUN_HELP = """\
run takes Hydra's grammar:
  asr-sweep run                                                one trial of the defaults
  asr-sweep run data=manifest data.path=recordings.csv         one trial over your recordings
  asr-sweep run -m decode.chunk_length_s=10,20,30              a study: every combination
  asr-sweep run experiment=chunk_stride                        a study by preset
  asr-sweep run experiment=chunk_stride search.dry_run=true    what that study will take, foretold
  asr-sweep run --cfg job                                      show every setting
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command line without the program's name; null reads ``sys.argv``.

    Returns:
        Exit status: 0 when every run has a result (running out of memory is one), 1 when runs failed or splits clash, 2
        for a wrong request, 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if argv[:1] == ["run"]:  # Hydra parses what follows
            return _run(argv[1:])
        options = _parser().parse_args(argv)
        return int(options.command(options))
    except BenchError as error:
        return _refuse(str(error))
    except OSError as error:  # a folder that cannot be written, a full disk
        return _refuse(f"{error}; check that this path exists, may be written, and that the disk is not full")
    except KeyboardInterrupt:
        return _INTERRUPTED


def _refuse(message: str) -> int:
    print(f"asr-sweep: {' '.join(message.split())}", file=sys.stderr)
    return _WRONG_REQUEST


class _Parser(argparse.ArgumentParser):
    """Refuses a wrong command line in one line, as everything else is refused.

    Attributes:
        more_of: Name of a list argument that also takes what stands behind flags, which argparse would not; null is
            none.
    """

    more_of: str | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's own, but for ``more_of``."""
        known, rest = super().parse_known_args(args, namespace)
        if self.more_of is None:
            return known, rest
        getattr(known, self.more_of).extend(text for text in rest if not text.startswith("-"))
        return known, [text for text in rest if text.startswith("-")]

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see: asr-sweep --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="asr-sweep",
        description="Benchmarks and hyperparameter sweeps for speech recognition.",
        epilog=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser("run", help="run one trial, or a study with -m or experiment=PRESET")
    report = commands.add_parser("report", help="write a study's report: index.html, summary.md and figures")
    report.add_argument("study", help="name of a study under results/, or the path of its folder")
    report.set_defaults(command=_report)
    comparing = commands.add_parser("compare", help="compare the speed of one setting's values, all else being equal")
    comparing.add_argument("study", help="name of a study under results/, or the path of its folder")
    comparing.add_argument("setting", help="the setting: device, threads, model.dtype, ...")
    comparing.add_argument("--baseline", metavar="VALUE", help="compare with it (default: cpu, float32, the least)")
    comparing.set_defaults(command=_compare)
    for command in (report, comparing):
        command.add_argument("--valid-only", action="store_true", help="leave out timings that are not valid")
    rescoring = commands.add_parser(
        "rescore",
        help="score a study's texts under another normaliser; nothing is rerun",
        usage=f"%(prog)s [-h] [--results RESULTS] study {_normalizer_choice()}",
    )
    rescoring.add_argument("study", help="name of a study under results/, or the path of its folder")
    # One is right; more are taken so that the refusal can say what this command is for.
    rescoring.add_argument("settings", nargs="+", metavar=_normalizer_choice(), help="the normaliser")
    rescoring.set_defaults(command=_rescore)
    transcribing = commands.add_parser(
        "transcribe",
        help="transcribe recordings with settings of your own, or those a study recommends",
        usage="%(prog)s AUDIO... [SETTING=VALUE ...] [--from-study STUDY] [--format FORMAT]... [--output FOLDER]",
    )
    transcribing.add_argument("inputs", nargs="+", metavar="AUDIO|SETTING=VALUE", help="recordings, and settings")
    transcribing.more_of = "inputs"
    transcribing.add_argument("--from-study", dest="study", metavar="STUDY", help="take what its report recommends")
    transcribing.add_argument(
        "--format", action="append", choices=("txt", "srt", "vtt", "json"), help="what to write (default: txt)"
    )
    transcribing.add_argument("--output", type=Path, metavar="FOLDER", help="write files there, not to standard output")
    transcribing.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    transcribing.set_defaults(command=_transcribe)
    splitting = commands.add_parser(
        "splits",
        help="say what a data set's train, validation and test share that they must not",
        usage="%(prog)s SETTING=VALUE... [--train NAME] [--validation NAME] [--test NAME] [--output FILE.csv]",
    )
    splitting.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="the data set, as run takes it")
    splitting.more_of = "overrides"
    for role in ("train", "validation", "test"):
        splitting.add_argument(f"--{role}", metavar="NAME", help="name of that split, where it is an unusual one")
    splitting.add_argument("--output", type=Path, metavar="FILE.csv", help="write all clashes there")
    splitting.set_defaults(command=_splits)
    _add_features(commands)
    listing = commands.add_parser("list", help="list the studies there are")
    listing.set_defaults(command=_list)
    doctor = commands.add_parser("doctor", help="say whether this machine is fit for timings, and what to mend")
    doctor.add_argument("--seconds", type=float, default=10.0, help="length of its probe (default: %(default)g)")
    doctor.set_defaults(command=_doctor)
    for command in (report, comparing, rescoring, transcribing, listing, doctor):
        command.add_argument(
            "--results", default="results", help="folder that holds the studies (default: %(default)s)"
        )
    report.add_argument("--reports", default="reports", help="folder to write reports to (default: %(default)s)")
    return parser


def _run(arguments: list[str]) -> int:
    from rich.console import Console

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

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if result.interrupted:
        say(f"stopped with {result.unfinished} of {result.planned} runs to go; to go on: {command}")
        return _INTERRUPTED
    say(f"results: {result.study_dir} ({result.executed} runs executed)")
    if study.space.varies:
        from bench.report import build

        say(f"report: {build(result.study_dir, Path(study.config.results.reports)) / 'index.html'}")
    if line := _against_forecast(result.study_dir):
        say(line)
    _print_lines(_what_is_left(study, result, command))
    return _FAILED if result.unfinished and not result.out_of_budget else 0


def _what_is_left(study: "Composed", result: "StudyResult", command: str) -> list[str]:
    """Say what a study that was not interrupted still lacks, and how to get it."""
    if result.out_of_budget:
        return [f"stopped with {result.unfinished} of {result.planned} runs to go: {result.out_of_budget}"]
    said = []
    if result.unfinished:
        said.append(f"{result.unfinished} of {result.planned} runs failed; the reasons are in the column status_reason")
    if result.invalid:
        said.append(
            f"{result.invalid} of {result.planned} timings are not valid; the reasons are in the column doubts;"
            f" to time them again: {command} measure.rerun_invalid={result.reruns + 1}"
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
    from bench.forecast import show
    from bench.forecast.plan import forecast_study

    forecast = forecast_study(study, command, lambda *told: _print_lines([show.probe_line(*told)]))
    _print_table(*show.cells(forecast))
    _print_lines(show.lines(forecast, study.config.search))
    to_run = [each for each in arguments if each.lstrip("+").partition("=")[0] != "search.dry_run"]
    _print_lines([f"to run it: {shlex.join(['asr-sweep', 'run', *to_run])}"])
    return 0


def _against_forecast(study_dir: Path) -> str | None:
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


def _report(options: argparse.Namespace) -> int:
    from bench.report import build

    print(build(_study_dir(options), Path(options.reports), options.valid_only) / "index.html")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from bench.report.comparison import compare_study

    compared = compare_study(_study_dir(options), options.setting, options.baseline, options.valid_only)
    _print_table(*compared.cells())
    _print_lines(compared.notes(options.valid_only))
    return 0


def _rescore(options: argparse.Namespace) -> int:
    from bench.report.normalizers import rankings
    from bench.rescoring import normalizer_named, rescore_study

    name, _, value = options.settings[0].partition("=")
    if len(options.settings) > 1 or name != "score.normalizer":
        raise ConfigError(
            f"{shlex.join(options.settings)}: rescore changes the normaliser and nothing else, since all else takes a"
            f" new run; give one {_normalizer_choice()}"
        )
    normalizer, study_dir = normalizer_named(value), _study_dir(options)
    done = rescore_study(study_dir, normalizer)
    runs = f"{done.scored} runs" if done.scored else "nothing to do"
    had = f" ({done.had} had been before)" if done.had else ""
    _print_lines([f"scored under {normalizer}: {runs}{had}; the scores: {study_dir / 'scores'}"])
    found = rankings(study_dir, normalizer)
    for one in found:
        _print_lines(["", one.title] if len(found) > 1 else [])
        _print_table(*one.cells())
        _print_lines(one.notes())
    return 0


def _transcribe(options: argparse.Namespace) -> int:
    from bench.transcription.command import run_command

    study_dir = _study_dir(options) if options.study else None
    return run_command(options.inputs, options.format or (), options.output, options.overwrite, study_dir)


def _splits(options: argparse.Namespace) -> int:
    from bench.splits import ROLES, cells, check_splits, lines, write_clashes

    checked = check_splits(options.overrides, {role: getattr(options, role) for role in ROLES})
    _print_table(*cells(checked))
    _print_lines(lines(checked))
    if options.output is not None:
        write_clashes(checked.leaks, options.output)
    return _FAILED if checked.refused else 0


def _normalizer_choice() -> str:
    from bench.config import NormalizerName

    return f"score.normalizer={{{'|'.join(NormalizerName)}}}"


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, plain and a line a row in a pipe."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    terminal = sys.stdout.isatty()
    table = Table(*map(escape, heads), box=box.HEAVY_HEAD if terminal else None)
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=None if terminal else _PIPED_WIDTH).print(table)


def _print_lines(lines: Sequence[str]) -> None:
    from rich.console import Console

    for line in lines:
        Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _study_dir(options: argparse.Namespace) -> Path:
    named = Path(options.study)
    return named if (named / "study.yaml").exists() else Path(options.results) / options.study


def _add_features(commands: "argparse._SubParsersAction[_Parser]") -> None:
    features = commands.add_parser("features", help="draw a recording as a model sees it, at any hop lengths")
    features.add_argument("audio", help="the recording")
    features.add_argument(
        "--model", default="packaged/whisper-tiny.en", help="as model.name; no weights needed (default: %(default)s)"
    )
    features.add_argument(
        "--hop-length",
        type=int,
        nargs="+",
        default=[],
        metavar="SAMPLES",
        help="samples between frames, to look at (default: the model's own, which alone is scored)",
    )
    features.add_argument("--start", type=float, default=0.0, help="where to begin, in seconds (default: %(default)g)")
    features.add_argument("--duration", type=float, help="seconds to show (default: 30, or what there is)")
    features.add_argument(
        "--output", default="reports/features", help="folder for the PNG and the SVG (default: %(default)s)"
    )
    features.set_defaults(command=_features)


def _features(options: argparse.Namespace) -> int:
    from bench.features import look, table

    seen = look(Path(options.audio), options.model, options.hop_length, options.start, options.duration)
    saved = seen.save(Path(options.output))
    _print_table(*table.cells(seen.frontend, seen.heard, seen.costs))
    _print_lines([*table.lines(seen.frontend, seen.span, seen.costs), *map(str, saved)])
    return 0


def _list(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from bench import metrics, store

    studies = store.list_studies(Path(options.results))
    if not studies:
        print(f"no studies under {options.results}; make one with: asr-sweep run experiment=demo")
        return 0
    table = Table("study", "runs", "ok", "lowest WER", "highest RTFx", "last run")
    for study_dir in studies:
        try:
            runs = store.load_runs(study_dir)
        except BenchError as error:
            table.add_row(escape(study_dir.name), escape(str(error)))
            continue
        # Rates of different data or devices do not compare, so no extreme of them means anything.
        runs = runs[runs["part"] != "holdout"]
        alike = len(runs[["data.fingerprint", "device"]].drop_duplicates()) == 1
        table.add_row(
            escape(study_dir.name),
            str(len(runs)),
            str((runs["status"] == "ok").sum()),
            metrics.WER.show(runs["wer"].min()) if alike else "mixed",
            metrics.RTFX.show(runs["rtfx"].max()) if alike else "mixed",
            str(runs["started_at"].max())[:16] if len(runs) else "–",
        )
    Console().print(table)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from bench.doctor import examine, lines

    for line in lines(examine(options.seconds, Path(options.results))):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
