"""What a fine-tuning study is going to take: memory, steps, time and cost, from a few steps of its first setting."""

import dataclasses
import statistics
from collections.abc import Sequence
from itertools import pairwise

from bench.config import flatten
from bench.data.lengths import lengths_s
from bench.execute.executor import Executor
from bench.execute.local import LocalExecutor
from bench.jobs import JobMaker
from bench.measure.environment import describe
from bench.records import Job, RunResult, Status, Utterance
from bench.search.compose import Composed
from bench.storage import place, workspace

_STEPS = 4  # the first of which pays for what is set up once, and is of the longest utterances
_FEWEST = 4  # utterances to transcribe


def plan_study(study: Composed) -> list[str]:
    """Say what a whole grid of trainings will take, whatever of it is done already; nothing is stored.

    Raises:
        BenchError: The data or a model cannot be used.
    """
    config = study.config
    maker = JobMaker(study.grid.points)
    jobs = [job for candidate in study.grid.candidates for job in maker.jobs(candidate)]
    logs = workspace(place(config.results.root) / config.study) / "logs"
    executor = LocalExecutor(logs, describe(), trains=True)
    executor.warm_up()
    return plan_lines(jobs, executor)


def plan_lines(jobs: Sequence[Job], executor: Executor) -> list[str]:
    """Try the first of some runs in small, and say what all of them will take.

    Args:
        jobs: Runs that are still to be made, at least one; each trains.
        executor: Executes the attempt, of which nothing is stored.
    """
    job = jobs[0]
    result = executor.execute(_in_small(job))
    if result.outcome is None or result.outcome.training is None:
        cure = f": {result.status_reason}" if result.status is not Status.ok else ""
        return [f"no plan can be made of the training, since its first steps end in {result.status}{cure}"]
    return _lines(job, jobs, result)


def _in_small(job: Job) -> Job:
    """Cut a run down to a few steps: on the longest utterances, which take the most memory, and some of the others."""
    size = job.config.finetune.batch_size
    usable = [
        (length, item) for length, item in zip(lengths_s(job.training), job.training, strict=True) if length is not None
    ]
    ordered: list[Utterance] = [item for _, item in sorted(usable, key=lambda pair: -pair[0])] or list(job.training)
    spread = ordered[size :: max(1, len(ordered) // (_STEPS * size))]
    tune = dataclasses.replace(job.config.finetune, max_steps=_STEPS, evaluations=1, save=False)
    measure = dataclasses.replace(job.config.measure, warmup=0, repeats=1, single_stream=0)
    return dataclasses.replace(
        job,
        config=dataclasses.replace(job.config, finetune=tune, measure=measure),
        training=(*ordered[:size], *spread),
        utterances=job.utterances[:_FEWEST],
        trained_model=f"{job.trained_model}-plan",
    )


def _lines(job: Job, jobs: Sequence[Job], result: RunResult) -> list[str]:
    outcome = result.outcome
    assert outcome is not None
    training = outcome.training
    assert training is not None
    looks = [point for point in training.curve if point.loss is not None]
    took_s = [after.train_s - before.train_s for before, after in pairwise(looks)]
    step_s = statistics.median(took_s) if took_s else training.train_s
    fixed_s = result.wall_s - training.train_s - outcome.inference_s
    per_utterance_s = outcome.inference_s / max(1, len(outcome.utterances))
    seconds = [
        fixed_s
        + one.config.finetune.steps(len(one.training)) * step_s
        + one.config.finetune.evaluations * len(one.utterances) * per_utterance_s
        for one in jobs
    ]
    tune, steps = job.config.finetune, sorted({one.config.finetune.steps(len(one.training)) for one in jobs})
    counts = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    parts = f", {training.device_batch_size} at once" if training.accumulation > 1 else ""
    again = ", activations computed anew" if training.checkpointing else ""
    memory = [f"{training.peak_rss_mib:.0f} MiB of RAM"] if training.peak_rss_mib is not None else []
    memory += [f"{training.peak_gpu_reserved_mib:.0f} MiB of GPU memory"] if training.peak_gpu_reserved_mib else []
    price = dict(flatten(job.config.measure.price_per_hour))[job.config.device.partition(":")[0]]
    cost = f", cost {sum(seconds) / 3600 * price:.3g}" if price is not None else ""
    share = 100 * training.trained_parameters / training.parameters
    return [
        f"training: {len(jobs)} runs of {counts} steps of {tune.batch_size} utterances{parts} (products in"
        f" {training.precision}{again}); {share:.3g} % of {training.parameters / 1e6:.1f} million numbers are trained",
        f"it takes about {_duration(sum(seconds))} in all ({_duration(max(seconds))} a run at most) and"
        f" {' and '.join(memory) or 'an unknown amount of memory'}{cost}, by {_STEPS} steps of the first setting",
    ]


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
