"""Write a study's report: one self-contained page, a summary in Markdown, and the figures as files."""

import base64
import functools
import hashlib
import html
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jinja2
import markupsafe
import pandas as pd
from matplotlib.figure import Figure

from bench.errors import StoreError
from bench.metrics import RTFX, WER
from bench.printable import clean, printable
from bench.report import engine_figures, errors_figures, figures, finetuning_figures
from bench.report.accuracy import Accuracy, accuracies
from bench.report.content import content
from bench.report.description import description
from bench.report.engines import engine_section, engines
from bench.report.errors import error_sections
from bench.report.finetuning import Finetuning, read_finetuning, trains
from bench.report.finetuning_content import finetuning_content
from bench.report.foretold import foretold
from bench.report.frontier import recommend
from bench.report.labels import name_of
from bench.report.normalizers import normalizer_sections
from bench.report.pairs import DEVICE
from bench.report.scaling import scaled_settings
from bench.report.searching import goal_of, search_section, searches
from bench.report.style import styled
from bench.report.tables import Block, blocks, searched
from bench.report.timings import without_invalid, without_shared
from bench.search.objectives import Goal
from bench.storage import Place, write_atomically
from bench.store import load_runs, load_timeline, load_utterances

_DPI = 130
_FIGURE_FOLDER = "figures"
# Columns of utterances that are large, and told of a few runs only.
_OF_FEW_RUNS = ("words", "seams_s")
# The figure that stands in the section about the search.
_SEARCH = "search"


_Drawing: TypeAlias = tuple[str, str, Callable[[], Figure | None]]
"""Stem of a figure's files, what it shows in words, and how to draw it."""


