"""Training a model: transformers' own trainer, on the data of one fold, with its curve."""

import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers
from transformers import TrainingArguments

from bench.config import Config, Optimizer, Precision, Schedule
from bench.data.audio import load_recordings
from bench.errors import AudioError, ConfigError, DataError, TrainingError
from bench.finetune.examples import Batches, Example, Examples, ctc_labels, seq2seq_labels, set_up
from bench.finetune.fit import fit, settled
from bench.finetune.model import Learner
from bench.finetune.trainer import SpeechTrainer, Validate, Watcher, highest
from bench.measure import device, memory
from bench.records import Utterance
from bench.trainings import Training

_OPTIMIZERS = {
    Optimizer.adamw: "adamw_torch",
    Optimizer.adafactor: "adafactor",
    Optimizer.adamw_8bit: "adamw_bnb_8bit",
    Optimizer.paged_adamw_8bit: "paged_adamw_8bit",
}
_SCHEDULES = {Schedule.linear: "linear", Schedule.cosine: "cosine", Schedule.constant: "constant_with_warmup"}
_MOST_POINTS = 1000  # of a curve


def train(
    config: Config,
    model_path: str,
    utterances: Sequence[Utterance],
    folder: Path,
    validate: Validate,
    mark: Callable[[str], None],
    tell: Callable[[str], None] = lambda _: None,
) -> Training:
    """Train a model and write it to a folder.

    Args:
        config: The trial's configuration.
        model_path: Folder of the model to begin with.
        utterances: What it is trained on.
        folder: Takes the trained model, and before that its states on the way.
        validate: Transcribes the validation data with the model in a folder.
        mark: Told which phase begins.
        tell: Told how far it is, at most once a second.

    Raises:
        BenchError: The model or the data cannot be used, or the training diverged.
        MemoryError: Not even one utterance fits; the message says what would help.
    """
    _quieten()
    _require_what_is_asked(config)
    synchronize = device.synchronizer(config.device)
    mark("training data")
    started = time.perf_counter()
    learner = Learner(config, model_path)
    examples, skipped = _examples(learner, utterances, config)
    batches = Batches(learner.extractor, learner.main_input)
    synchronize()
    load_s = time.perf_counter() - started

    mark("training batch size")
    started = time.perf_counter()
    longest = sorted(examples, key=lambda example: len(example.samples), reverse=True)[: config.finetune.batch_size]
    way = fit(learner, longest, batches, config)
    search_s = time.perf_counter() - started

    mark("training")
    memory.reset_peak()
    device.reset_gpu_peaks(config.device)
    rate_hz = learner.extractor.sampling_rate
    data = Examples(examples, rate_hz, config.finetune.augment, config.seed)
    steps = config.finetune.steps(len(examples))
    watcher = Watcher(learner, config, folder, validate, steps, mark, tell)
    precision = settled(config.finetune.memory.precision, config.device)
    trainer = SpeechTrainer(
        model=learner.model,
        args=_arguments(config, folder, steps, way.size, way.accumulation, way.checkpointing, precision),
        data_collator=batches,
        train_dataset=data,
        callbacks=[watcher],
    )
    trainer.counts_utterances = learner.is_ctc
    trainer.remove_callback(transformers.PrinterCallback)
    watcher.begin()
    trainer.train()
    synchronize()
    train_s = watcher.train_s
    peak_allocated_mib, peak_reserved_mib = device.gpu_peaks_mib(config.device)
    training = Training(
        utterances=len(examples),
        skipped=len(skipped),
        skipped_reason=skipped[0] if skipped else None,
        audio_s=sum(data.lengths) / rate_hz,
        steps=steps,
        device_batch_size=way.size,
        accumulation=way.accumulation,
        checkpointing=way.checkpointing,
        precision=precision.value,
        parameters=learner.parameters,
        trained_parameters=learner.trained_parameters,
        load_s=load_s,
        search_s=search_s,
        train_s=train_s,
        validate_s=watcher.validate_s,
        peak_rss_mib=highest([watcher.peak_rss_mib, memory.peak_resident_mib()]),
        peak_gpu_allocated_mib=highest([watcher.peaks_gpu_mib[0], peak_allocated_mib]),
        peak_gpu_reserved_mib=highest([watcher.peaks_gpu_mib[1], peak_reserved_mib]),
        curve=tuple(watcher.curve),
    )
    _refuse_divergence(learner, training)
    learner.save(folder)
    return training


