"""Trainings of a small model: that it learns, that memory settings change nothing, and what becomes of what is odd."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.config import (
    Config,
    DType,
    FinetuneConfig,
    FoldMethod,
    FoldsConfig,
    LoraConfig,
    MemoryConfig,
    ModelConfig,
    Optimizer,
    OptimizerConfig,
    Precision,
    Schedule,
    Weights,
)
from bench.errors import ConfigError, DataError, ModelError, TrainingError
from bench.finetune.model import Learner
from bench.finetune.train import train
from bench.records import Job, Utterance
from bench.trainings import Training
from bench.trial import run, seed_everything
from tests.finetune import tiny

# peft asks for an alias that transformers will drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

Tensors = dict[str, torch.Tensor]


def nothing(_: Any) -> None:
    return None


def trained(
    config: Config,
    model: Path,
    utterances: Sequence[Utterance],
    folder: Path,
    validate: Callable[[Path], float | None] = nothing,
) -> Training:
    seed_everything(config)
    return train(config, str(model), utterances, folder, validate, nothing)


def weights(folder: Path) -> Tensors:
    return load_file(folder / "model.safetensors")


def losses(training: Training) -> list[float]:
    return [point.loss for point in training.curve if point.loss is not None]


def norms(training: Training) -> list[float]:
    return [point.grad_norm for point in training.curve if point.grad_norm is not None]


@pytest.fixture(scope="module")
def begun(ctc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with weights, the same for all seeds."""
    folder = tmp_path_factory.mktemp("begun")
    Learner(tiny.settings(), str(ctc)).save(folder)
    return folder


def test_four_words_are_learnt_by_heart(ctc: Path, spoken: tuple[Utterance, ...], tmp_path: Path) -> None:
    config = tiny.settings(max_steps=60, evaluations=3)
    words = spoken[:4]
    phases: list[str] = []
    job = Job(
        "s", "t", 0, 1, config, str(ctc), words, None, "d", "f", training=words, trained_model=str(tmp_path / "m")
    )
    outcome = run(job, phases.append)
    assert outcome.training is not None
    found = losses(outcome.training)
    assert len(found) == outcome.training.steps == 60
    assert found[-1] < found[0] / 10
    # Untrained, it writes nothing, and all four words are errors.
    assert outcome.counts.reference_words == 4
    assert outcome.counts.wer == 0
    looks = {point.step: point.wer for point in outcome.training.curve if point.wer is not None}
    assert list(looks) == [20, 40, 60]
    assert looks[60] == 0
    assert phases.count("validation") == 2
    assert phases[:3] == ["training data", "training batch size", "training"]
    assert phases[-1] == "score"
    assert list(tmp_path.iterdir()) == [], "a model that was not asked for is kept"


def test_a_model_is_kept_where_it_is_asked_for(begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path) -> None:
    config = tiny.settings(Weights.pretrained, save=True)
    job = Job("s", "t", 0, 1, config, str(begun), spoken[4:], None, "d", "f")
    outcome = run(replace(job, training=spoken[:4], trained_model=str(tmp_path / "models" / "m")), nothing)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["m"]
    kept = weights(tmp_path / "models" / "m")
    assert any(not torch.equal(value, weights(begun)[name]) for name, value in kept.items())
    assert [item.utterance for item in outcome.utterances] == list(spoken[4:])


def moved(ours: Tensors, theirs: Tensors) -> float:
    """Mean distance of two models' weights."""
    return float(torch.cat([(value - theirs[name]).abs().flatten() for name, value in ours.items()]).mean())