@dataclass(frozen=True)
class _Picture:
    """One figure: the stem of its files, what it shows in words, and its bytes."""

    name: str
    caption: str
    svg: bytes
    png: bytes

    @property
    def data_uri(self) -> str:
        """The drawing itself as an address, so that the page needs no other file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True)
class _Inline:
    """A style or script that the page holds, and its hash, by which the page's own policy lets it run.

    The hash is that of Content Security Policy Level 3, section 2.3.1: SHA-256 of the element's text, in base64.
    """

    text: markupsafe.Markup
    hash: str

    @classmethod
    def read(cls, name: str) -> "_Inline":
        """Read a file that stands beside the templates."""
        text = (Path(__file__).parent / name).read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return cls(markupsafe.Markup(text), f"sha256-{digest}")  # noqa: S704 - a file of this package


@dataclass(frozen=True)
class _Report:
    """What is to be written.

    Attributes:
        templates: Names of the templates of the page and of the summary.
        context: What they are told.
        pictures: The figures.
    """

    templates: tuple[str, str]
    context: dict[str, Any]
    pictures: list[_Picture]


def build(study_dir: Place, reports_root: Path, valid_only: bool = False) -> Path:
    """Write the report of a study; the same results give the same bytes.

    Args:
        study_dir: The study's folder of results; only read.
        reports_root: Folder of all reports.
        valid_only: Leave timings that are known not to be valid out of everything about speed.

    Returns:
        The report's folder: ``index.html`` (complete in itself), ``summary.md`` and ``figures/`` as PNG and SVG.

    Raises:
        StoreError: There is no such study, its results cannot be read, or the report's folder is a link.
    """
    every = without_shared(load_runs(study_dir))
    told = description(study_dir)
    if trains(every, told.get("config") or {}):
        report = _of_training(study_dir, every, told)
    else:
        report = _of_transcription(study_dir, every, told, valid_only)
    folder = reports_root / study_dir.resolve().name
    drawn = folder / _FIGURE_FOLDER
    _refuse_links(folder, drawn)
    drawn.mkdir(parents=True, exist_ok=True)
    for picture in report.pictures:
        write_atomically(drawn / f"{picture.name}.png", picture.png)
        write_atomically(drawn / f"{picture.name}.svg", picture.svg)
    templates = _templates()
    context = report.context | {"style": _Inline.read("page.css"), "script": _Inline.read("page.js")}
    for template, target in zip(report.templates, ("index.html", "summary.md"), strict=True):
        write_atomically(folder / target, templates.get_template(template).render(context).encode())
    # Only once nothing refers to them any more.
    kept = {picture.name for picture in report.pictures}
    for stale in drawn.iterdir():
        if stale.suffix in {".png", ".svg"} and stale.stem not in kept:
            stale.unlink(missing_ok=True)  # another process may write this report, too
    return folder


def _refuse_links(*folders: Path) -> None:
    """Refuse to write through links, which a report that others sent may hold.

    Raises:
        StoreError: A folder is one.
    """
    for folder in folders:
        if folder.is_symlink():
            raise StoreError(
                f"{folder} is a link, and where it leads a report would replace and delete files; remove it, or give"
                " another --reports"
            )


def _of_transcription(study_dir: Place, every: pd.DataFrame, told: dict[str, Any], valid_only: bool) -> _Report:
    """Gather the report of a study that compares how to transcribe."""
    runs = without_invalid(every) if valid_only else every
    config = told.get("config") or {}
    goal = goal_of(config)
    found = blocks(runs, goal.constraints)
    # The search went by all timings.
    seen = blocks(every, goal.constraints) if valid_only else found
    samples = load_timeline(study_dir)
    utterances = load_utterances(study_dir, without=_OF_FEW_RUNS)
    accuracy = accuracies(found, utterances)
    pictures = list(_pictures(runs, found, samples, accuracy, told.get("skipped") or [], goal))
    course = _course(every, seen, goal, config)
    study = study_dir.resolve().name
    context = content(study, runs, found, goal, utterances, accuracy, samples, told, valid_only) | {
        "normalizers": normalizer_sections(study_dir, found, utterances),
        "search": search_section(seen, goal, config, told.get("points")),
        "foretold": foretold(study_dir, searched(every), seen),
        "pictures": pictures,
        "search_pictures": course,
    }
    told_errors = error_sections(found, functools.partial(load_utterances, study_dir))
    drawn_errors = [_error_pictures(number, one) for number, one in enumerate(told_errors, 1)]
    context["errors"] = [one | {"pictures": each} for one, each in zip(told_errors, drawn_errors, strict=True)]
    of_errors = [picture for each in drawn_errors for some in each.values() for picture in some]
    context["engines"] = _engine_sections(found, utterances, accuracy, told.get("skipped") or [])
    of_engines = [picture for one in context["engines"] for picture in one["pictures"]]
    return _Report(("page.html.j2", "summary.md.j2"), context, pictures + of_engines + course + of_errors)


def _of_training(study_dir: Place, every: pd.DataFrame, told: dict[str, Any]) -> _Report:
    """Gather the report of a study that fine-tunes: its transcribing is a means, of whose speed nothing is said."""
    found = read_finetuning(study_dir)
    goal = goal_of(found.config)
    pictures = _training_pictures(found, load_timeline(study_dir))
    course = _course(every, found.found, goal, found.config)
    context = finetuning_content(study_dir, found) | {
        "normalizers": [],
        "errors": [],
        "search": search_section(found.found, goal, found.config, told.get("points")),
        "foretold": foretold(study_dir, found.runs, found.found),
        "pictures": [],
        "search_pictures": course,
        "training_pictures": pictures,
    }
    drawn = [picture for some in pictures.values() for picture in some]
    return _Report(("finetuning.html.j2", "finetuning.md.j2"), context, drawn + course)


def _training_pictures(found: Finetuning, samples: pd.DataFrame) -> dict[str, list[_Picture]]:
    """Draw the figures of a training, by the section they stand in."""
    validation, outcome = found.validation, found.outcome
    folds: list[_Drawing] = []
    gained: list[_Drawing] = []
    if validation is not None:
        about = "WER of every setting: in each fold, and the mean. A logarithmic axis where values span a decade."
        folds.append(("validation", about, functools.partial(finetuning_figures.validation, validation)))
    if outcome is not None:
        about = "WER before and after, and the word errors of each utterance; above the dashed line it got worse."
        gained.append(("gains", about, functools.partial(finetuning_figures.gains, outcome)))
    about = "Loss, learning rate, WER of the validation data and memory by step; a line a run."
    course: list[_Drawing] = [
        ("curves", about, functools.partial(finetuning_figures.curves, found.curves, found.shown))
    ]
    if (shown := found.typical_run) is not None:
        about = f"CPU and memory during run {shown['run_id']} ({found.labels[shown['trial_id']]})."
        marks = list(shown["marks"]) if shown["marks"] is not None else []
        course.append(("timeline", about, functools.partial(figures.timeline, samples, shown["run_id"], marks)))
    return {"validation": list(_drawn(folds)), "gains": list(_drawn(gained)), "course": list(_drawn(course))}


def _course(runs: pd.DataFrame, found: list[Block], goal: Goal, config: Mapping[str, Any]) -> list[_Picture]:
    """Draw how a search went; nothing where there was none."""
    draw: _Drawing = (_SEARCH, _course_caption(goal), functools.partial(figures.progress, runs, goal))
    return list(_drawn([draw])) if searches(found, config) else []


def _pictures(
    runs: pd.DataFrame,
    found: list[Block],
    samples: pd.DataFrame,
    accuracy: Mapping[str, Accuracy],
    skipped: list[dict[str, Any]],
    goal: Goal,
) -> Iterator[_Picture]:
    """Draw every figure of settings that the results can fill."""
    kept, tied = goal.constraints, {title: one.tied for title, one in accuracy.items()}
    heatmap = functools.partial(figures.heatmap, runs)
    pareto = "Every setting by accuracy and speed; the line joins those that no other setting beats in both."
    draw: list[_Drawing] = [
        ("wer", "WER by setting; darker is better.", functools.partial(heatmap, WER, skipped, kept, tied)),
        ("rtfx", "Speed by setting; darker is better.", functools.partial(heatmap, RTFX, skipped, kept, tied)),
        ("tradeoff", pareto, functools.partial(figures.tradeoff, runs, kept, accuracy)),
        ("memory", "Memory by setting.", functools.partial(figures.memory, runs)),
        ("phases", "Where the time of each setting's typical run goes.", functools.partial(figures.phases, runs)),
    ]
    draw.append(("speedup", "Speed of the devices.", functools.partial(figures.speedup, runs, DEVICE)))
    for setting in scaled_settings(found):
        about = f"Speed by {name_of(setting)}."
        draw.append((f"scaling_{setting.replace('.', '_')}", about, functools.partial(figures.scaling, runs, setting)))
    for number, block in enumerate(found, 1):
        if (shown := _typical(block)) is not None:
            run, label = shown
            about = f"CPU and memory during run {run} ({label}; {block.title})."
            draw.append(
                (f"timeline_{number}", about, functools.partial(figures.timeline, samples, run, _marks(block, run)))
            )
    yield from _drawn(draw)


def _engine_sections(
    found: Sequence[Block], utterances: pd.DataFrame, accuracy: Mapping[str, Accuracy], skipped: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Gather the section about engines of each block that has several, with its figure."""
    told = []
    for number, block in enumerate(found, 1):
        if (seen := engines(block, utterances, skipped)) is None:
            continue
        about = "Accuracy, speed and memory of each engine, and how far their texts agree."
        draw = functools.partial(engine_figures.engine_sides, seen, accuracy[block.title])
        section = engine_section(seen, accuracy[block.title])
        told.append(section | {"pictures": list(_drawn([(f"engines_{number}", about, draw)]))})
    return told


