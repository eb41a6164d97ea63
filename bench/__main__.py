"""The command line: ``asr-sweep run | report | show | compare | export | transcribe | ...``.

``python -m bench ...`` is the same. What a command does is in :mod:`bench.commands`.
"""

import argparse
import errno
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from bench import commands
from bench.errors import BenchError, ConfigError
from bench.printable import clean
from bench.terminal import discard_output, ready_streams

_WRONG_REQUEST = 2
_NOT_READ_ON = 141  # what a shell reports of a program that SIGPIPE ended

_OF_WRITING = (errno.EBADF, errno.EIO, errno.ENOSPC)  # what a stream says that cannot be written, without its name

_STUDY_HELP = "name of a study under results/, or the path or URL of its folder"
_VALID_ONLY_HELP = "leave out timings that are not valid"

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
        Exit status: 0 when every run has a result (running out of memory is one), 1 when runs failed, splits clash or a
        margin is not shown to be kept, 2 for a wrong request, 130 after Ctrl-C or SIGTERM, 141 where a pipe was closed.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    ready_streams()
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except BenchError as error:
        return _refuse(str(error))
    except BrokenPipeError:  # whoever reads it, such as `head`, has seen enough
        discard_output()
        return _NOT_READ_ON
    except OSError as error:  # a folder that cannot be written, a full disk
        return _refuse(_what_failed(error))
    except KeyboardInterrupt:
        return commands.INTERRUPTED


def _run(argv: list[str]) -> int:
    if argv[:1] == ["run"]:  # Hydra parses what follows
        return commands.run(argv[1:])
    options = _parser().parse_args(argv)
    return int(options.command(options))


def _what_failed(error: OSError) -> str:
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
    if error.filename is None and error.errno in _OF_WRITING:
        return f"{error}; check where standard output goes, and that the disk is not full"
    return f"{error}; check that this path exists, may be written, and that the disk is not full"


def _refuse(message: str) -> int:
    print(f"asr-sweep: {clean(message)}", file=sys.stderr)
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


_Verbs: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="asr-sweep",
        description="Benchmarks and hyperparameter sweeps for speech recognition.",
        epilog=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('asr-sweep')}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verbs.add_parser("run", help="run one trial, or a study with -m or experiment=PRESET")
    about_studies = [
        _add_report(verbs),
        _add_list(verbs),
        _add_show(verbs),
        _add_compare(verbs),
        _add_rescore(verbs),
        _add_compact(verbs),
        _add_export(verbs),
        _add_transcribe(verbs),
        _add_finetune_final(verbs),
        _add_doctor(verbs),
    ]
    for command in about_studies:
        command.add_argument(
            "--results", default="results", help="folder or URL that holds the studies (default: %(default)s)"
        )
    _add_splits(verbs)
    _add_features(verbs)
    return parser


def _add_report(verbs: _Verbs) -> _Parser:
    report = verbs.add_parser("report", help="write a study's report: index.html, summary.md and figures")
    report.add_argument("study", help=_STUDY_HELP)
    report.add_argument("--valid-only", action="store_true", help=_VALID_ONLY_HELP)
    _add_reports(report)
    report.set_defaults(command=commands.report)
    return report


def _add_list(verbs: _Verbs) -> _Parser:
    listing = verbs.add_parser("list", help="list the studies there are")
    listing.set_defaults(command=commands.list_studies)
    return listing


def _add_show(verbs: _Verbs) -> _Parser:
    showing = verbs.add_parser(
        "show", help="show a study's verdict and settings, or one setting and its worst utterances"
    )
    showing.add_argument("study", help=_STUDY_HELP)
    showing.add_argument("trial", nargs="?", help="beginning of a trial's id, or best: the setting to show")
    showing.add_argument(
        "--utterances", type=int, default=5, metavar="N", help="how many of its utterances (default: %(default)s)"
    )
    showing.set_defaults(command=commands.show)
    return showing


def _add_compare(verbs: _Verbs) -> _Parser:
    comparing = verbs.add_parser(
        "compare",
        help="compare two studies or settings, or the speed of one setting's values",
        usage="%(prog)s [options] STUDY[:TRIAL] STUDY[:TRIAL]\n       %(prog)s [options] STUDY SETTING",
    )
    comparing.add_argument("study", metavar="STUDY[:TRIAL]", help=f"{_STUDY_HELP}; with :TRIAL, a setting of it")
    comparing.add_argument(
        "other",
        metavar="STUDY[:TRIAL]|SETTING",
        help="what to compare with it; or a setting (device, threads, model.dtype, ...), whose values are compared, all"
        " else being equal",
    )
    comparing.add_argument("--valid-only", action="store_true", help=_VALID_ONLY_HELP)
    studies = comparing.add_argument_group("of two studies or settings")
    studies.add_argument("--max-wer-increase", metavar="MARGIN", help="points of WER (0.5), or a share of it (5%%)")
    studies.add_argument("--max-slowdown", metavar="MARGIN", help="a share of the time (5%%)")
    studies.add_argument("--max-memory-increase", metavar="MARGIN", help="a share of the peaks (10%%)")
    studies.add_argument(
        "--across-machines", action="store_true", help="compare times even where the machines are not the same"
    )
    studies.add_argument("--format", choices=("text", "markdown"), help="how to write it (default: text)")
    setting = comparing.add_argument_group("of a setting's values")
    usual = "compare with it (default: cpu, transformers, float32, the least)"
    setting.add_argument("--baseline", metavar="VALUE", help=usual)
    comparing.set_defaults(command=commands.compare)
    return comparing


