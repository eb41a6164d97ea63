"""The model card: what a trained model is, what it was trained on, and how good it is."""

from pathlib import Path

from bench.config import Config, flatten
from bench.report.crossvalidation import CrossValidation, Setting
from bench.report.judged import Judged
from bench.search.compose import Composed
from bench.storage import write_atomically


def write_card(outcome: Judged, validation: CrossValidation, study: Composed) -> Path:
    """Write ``README.md`` beside a trained model, in the form that model hubs read; returns its path."""
    path = outcome.folder / "README.md"
    write_atomically(path, "\n".join(_lines(outcome, validation, study.config)).encode())
    return path


def _lines(outcome: Judged, validation: CrossValidation, config: Config) -> list[str]:
    best, row = validation.best, outcome.training
    assert best is not None
    settings = dict(flatten(config.finetune, "finetune.")) | {
        name: value for name, value in best.point.items() if name.startswith("finetune.")
    }
    defaults = dict(flatten(type(config.finetune)(), "finetune."))
    shown = {name: value for name, value in settings.items() if value != defaults[name] or name in best.point}
    language = [f"language: {config.decode.language}"] if config.decode.language else []
    base = [] if "/" in outcome.model and outcome.model.startswith("packaged/") else [f"base_model: {outcome.model}"]
    return [
        "---",
        "pipeline_tag: automatic-speech-recognition",
        "library_name: transformers",
        *language,
        *base,
        "---",
        "",
        f"# {outcome.model}, fine-tuned on {validation.data_name}",
        "",
        "Made by asr-sweep. The setting was chosen by cross-validation on the training data; the test data was used"
        " once, at the end.",
        "",
        "## How good it is",
        "",
        *(f"- {sentence}" for sentence in outcome.sentences),
        "",
        "## What it was trained on",
        "",
        f"- {row['train.utterances']} utterances of {validation.data_name}, {_minutes(row['train.audio_s'])} of audio"
        f" (data fingerprint {row['data.fingerprint']})",
        f"- {row['train.steps']} steps of {config.finetune.batch_size} utterances on {row['device']},"
        f" products in {row['train.precision']}; {row['train.trained_parameters']} of {row['train.parameters']}"
        " numbers were trained",
        "",
        "## How the setting was chosen",
        "",
        f"{validation.folds} folds; WER of each:",
        "",
        "| setting | mean | spread | folds | |",
        "| --- | --- | --- | --- | --- |",
        *(_row(one, best.trial_id) for one in validation.settings),
        "",
        "Settings of the training, where they differ from the defaults:",
        "",
        "```",
        *(f"{name}={value}" for name, value in shown.items()),
        "```",
        "",
    ]


def _row(one: Setting, best: str) -> str:
    folds = ", ".join(f"{100 * fold.wer:.1f} %" if fold.wer is not None else fold.status for fold in one.folds)
    mean = f"{100 * one.mean:.1f} %" if one.mean is not None else "–"
    spread = f"{100 * one.spread:.1f}" if one.spread is not None else "–"
    said = "chosen" if one.trial_id == best else "tied" if one.is_tied else ""
    return f"| {one.label} | {mean} | {spread} | {folds} | {said} |"


def _minutes(seconds: object) -> str:
    return f"{float(str(seconds)) / 60:.1f} min"