def _error_pictures(number: int, told: Mapping[str, Any]) -> dict[str, list[_Picture]]:
    """Draw where the errors of a block's recommended setting come from, by the part of the section they stand in."""
    at_seams: list[_Drawing] = []
    of_kinds: list[_Drawing] = []
    label, seams, kinds = told["label"], told["seams"], told["kinds"]
    if seams and seams["rings"]:
        about = "WER by distance to the nearest seam, where two windows are joined."
        draw = functools.partial(errors_figures.by_distance, label, seams["rings"], seams["near_s"])
        at_seams.append((f"seams_{number}", about, draw))
    if kinds:
        about = "WER by kind of utterance."
        of_kinds.append((f"kinds_{number}", about, functools.partial(errors_figures.by_kind, label, kinds["found"])))
    return {"seams": list(_drawn(at_seams)), "kinds": list(_drawn(of_kinds))}


def _drawn(draw: Sequence[_Drawing]) -> Iterator[_Picture]:
    for name, caption, make in draw:
        if (figure := make()) is not None:
            yield _Picture(name, caption, *_encode(figure))


def _course_caption(goal: Goal) -> str:
    names = [metric.label for metric in goal.objectives]
    if len(names) == 2:
        return (
            f"How much of the final front of {names[0]} and {names[1]} was reached after each trial, and every trial by"
            " both. The hypervolume is the area that the front's settings beat, up to a point a tenth of the range"
            " beyond the worst values."
        )
    return f"{', '.join(names)} of each trial in the order they began, and the best so far."


def _typical(block: Block) -> tuple[str, str] | None:
    """Choose the run whose timeline is shown: of the recommended setting, else of any that ended well, else any."""
    picks = recommend(block).picks
    table = block.table.dropna(subset=["typical_run"])
    if picks is not None or not table.empty:
        row = block.row(picks.recommended) if picks is not None else table.iloc[0]
        return str(row["typical_run"]), str(row["label"])
    run = block.runs.iloc[0]
    return str(run["run_id"]), str(block.row(run["trial_id"])["label"])


def _marks(block: Block, run_id: str) -> list[dict[str, Any]]:
    """List the beginnings of a run's phases; none in runs of an earlier version."""
    marks = block.runs.loc[block.runs["run_id"] == run_id, "marks"].iloc[0]
    return [] if marks is None else list(marks)


@styled
def _encode(figure: Figure) -> tuple[bytes, bytes]:
    svg, png = io.BytesIO(), io.BytesIO()
    # Laid out once, for both files.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    # No date and no version: a report changes only when results do.
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    return svg.getvalue(), png.getvalue()


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters["md"] = _markdown
    environment.filters["fence"] = _fence
    return environment


def _shown(value: object) -> object:
    """Take what cannot be printed out of text; markup is this package's own."""
    return printable(value) if isinstance(value, str) and not isinstance(value, markupsafe.Markup) else value


def _markdown(text: object) -> str:
    """Write text as Markdown that shows it as it is: on one line, with no markup, table border or HTML of its own."""
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", html.escape(clean(str(text)), quote=False))


def _fence(text: str, language: str) -> str:
    """Quote text as a Markdown code block that the text cannot end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"