@pytest.mark.parametrize("lora", [0, 4])
def test_a_step_is_the_same_however_its_batch_goes_through(
    begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path, lora: int
) -> None:
    # Six of eight utterances make a step, so that the second step of an epoch has two.
    found: dict[int, tuple[Training, Tensors]] = {}
    for size in (6, 3, 2, 1):
        config = tiny.settings(
            Weights.pretrained,
            batch_size=6,
            max_steps=3,
            learning_rate=1e-3,
            lora=LoraConfig(rank=lora),
            memory=MemoryConfig(device_batch_size=size, precision=Precision.float32),
        )
        training = trained(config, begun, spoken, tmp_path / str(size))
        assert (training.device_batch_size, training.accumulation) == (size, 6 // size)
        found[size] = training, weights(tmp_path / str(size))
    whole, together = found[6]
    for size in (3, 2, 1):
        training, parts = found[size]
        np.testing.assert_allclose(losses(training), losses(whole), rtol=1e-4)
        np.testing.assert_allclose(norms(training), norms(whole), rtol=1e-3)
        assert moved(parts, together) < 0.01 * moved(together, weights(begun))


def test_a_whisper_s_step_is_the_mean_over_its_tokens(
    tiny_en: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    whole, parts = (
        trained(
            tiny.settings(
                Weights.pretrained,
                batch_size=2,
                max_steps=1,
                learning_rate=1e-5,
                memory=MemoryConfig(device_batch_size=size, precision=Precision.float32),
            ),
            tiny_en,
            [spoken[0], spoken[4]],  # one word and two: not the same number of tokens
            tmp_path / str(size),
        )
        for size in (2, 1)
    )
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)
    assert parts.curve[0].grad_norm == pytest.approx(whole.curve[0].grad_norm, rel=1e-3)


def test_seeds_decide_what_comes_out(begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path) -> None:
    config = tiny.settings(Weights.pretrained)
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        trained(replace(config, seed=seed), begun, spoken, tmp_path / name)
    one, same, other = (weights(tmp_path / name) for name in ("one", "same", "other"))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


def test_looking_on_the_way_changes_nothing(tmp_path: Path, spoken: tuple[Utterance, ...]) -> None:
    # With dropout training draws numbers, and so does whoever looks.
    model = tiny.save_architecture(tmp_path / "model", hidden_dropout=0.2)
    looked: list[Path] = []

    def look(folder: Path) -> float:
        looked.append(folder)
        torch.rand(5)
        assert weights(folder)
        return 0.5

    plain = trained(tiny.settings(max_steps=4), model, spoken, tmp_path / "plain", look)
    assert not looked
    watched = trained(tiny.settings(max_steps=4, evaluations=4), model, spoken, tmp_path / "watched", look)
    assert len(looked) == 3
    assert [(point.step, point.wer) for point in watched.curve if point.wer is not None] == [
        (step, 0.5) for step in (1, 2, 3)
    ]
    assert losses(plain) == losses(watched)
    ours, theirs = weights(tmp_path / "plain"), weights(tmp_path / "watched")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


RATE = 2e-4


def hand_worked(schedule: Schedule, step: int) -> float:
    """Learning rate of a step, from 1: ten steps, of which three are the warm-up."""
    done = step - 1
    if done < 3:
        return RATE * done / 3
    left = (done - 3) / 7
    share = {"linear": 1 - left, "cosine": 0.5 * (1 + math.cos(math.pi * left)), "constant": 1.0}[schedule.value]
    return RATE * share


@pytest.mark.parametrize("schedule", Schedule)
def test_the_learning_rate_rises_and_goes_on_as_asked(
    schedule: Schedule, begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    config = tiny.settings(
        Weights.pretrained,
        max_steps=10,
        batch_size=1,
        learning_rate=RATE,
        optimizer=OptimizerConfig(warmup=0.3, schedule=schedule),
    )
    curve = trained(config, begun, spoken[:2], tmp_path / "m").curve
    assert [point.step for point in curve] == list(range(1, 11))
    wanted = [hand_worked(schedule, step) for step in range(1, 11)]
    assert [point.learning_rate for point in curve] == pytest.approx(wanted, abs=1e-12)
    seconds = [point.train_s for point in curve]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("rate", [1.0, 1e10, 1e30])
def test_a_hopeless_learning_rate_is_told_or_leaves_numbers(
    rate: float, begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    config = tiny.settings(Weights.pretrained, learning_rate=rate, max_steps=4)
    try:
        training = trained(config, begun, spoken, tmp_path / "m")
    except TrainingError as error:
        assert "learning rate" in str(error)  # noqa: PT017 - either end is right
        assert not (tmp_path / "m" / "model.safetensors").exists()
        return
    assert rate < 1e30
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "m").values())
    assert all(map(math.isfinite, losses(training)))


def test_frozen_layers_keep_their_weights(begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path) -> None:
    config = tiny.settings(Weights.pretrained)
    freezing = replace(config.finetune, freeze=replace(config.finetune.freeze, encoder_layers=1))
    training = trained(replace(config, finetune=freezing), begun, spoken, tmp_path / "m")
    before, after = weights(begun), weights(tmp_path / "m")
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(
        name.startswith(("wav2vec2.encoder.layers.1.", "wav2vec2.encoder.layer_norm.", "lm_head")) for name in changed
    )
    assert training.trained_parameters < training.parameters


def test_a_model_is_written_in_the_type_it_is_to_be_used_in(
    begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    config = tiny.settings(Weights.pretrained)
    half = replace(config, model=replace(config.model, dtype=DType.float16))
    trained(config, begun, spoken, tmp_path / "whole")
    trained(half, begun, spoken, tmp_path / "half")
    ours, theirs = weights(tmp_path / "half"), weights(tmp_path / "whole")
    assert all(torch.equal(value, theirs[name].half()) for name, value in ours.items())


@pytest.fixture
def odd(spoken: tuple[Utterance, ...], write_wav: Callable[..., Path], tmp_path: Path) -> dict[str, Utterance]:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    return {
        "missing": Utterance("missing", tmp_path / "nowhere.wav", "yes"),
        "broken": Utterance("broken", broken, "yes"),
        "known": replace(spoken[0], utterance_id="known", error="it was found wanting"),
        "empty": replace(spoken[0], utterance_id="empty", text=""),
        "marks": replace(spoken[0], utterance_id="marks", text="?! ..."),
        "long": Utterance("long", write_wav(tmp_path / "long.wav", 31.0), "yes"),
        "wordy": replace(spoken[0], utterance_id="wordy", text="yes no " * 300),
    }


def test_what_cannot_be_learnt_from_is_skipped_and_counted(
    odd: dict[str, Utterance], begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    config = tiny.settings(Weights.pretrained, max_steps=1)
    # This kind of model takes any length of sound, and any length of text that is not longer than the sound.
    unusable = [odd[name] for name in ("empty", "missing", "broken", "known", "marks")]
    training = trained(config, begun, [unusable[0], *spoken[:3], *unusable[1:]], tmp_path / "m")
    assert (training.utterances, training.skipped) == (3, 5)
    assert training.skipped_reason == "empty has a transcript without words"


def test_what_a_whisper_cannot_see_or_write_is_skipped(
    odd: dict[str, Utterance], tiny_en: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    config = tiny.settings(Weights.pretrained, max_steps=1, batch_size=1)
    training = trained(config, tiny_en, [odd["long"], odd["wordy"], spoken[0], odd["marks"]], tmp_path / "m")
    assert (training.utterances, training.skipped) == (1, 3)
    assert training.skipped_reason == "long is 31.0 s long, and the model sees 30 s; cut it at a pause"
    assert training.audio_s == pytest.approx(float(spoken[0].duration_s or training.audio_s))
    with pytest.raises(DataError, match=r"^none of the 1 utterances .* wordy has a transcript of 60\d tokens, .* 448 "):
        trained(config, tiny_en, [odd["wordy"]], tmp_path / "n")


def test_without_anything_to_learn_from_the_first_reason_is_told(
    odd: dict[str, Utterance], begun: Path, tmp_path: Path
) -> None:
    config = tiny.settings(Weights.pretrained)
    with pytest.raises(DataError, match=r"^none of the 2 utterances can be trained on; the first: .*wanting"):
        trained(config, begun, [odd["known"], odd["empty"]], tmp_path / "m")


def test_a_multilingual_model_must_be_told_its_language(
    base: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    config = replace(tiny.settings(Weights.pretrained), model=ModelConfig(name="packaged/whisper-base"))
    with pytest.raises(ModelError, match=r"^packaged/whisper-base is multilingual.* add decode\.language=CODE$"):
        trained(config, base, spoken[:1], tmp_path / "m")


@pytest.mark.parametrize(
    ("utterances", "batch", "epochs", "steps"), [(8, 4, 2.0, 4), (7, 4, 2.0, 4), (7, 3, 0.5, 2), (2, 8, 0.1, 1)]
)
def test_epochs_become_steps(
    utterances: int, batch: int, epochs: float, steps: int, begun: Path, spoken: tuple[Utterance, ...], tmp_path: Path
) -> None:
    config = tiny.settings(Weights.pretrained, max_steps=None, epochs=epochs, batch_size=batch)
    training = trained(config, begun, spoken[:utterances], tmp_path / "m")
    assert training.steps == training.curve[-1].step == steps
    assert training.curve[-1].epoch == pytest.approx(steps / math.ceil(utterances / batch))


def test_a_number_of_steps_overrides_the_epochs() -> None:
    assert FinetuneConfig(max_steps=5, epochs=100.0, folds=FoldsConfig(method=FoldMethod.none)).steps(1000) == 5


@pytest.mark.parametrize(
    ("tune", "why"),
    [
        (FinetuneConfig(memory=MemoryConfig(precision=Precision.float16)), "use bfloat16 or auto"),
        (FinetuneConfig(optimizer=OptimizerConfig(name=Optimizer.paged_adamw_8bit)), "bitsandbytes|needs a GPU"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_in_a_line(
    tune: FinetuneConfig, why: str, begun: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        trained(replace(tiny.settings(), finetune=tune), begun, (), tmp_path)