def _require_what_is_asked(config: Config) -> None:
    """Refuse what this machine cannot do, in words of one line.

    Raises:
        ConfigError: An optimizer's library is missing, or the device does not compute in a type.
    """
    name, precision = config.finetune.optimizer.name, config.finetune.memory.precision
    if name in (Optimizer.adamw_8bit, Optimizer.paged_adamw_8bit):
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ConfigError(f"finetune.optimizer.name={name} needs bitsandbytes; run: pip install bitsandbytes")
        if not config.device.startswith("cuda"):
            raise ConfigError(f"finetune.optimizer.name={name} needs a GPU; use adafactor, which is small as well")
    if precision is Precision.float16 and not config.device.startswith("cuda"):
        raise ConfigError(
            f"finetune.memory.precision=float16 loses small gradients without a scaler, which device={config.device}"
            " has not; use bfloat16 or auto"
        )


def _examples(learner: Learner, utterances: Sequence[Utterance], config: Config) -> tuple[list[Example], list[str]]:
    """Load what can be trained on; returns it with the reasons of what cannot."""
    rate_hz = int(learner.extractor.sampling_rate)
    loaded = load_recordings(utterances, rate_hz, config.data.max_duration_s)
    longest_s = getattr(learner.extractor, "chunk_length", None)
    most = None if learner.is_ctc else getattr(learner.model.config, "max_target_positions", None)
    if not learner.is_ctc:
        set_up(
            learner.tokenizer,
            learner.model.generation_config,
            config.decode.language,
            config.decode.task,
            config.model.name,
        )
    examples: list[Example] = []
    skipped: list[str] = []
    for utterance, samples in zip(utterances, loaded.recordings, strict=True):
        if isinstance(samples, AudioError):
            skipped.append(str(samples))
            continue
        name, seconds = utterance.utterance_id, len(samples) / rate_hz
        if longest_s is not None and seconds > longest_s:
            skipped.append(f"{name} is {seconds:.1f} s long, and the model sees {longest_s:g} s; cut it at a pause")
            continue
        try:
            labels = _labels(utterance.text, learner)
        except DataError as error:
            skipped.append(f"{name} has {error}")
            continue
        if not labels or not any(map(str.isalnum, utterance.text)):
            skipped.append(f"{name} has a transcript without words")
        elif most is not None and len(labels) > most:
            skipped.append(f"{name} has a transcript of {len(labels)} tokens, and the model writes {most} at most")
        else:
            examples.append(Example(samples, labels))
    if not examples:
        raise DataError(f"none of the {len(utterances)} utterances can be trained on; the first: {skipped[0]}")
    return examples, skipped


def _labels(text: str, learner: Learner) -> tuple[int, ...]:
    if learner.is_ctc:
        return ctc_labels(text, learner.tokenizer)
    return seq2seq_labels(text, learner.tokenizer, learner.start)


def _arguments(
    config: Config, folder: Path, steps: int, size: int, accumulation: int, checkpointing: bool, precision: Precision
) -> TrainingArguments:
    tune = config.finetune
    # By itself accelerate takes the first GPU, and the trainer all of them together.
    os.environ["ACCELERATE_TORCH_DEVICE"] = config.device
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulation,
        learning_rate=tune.learning_rate,
        lr_scheduler_type=_SCHEDULES[tune.optimizer.schedule],
        warmup_steps=round(tune.optimizer.warmup * steps),
        weight_decay=tune.optimizer.weight_decay,
        max_grad_norm=tune.optimizer.max_grad_norm,
        optim=_OPTIMIZERS[tune.optimizer.name],
        bf16=precision is Precision.bfloat16,
        fp16=precision is Precision.float16,
        activation_checkpointing=checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        use_cpu=config.device == "cpu",
        seed=config.seed,
        logging_steps=max(1, steps // _MOST_POINTS),
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=config.device != "cpu",
    )
    on = torch.device(config.device)
    if on.type == "cuda":
        torch.cuda.set_device(on)
    arguments._n_gpu = int(on.type != "cpu")
    arguments.__dict__["_setup_devices"] = on
    return arguments


def _refuse_divergence(learner: Learner, training: Training) -> None:
    for name, value in learner.model.named_parameters():
        if value.requires_grad and not bool(torch.isfinite(value).all()):
            raise TrainingError(f"{name} is no longer a number after {training.steps} steps; use a lower learning rate")


def _quieten() -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