def _add_rescore(verbs: _Verbs) -> _Parser:
    rescoring = verbs.add_parser(
        "rescore",
        help="score a study's texts under another normaliser; nothing is rerun",
        usage=f"%(prog)s [-h] [--results RESULTS] study {commands.normalizer_choice()}",
    )
    rescoring.add_argument("study", help=_STUDY_HELP)
    # One is right; more are taken so that the refusal can say what this command is for.
    rescoring.add_argument("settings", nargs="+", metavar=commands.normalizer_choice(), help="the normaliser")
    rescoring.set_defaults(command=commands.rescore)
    return rescoring


def _add_compact(verbs: _Verbs) -> _Parser:
    compacting = verbs.add_parser(
        "compact", help="merge the files of a study's runs into few; the study may be running meanwhile"
    )
    compacting.add_argument("study", help=_STUDY_HELP)
    compacting.set_defaults(command=commands.compact)
    return compacting


def _add_export(verbs: _Verbs) -> _Parser:
    exporting = verbs.add_parser(
        "export",
        help="write a study's tables, a leaderboard, or transcripts",
        usage="%(prog)s STUDY[:TRIAL]... TABLE [--format FORMAT] [--output PATH] [--overwrite]",
    )
    exporting.add_argument("studies", nargs="+", metavar="STUDY[:TRIAL]", help=f"{_STUDY_HELP}; with :TRIAL, a setting")
    exporting.add_argument(
        "table",
        metavar="TABLE",
        help="runs, utterances, timeline, curves, scores, settings, leaderboard (over all studies) or transcripts",
    )
    exporting.add_argument(
        "--format", metavar="FORMAT", help="csv (the default), parquet, md, latex; of transcripts txt, srt, vtt"
    )
    exporting.add_argument("--output", type=Path, metavar="PATH", help="a file; of transcripts, a folder")
    exporting.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    exporting.set_defaults(command=commands.export)
    return exporting


def _add_transcribe(verbs: _Verbs) -> _Parser:
    transcribing = verbs.add_parser(
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
    transcribing.set_defaults(command=commands.transcribe)
    return transcribing


def _add_finetune_final(verbs: _Verbs) -> _Parser:
    finishing = verbs.add_parser(
        "finetune-final",
        help="train with a study's best setting on all data, and compare with the base model on the test data",
    )
    finishing.add_argument("study", help=_STUDY_HELP)
    finishing.add_argument("--again", action="store_true", help="use the test data anew, and drop what it said before")
    _add_reports(finishing)
    finishing.set_defaults(command=commands.finetune_final)
    return finishing


def _add_doctor(verbs: _Verbs) -> _Parser:
    doctor = verbs.add_parser("doctor", help="say whether this machine is fit for timings, and what to mend")
    doctor.add_argument("--seconds", type=float, default=10.0, help="length of its probe (default: %(default)g)")
    doctor.set_defaults(command=commands.doctor)
    return doctor


def _add_splits(verbs: _Verbs) -> None:
    splitting = verbs.add_parser(
        "splits",
        help="say what a data set's train, validation and test share that they must not",
        usage="%(prog)s SETTING=VALUE... [--train NAME] [--validation NAME] [--test NAME] [--output FILE.csv]",
    )
    splitting.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="the data set, as run takes it")
    splitting.more_of = "overrides"
    for role in ("train", "validation", "test"):
        splitting.add_argument(f"--{role}", metavar="NAME", help="name of that split, where it is an unusual one")
    splitting.add_argument("--output", type=Path, metavar="FILE.csv", help="write all clashes there")
    splitting.set_defaults(command=commands.splits)


def _add_reports(command: _Parser) -> None:
    command.add_argument("--reports", default="reports", help="folder to write reports to (default: %(default)s)")


def _add_features(verbs: _Verbs) -> None:
    features = verbs.add_parser("features", help="draw a recording as a model sees it, at any hop lengths")
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
    features.set_defaults(command=commands.features)


if __name__ == "__main__":
    sys.exit(main())
