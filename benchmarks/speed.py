"""Our core against what else people run, on one recording, in one go: ``python -m benchmarks.speed``.

Every contestant runs in a process of its own; rounds go round all of them, so that a drift of the machine favours none.
Times are from the recording's samples to its text: without loading, without decoding the audio file, after one pass
of warm-up. Medians, with minimum and maximum.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.assets.weights import ctranslate2_folder, ensure_weights
from bench.config import Config, DecodeConfig, DType, Merge, ModelConfig, Strategy
from bench.records import Samples
from bench.score.normalize import normalizer
from bench.score.wer import count_words
from benchmarks.recordings import long_utterance, samples_of

_RATE_HZ = 16_000
_MODEL = "packaged/whisper-tiny.en"
_CHUNK_S, _STRIDE_S = 30.0, 5.0
_BATCHES = (8, 16)
_ROUNDS = 3


@dataclass(frozen=True)
class Contestant:
    """One way to transcribe.

    Attributes:
        kind: ``ours``, ``pipeline`` or ``faster_whisper``.
        note: What sets it apart, for the table.
        rounds: Rounds it takes part in.
    """

    name: str
    kind: str
    dtype: str
    beams: int
    batch: int
    windows: str
    vad: bool = False
    note: str = ""
    rounds: int = _ROUNDS


@dataclass(frozen=True)
class Outcome:
    """What one pass took and said."""

    seconds: float
    text: str
    phases: dict[str, float] = field(default_factory=dict)


def contestants() -> list[Contestant]:
    """Everyone, the pipeline at several batch sizes."""
    strided = f"{_CHUNK_S:g} s, stride {_STRIDE_S:g} s"
    halves = ("float32", "bfloat16")
    return [
        Contestant("(a) pipeline as called", "pipeline", "float32", 5, 1, strided, note="unlike", rounds=1),
        *(
            Contestant(f"(b) pipeline, {dtype}", "pipeline", dtype, 1, batch, strided)
            for dtype in halves
            for batch in _BATCHES
        ),
        Contestant("(c) faster-whisper", "faster_whisper", "int8", 5, 8, "cut at silences", vad=True, note="unlike"),
        *(Contestant(f"ours, {dtype}", "ours", dtype, 1, 16, strided) for dtype in halves),
        *(Contestant(f"ours, {dtype}, vad", "ours", dtype, 1, 16, "cut at silences", vad=True) for dtype in halves),
    ]


def our_config(dtype: DType, batch: int = 16, vad: bool = False) -> Config:
    """Make the configuration that ours runs with: the pipeline's windows, or those of silences."""
    # The pipeline's merge, for the same text; silences leave nothing to merge.
    decode = DecodeConfig(
        strategy=Strategy.vad if vad else Strategy.chunked,
        chunk_length_s=_CHUNK_S,
        stride_length_s=0.0 if vad else _STRIDE_S,
        merge=Merge.aligned if vad else Merge.pipeline,
        batch_size=batch,
    )
    return Config(model=ModelConfig(name=_MODEL, dtype=dtype), decode=decode)


