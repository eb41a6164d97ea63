"""The library's trainer as speech needs it, and what watches it."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from bench.config import Config
from bench.errors import TrainingError
from bench.finetune.examples import IGNORED, Examples
from bench.finetune.model import Learner
from bench.measure import device, memory
from bench.trainings import CurvePoint

Validate = Callable[[Path], float | None]
"""Tells the word error rate of the model in a folder; null where there is none."""


class SpeechTrainer(Trainer):  # type: ignore[misc]
    """Batches of utterances of like length: the less is padded, the faster.

    The loss of a step is the mean over its whole batch, however many parts that goes through the model in. Left to
    itself, the base class takes every model whose ``forward`` has further arguments to make up for the parts; those
    for speech do not, so that two parts would count twice.

    Attributes:
        counts_utterances: Whether a model's loss is the mean over utterances (CTC), and not over tokens.
    """

    loss_is_scaled_for_ga = True
    counts_utterances = False

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, torch.Tensor]], _device: torch.device) -> int:
        return sum(self._items(batch) for batch in batch_samples)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Any:
        """Weigh the mean loss of a part by its share of the step."""
        outputs = model(**inputs)
        items = self._items(inputs)
        loss = outputs.loss * (items / (num_items_in_batch or items))
        return (loss, outputs) if return_outputs else loss

    def _items(self, batch: dict[str, torch.Tensor]) -> int:
        labels = batch["labels"]
        return len(labels) if self.counts_utterances else int(labels.ne(IGNORED).sum())

    def _get_train_sampler(self, train_dataset: Examples | None = None) -> LengthGroupedSampler:
        data = train_dataset or self.train_dataset
        generator = torch.Generator().manual_seed(self.args.seed)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(size, lengths=data.lengths, generator=generator)


@dataclass
class Watcher(TrainerCallback):  # type: ignore[misc]
    """Writes the curve, and has the validation data transcribed on the way, on time that does not count."""

    learner: Learner
    config: Config
    folder: Path
    validate: Validate
    steps: int
    mark: Callable[[str], None]
    tell: Callable[[str], None]
    told_s: float = 0.0
    curve: list[CurvePoint] = field(default_factory=list)
    train_s: float = 0.0
    validate_s: float = 0.0
    peak_rss_mib: float | None = None
    peaks_gpu_mib: tuple[float | None, float | None] = (None, None)

    def begin(self) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
        """Add a point; a loss that is no number ends the training."""
        if "loss" not in logs:
            return
        self._stop()
        if self.train_s - self.told_s >= 1:
            self.told_s = self.train_s
            self.tell(f"step {state.global_step} of {self.steps}, loss {logs['loss']:.3g}")
        allocated, _reserved = device.gpu_peaks_mib(self.config.device)
        self.curve.append(
            CurvePoint(
                step=state.global_step,
                epoch=float(state.epoch or 0.0),
                train_s=self.train_s,
                loss=float(logs["loss"]),
                learning_rate=float(logs["learning_rate"]),
                grad_norm=None if logs.get("grad_norm") is None else float(logs["grad_norm"]),
                rss_mib=memory.resident_mib(),
                gpu_allocated_mib=allocated,
            )
        )
        if not math.isfinite(float(logs["loss"])):
            raise TrainingError(_diverged(state.global_step, self.config.finetune.learning_rate))
        self.begin()

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Transcribe the validation data where it is time to; the end has its own."""
        times = self.config.finetune.evaluations
        due = {round(self.steps * number / times) for number in range(1, times)}
        if state.global_step in due - {0, self.steps}:
            self._stop()
            started = time.perf_counter()
            self._note_peaks()
            self.mark("validation")
            wer = None
            # Beside the training a second model may be too much, not at the end; and looking changes nothing of what
            # chance has in store for the training.
            with suppress(torch.OutOfMemoryError), torch.random.fork_rng():
                self.learner.save(self.folder)
                wer = self.validate(self.folder)
            self.learner.model.train()
            self.curve.append(CurvePoint(state.global_step, float(state.epoch or 0.0), self.train_s, wer=wer))
            memory.reset_peak()
            device.reset_gpu_peaks(self.config.device)
            self.mark("training")
            self.validate_s += time.perf_counter() - started
            self.begin()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop the clock."""
        self._stop()

    def _stop(self) -> None:
        device.synchronizer(self.config.device)()
        now = time.perf_counter()
        self.train_s += now - self._since
        self._since = now

    def _note_peaks(self) -> None:
        """Take the peaks so far; what validating takes is no part of them."""
        self.peak_rss_mib = highest([self.peak_rss_mib, memory.peak_resident_mib()])
        now = device.gpu_peaks_mib(self.config.device)
        self.peaks_gpu_mib = (
            highest([self.peaks_gpu_mib[0], now[0]]),
            highest([self.peaks_gpu_mib[1], now[1]]),
        )


def highest(values: Sequence[float | None]) -> float | None:
    """The highest of some values that may be unknown; null where all are."""
    return max((value for value in values if value is not None), default=None)


def _diverged(step: int, learning_rate: float) -> str:
    return (
        f"the training diverged: its loss is no number at step {step}; use a learning rate below"
        f" finetune.learning_rate={learning_rate:g}, a longer finetune.optimizer.warmup, or"
        " finetune.memory.precision=float32"
    )
