"""The command line: ``asr-sweep run | report | compare | rescore | finetune-final | transcribe | ...``.

``python -m bench ...`` is the same. What a command does is in :mod:`bench.commands`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench import commands
from bench.errors import BenchError, ConfigError

_WRONG_REQUEST = 2

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
            return commands.run(argv[1:])
        options = _parser().parse_args(argv)
        return int(options.command(options))
    except BenchError as error:
        return _refuse(str(error))
    except OSError as error:  # a folder that cannot be written, a full disk
        return _refuse(f"{error}; check that this path exists, may be written, and that the disk is not full")
    except KeyboardInterrupt:
        return commands.INTERRUPTED


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
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verbs.add_parser("run", help="run one trial, or a study with -m or experiment=PRESET")
    report = verbs.add_parser("report", help="write a study's report: index.html, summary.md and figures")
    report.add_argument("study", help="name of a study under results/, or the path of its folder")
    report.set_defaults(command=commands.report)
    comparing = verbs.add_parser("compare", help="compare the speed of one setting's values, all else being equal")
    comparing.add_argument("study", help="name of a study under results/, or the path of its folder")
    comparing.add_argument("setting", help="the setting: device, threads, model.dtype, ...")
    comparing.add_argument("--baseline", metavar="VALUE", help="compare with it (default: cpu, float32, the least)")
    comparing.set_defaults(command=commands.compare)
    for command in (report, comparing):
        command.add_argument("--valid-only", action="store_true", help="leave out timings that are not valid")
    rescoring = verbs.add_parser(
        "rescore",
        help="score a study's texts under another normaliser; nothing is rerun",
        usage=f"%(prog)s [-h] [--results RESULTS] study {commands.normalizer_choice()}",
    )
    rescoring.add_argument("study", help="name of a study under results/, or the path of its folder")
    # One is right; more are taken so that the refusal can say what this command is for.
    rescoring.add_argument("settings", nargs="+", metavar=commands.normalizer_choice(), help="the normaliser")
    rescoring.set_defaults(command=commands.rescore)
    finishing = verbs.add_parser(
        "finetune-final",
        help="train with a study's best setting on all data, and compare with the base model on the test data",
    )
    finishing.add_argument("study", help="name of a study under results/, or the path of its folder")
    finishing.add_argument("--again", action="store_true", help="use the test data anew, and drop what it said before")
    finishing.set_defaults(command=commands.finetune_final)
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
    _add_features(verbs)
    listing = verbs.add_parser("list", help="list the studies there are")
    listing.set_defaults(command=commands.list_studies)
    doctor = verbs.add_parser("doctor", help="say whether this machine is fit for timings, and what to mend")
    doctor.add_argument("--seconds", type=float, default=10.0, help="length of its probe (default: %(default)g)")
    doctor.set_defaults(command=commands.doctor)
    for command in (report, comparing, rescoring, finishing, transcribing, listing, doctor):
        command.add_argument(
            "--results", default="results", help="folder that holds the studies (default: %(default)s)"
        )
    for command in (report, finishing):
        command.add_argument("--reports", default="reports", help="folder to write reports to (default: %(default)s)")
    return parser


def _add_features(verbs: "argparse._SubParsersAction[_Parser]") -> None:
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
