"""What a report of a large study takes: ``python -m benchmarks.report``.

Made-up studies are written by the real store, a run at a time as a sweep writes them, and each is reported in a process
of its own. Printed are seconds of CPU and of the wall, the peak of memory (VmHWM), and the size of the page.
"""

import argparse
import dataclasses
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.config import Config, DecodeConfig
from bench.readings import Environment, MemoryUse, PhaseTimes, Runtime, Sample
from bench.records import Degeneracy, Job, RunResult, Status, TrialOutcome, Utterance, UtteranceResult, Word
from bench.score.wer import count_words
from bench.store import write_run, write_study

# Trials, utterances, and the seconds the report may take. The last is for the page alone: how it holds its table.
_SIZES = ((500, 200, 20), (2000, 200, 60), (10_000, 10, None))
_MOST_MIB = {"page": 30, "memory": 2048}
_SEAMS_S = 10.0
_RECORDINGS = 20

_MACHINE = Environment(
    cpu_model="Made-up CPU", cpu_cores=8, cpu_usable=4, ram_mib=16000.0, gpu=None, gpu_driver=None, os="Linux",
    python="3.11", torch="2.5", transformers="5.20", harness="0", commit="0",
)  # fmt: skip
_SOUND = Degeneracy(1.2, 0, looping=False, silent_words=0, hypothesis_language="en", reference_language="en",
                    wrong_language=False)  # fmt: skip
_VOCABULARY = [first + last for first in ("ba", "ke", "lo", "mi", "nu", "sta", "tre") for last in
               ("d", "ft", "lm", "n", "rst", "sk", "t", "x")]  # fmt: skip


def main() -> None:
    """Measure every size, or serve as the process of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, help="serve as the process that reports one study, for this program")
    parser.add_argument("--write", type=Path, help="only write a study of --trials and --utterances there")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--utterances", type=int, default=200)
    options = parser.parse_args()
    if options.study:
        print(json.dumps(_report(options.study)))
    elif options.write:
        write(options.write, options.trials, options.utterances)
    else:
        print("Reports of large studies, each in a process of its own\n")
        for size in _SIZES:
            _measure(*size)


def _measure(trials: int, utterances: int, limit_s: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "large"
        write(study, trials, utterances)
        command = [sys.executable, "-m", "benchmarks.report", "--study", str(study)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    cpu_s, wall_s, peak_mib, page_mib = json.loads(finished.stdout.splitlines()[-1])
    limits = "" if limit_s is None else f" (at most {limit_s} s, {_MOST_MIB['memory']} MiB, {_MOST_MIB['page']} MiB)"
    print(
        f"{trials:6} trials x {utterances:3} utterances: {cpu_s:.1f} s of CPU, {wall_s:.1f} s, {peak_mib:.0f} MiB of"
        f" memory, a page of {page_mib:.1f} MiB{limits}",
        flush=True,
    )


def _report(study: Path) -> tuple[float, float, float, float]:
    """Report a study: seconds of CPU and of the wall, peak memory and size of the page in MiB, imports included."""
    started = time.perf_counter()
    from bench.report import build

    page = build(study, study.parent / "reports") / "index.html"
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text()
    peak_kib = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    wall_s = time.perf_counter() - started
    return used.ru_utime + used.ru_stime, wall_s, peak_kib / 1024, page.stat().st_size / 2**20


def write(folder: Path, trials: int, utterances: int) -> None:
    """Write a study of settings that differ in chunk, stride, batch and beams."""
    chance = random.Random(0)  # noqa: S311 - made-up text is no secret
    spoken = [
        Utterance(f"u{at:03}", Path(f"r{at % _RECORDINGS:02}.wav"), _sentence(chance), start_s=6.0 * at, duration_s=6.0)
        for at in range(utterances)
    ]
    write_study(folder, {"command": "asr-sweep run", "config": {}, "space": {}, "environment": {}, "skipped": []})
    for number, decode in enumerate(_settings(trials)):
        write_run(folder, _run(number, decode, spoken, chance))


def _settings(count: int) -> Iterator[DecodeConfig]:
    """Yield distinct settings: twenty chunks, ten strides, then batches and beams."""
    for number in range(count):
        at, more = divmod(number, 200)
        chunk, stride = divmod(more, 10)
        yield DecodeConfig(
            chunk_length_s=11.0 + chunk,
            stride_length_s=0.5 * stride,
            batch_size=2 ** (at % 5),
            num_beams=1 + at // 5,
        )


def _run(number: int, decode: DecodeConfig, spoken: list[Utterance], chance: random.Random) -> RunResult:
    chunk_s, stride_s = float(decode.chunk_length_s), float(decode.stride_length_s)
    job = Job(
        study="large", trial_id=f"{number:012x}", replicate=0, attempt=1,
        config=dataclasses.replace(Config(study="large"), decode=decode),
        model_path="models/tiny", utterances=tuple(spoken), model_fingerprint="weights", data_name="made-up",
        data_fingerprint="f00d", number=number,
    )  # fmt: skip
    wrong = 0.03 + 0.4 / chunk_s + 0.05 / (1 + stride_s)
    time_s = 10.0 * chunk_s / (chunk_s - 2 * stride_s) * chance.uniform(0.9, 1.1)
    outcome = TrialOutcome(
        load_s=1.5, audio_decode_s=0.25, warmup_s=(1.0,),
        passes=(PhaseTimes(time_s, *(share * time_s for share in (0.01, 0.1, 0.3, 0.5, 0.02, 0.05))),),
        cpu_s=(2 * time_s,),
        memory=MemoryUse(300.0, 700.0, 600.0, 600.0 + 14 * chunk_s + 3 * stride_s, "vmhwm"),
        utterances=tuple(_heard(utterance, wrong, chance) for utterance in spoken),
        runtime=Runtime(torch_threads=4),
    )  # fmt: skip
    samples = tuple(Sample(0.5 * at, "inference", 100.0, 300.0 + at) for at in range(40))
    started = f"2025-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return RunResult(job, Status.ok, None, False, started, 20.0, outcome, samples, _MACHINE)


def _sentence(chance: random.Random) -> str:
    return " ".join(chance.choices(_VOCABULARY, k=chance.randint(6, 24)))


def _heard(utterance: Utterance, wrong: float, chance: random.Random) -> UtteranceResult:
    """Mishear an utterance: a word in ``1 / wrong`` is another, left out, or doubled."""
    heard: list[str] = []
    for word in (utterance.text or "").split():
        fate = chance.random() / wrong
        heard += (
            [word] if fate > 1 else [] if fate > 0.7 else [word, word] if fate > 0.5 else chance.choices(_VOCABULARY)
        )
    step_s = 6.0 / max(len(heard), 1)
    words = tuple(
        Word(word, 0, at * step_s, (at + 1) * step_s, abs((at + 0.5) * step_s - _SEAMS_S))
        for at, word in enumerate(heard)
    )
    text = " ".join(heard)
    counts = count_words(utterance.text or "", text)
    return UtteranceResult(utterance, 6.0, 1, text, counts, words=words, degeneracy=_SOUND)


if __name__ == "__main__":
    main()