def main() -> None:
    """Measure all, or serve as the process of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contestant", help="serve as one contestant (its fields as JSON) for this program")
    chosen = parser.parse_args().contestant
    if chosen:
        _serve(Contestant(**json.loads(chosen)))
    else:
        _print_table(_measure(contestants()))


def _measure(everyone: list[Contestant]) -> dict[Contestant, list[Outcome]]:
    outcomes: dict[Contestant, list[Outcome]] = {one: [] for one in everyone}
    for number in range(_ROUNDS):
        for one in (each for each in everyone if number < each.rounds):
            command = [sys.executable, "-m", "benchmarks.speed", "--contestant", json.dumps(asdict(one))]
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
            if finished.returncode:
                reason = (finished.stderr.strip() or "no reason given").splitlines()[-1]
                print(f"{one.name} cannot run: {reason}", flush=True)
            else:
                outcomes[one].append(Outcome(**json.loads(finished.stdout.splitlines()[-1])))
                print(f"  {one.name}, batch {one.batch}: {outcomes[one][-1].seconds:.2f} s", flush=True)
    return outcomes


def _serve(one: Contestant) -> None:
    samples = samples_of(long_utterance())
    run = {"ours": _ours, "pipeline": _pipeline, "faster_whisper": _faster_whisper}[one.kind](one)
    run(samples)
    started = time.perf_counter()
    text, phases = run(samples)
    seconds = time.perf_counter() - started
    print(json.dumps(asdict(Outcome(seconds, text, phases))))


def _ours(one: Contestant) -> Callable[[Samples], tuple[str, dict[str, float]]]:
    from bench.inference.engines import load_engine
    from bench.inference.transcribe import transcribe
    from bench.measure.clock import PhaseClock
    from bench.readings import PHASES

    config = our_config(DType(one.dtype), one.batch, one.vad)
    engine = load_engine(config, str(ensure_weights(config.model.name)))

    def run(samples: Samples) -> tuple[str, dict[str, float]]:
        clock = PhaseClock()
        (transcript,) = transcribe(engine, [samples], config.decode, one.batch, clock)
        return transcript.text, {name: clock.seconds(name.removesuffix("_s")) for name in PHASES}

    return run


def _pipeline(one: Contestant) -> Callable[[Samples], tuple[str, dict[str, float]]]:
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    recognise = transformers.pipeline(
        "automatic-speech-recognition", model=str(ensure_weights(_MODEL)), dtype=getattr(torch, one.dtype)
    )

    def run(samples: Samples) -> tuple[str, dict[str, float]]:
        said: Any = recognise(
            samples.copy(),
            chunk_length_s=_CHUNK_S,
            stride_length_s=_STRIDE_S,
            batch_size=one.batch,
            generate_kwargs={"num_beams": one.beams},
        )
        return said["text"], {}

    return run


def _faster_whisper(one: Contestant) -> Callable[[Samples], tuple[str, dict[str, float]]]:
    import torch
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(
        str(ctranslate2_folder(_MODEL)), device="cpu", compute_type=one.dtype, cpu_threads=torch.get_num_threads()
    )
    batched = BatchedInferencePipeline(model)

    def run(samples: Samples) -> tuple[str, dict[str, float]]:
        segments, _ = batched.transcribe(
            samples.copy(), language="en", beam_size=one.beams, batch_size=one.batch, vad_filter=one.vad
        )
        return "".join(segment.text for segment in segments), {}

    return run


def _print_table(outcomes: dict[Contestant, list[Outcome]]) -> None:
    utterance = long_utterance()
    audio_s = len(samples_of(utterance)) / _RATE_HZ
    normalize = normalizer(Config().score.normalizer)
    medians = {one: statistics.median(each.seconds for each in runs) for one, runs in outcomes.items() if runs}
    best = {
        name: min((one for one in medians if one.name == name), key=medians.__getitem__)
        for name in dict.fromkeys(one.name for one in medians)
    }
    print(f"\n{utterance.path.name}, {audio_s:.0f} s; {_ROUNDS} rounds, of (a) one; RTFx: median (lowest to highest)\n")
    header = ("", "RTFx", "dtype", "beams", "batch", "windows", "vad", "WER", "")
    rows = [header]
    for name, one in best.items():
        seconds = [each.seconds for each in outcomes[one]]
        counts = count_words(normalize(utterance.text), normalize(outcomes[one][0].text))
        rtfx = f"{audio_s / medians[one]:.1f} ({audio_s / max(seconds):.1f} to {audio_s / min(seconds):.1f})"
        wer = "–" if counts.wer is None else f"{100 * counts.wer:.1f} %"
        vad = "on" if one.vad else "off"
        rows.append((name, rtfx, one.dtype, str(one.beams), str(one.batch), one.windows, vad, wer, one.note))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    _print_ratios(best, medians, outcomes)
    _print_phases(best, medians, outcomes)


def _print_ratios(
    best: dict[str, Contestant], medians: dict[Contestant, float], outcomes: dict[Contestant, list[Outcome]]
) -> None:
    print()
    for name, ours in best.items():
        if ours.kind != "ours":
            continue
        ratios = []
        for other, theirs in best.items():
            like = other.startswith("(b)") and theirs.dtype == ours.dtype
            if other.startswith(("(a)", "(c)")) or like:
                ratios.append(f"{medians[theirs] / medians[ours]:.2f} x {other}")
            if like and not ours.vad:
                mine, yours = outcomes[ours][0].text.split(), outcomes[theirs][0].text.split()
                counts = count_words(" ".join(yours), " ".join(mine))
                errors = counts.substitutions + counts.deletions + counts.insertions
                ratios.append("the same text" if not errors else f"{errors} of {len(yours)} words differ from it")
        print(f"{name}: {', '.join(ratios)}")


def _print_phases(
    best: dict[str, Contestant], medians: dict[Contestant, float], outcomes: dict[Contestant, list[Outcome]]
) -> None:
    print("\nWhere ours spends its time, in seconds of the median pass:")
    for name, one in best.items():
        if one.kind == "ours":
            typical = min(outcomes[one], key=lambda each: abs(each.seconds - medians[one]))
            shares = ", ".join(f"{phase.removesuffix('_s')} {took:.2f}" for phase, took in typical.phases.items())
            print(f"  {name}: {typical.seconds:.2f} = {shares}")


if __name__ == "__main__":
    main()
