"""What keeps our core from being faster on this machine: ``python -m benchmarks.bound``.

The bound is what the model's arithmetic and memory traffic alone would take at the best rates that this machine reaches
in the same process. Counted are the products of matrices, and, for the steps of decoding, which multiply little and
read much, the bytes of the weights and of the encoded audio. Not counted: features, softmax, norms, activations, what
is written, the calls themselves.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import WhisperConfig, WhisperForConditionalGeneration

from bench.assets.weights import ensure_weights
from bench.config import DType
from bench.inference.engines import load_engine
from bench.inference.packed import packed
from bench.inference.transcribe import plan, transcribe
from bench.measure.clock import PhaseClock
from bench.readings import PHASES
from benchmarks.recordings import long_utterance, samples_of
from benchmarks.speed import our_config

_ROUNDS = 3
_LEAST_S = 0.5  # each rate is the best of as many repetitions as this allows
_SIDE = 2048  # of square matrices: large enough for the best rate that a processor reaches


@dataclass(frozen=True)
class Work:
    """What a transcription takes at least.

    Attributes:
        operations: Floating-point operations of the encoder and of the keys and values of its output.
        read_bytes: Bytes that the steps of decoding read.
        step_bytes: Bytes that the first, fullest step reads.
    """

    operations: int
    read_bytes: int
    step_bytes: int


@dataclass(frozen=True)
class Machine:
    """What it can do at most: operations and bytes read, each per second."""

    operations: float
    read_bytes: float


def main() -> None:
    """Measure in each type of numbers, each in a process of its own, or in the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", type=DType, choices=(DType.float32, DType.bfloat16), help="measure in this one only")
    chosen = parser.parse_args().dtype
    if chosen is not None:
        _measure(chosen)
        return
    for dtype in (DType.float32, DType.bfloat16):
        subprocess.run([sys.executable, "-m", "benchmarks.bound", "--dtype", dtype.value], check=True)


def _measure(dtype: DType) -> None:
    config = our_config(dtype)
    path = str(ensure_weights(config.model.name))
    engine = load_engine(config, path)
    samples = samples_of(long_utterance())
    audio_s = len(samples) / engine.rate_hz
    (windows,) = plan(engine, [samples], config.decode)
    batch = [samples[window.start : window.stop] for window in windows]
    # As a warm-up too; one token more ends each text.
    tokens = [len(said.tokens) + 1 for said in engine.decode(engine.features(batch), PhaseClock())]
    clocks, seconds = [], []
    for _ in range(_ROUNDS):
        clock, started = PhaseClock(), time.perf_counter()
        transcribe(engine, [samples], config.decode, len(batch), clock)
        seconds.append(time.perf_counter() - started)
        clocks.append(clock)
    torch_dtype = getattr(torch, dtype.value)
    least = work(path, tokens, torch_dtype.itemsize)
    rates = machine(torch_dtype, least.step_bytes)
    arithmetic_s, reading_s = least.operations / rates.operations, least.read_bytes / rates.read_bytes
    took_s = statistics.median(seconds)
    threads = f"{torch.get_num_threads()} threads"
    print(f"\n{dtype.value}, {threads}: {audio_s:.0f} s in {len(batch)} windows, {max(tokens)} steps of decoding")
    print(
        f"  encoder: {least.operations / 1e9:.0f} GFLOP at {rates.operations / 1e9:.0f} GFLOP/s: {arithmetic_s:.2f} s\n"
        f"  decoder: {least.read_bytes / 1e9:.1f} GB at {rates.read_bytes / 1e9:.1f} GB/s: {reading_s:.2f} s\n"
        f"  bound: {arithmetic_s + reading_s:.2f} s, RTFx {audio_s / (arithmetic_s + reading_s):.0f}"
    )
    phases = (
        f"{name.removesuffix('_s')} {statistics.median(clock.seconds(name.removesuffix('_s')) for clock in clocks):.2f}"
        for name in PHASES
    )
    print(f"  ours: {took_s:.2f} s, RTFx {audio_s / took_s:.0f} = {', '.join(phases)}", flush=True)


def work(path: str, tokens: Sequence[int], item_bytes: int) -> Work:
    """Count what a batch of windows takes, on a model without weights.

    Args:
        path: Folder of a ``WhisperForConditionalGeneration``.
        tokens: Tokens decoded in each window, the end of the text included.
        item_bytes: Bytes of a weight.
    """
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig.from_pretrained(path))
    layers = model.model.decoder.layers
    with FlopCounterMode(display=False) as counter:
        heard = torch.empty(1, model.config.num_mel_bins, 2 * model.config.max_source_positions, device="meta")
        encoded = model.get_encoder()(heard).last_hidden_state
        audio = [part(encoded) for layer in layers for part in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)]
    # A step has no use for the maps that made keys and values of the audio.
    idle = {id(part) for layer in layers for part in (layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)}
    busy = [
        part
        for part in (*(each for layer in layers for each in layer.modules()), model.proj_out)
        if isinstance(part, torch.nn.Linear) and id(part) not in idle
    ]
    weights, window = sum(part.weight.numel() for part in busy), sum(each.numel() for each in audio)
    return Work(
        operations=len(tokens) * counter.get_total_flops(),
        read_bytes=item_bytes * (max(tokens) * weights + sum(tokens) * window),
        step_bytes=item_bytes * (weights + len(tokens) * window),
    )


def machine(dtype: torch.dtype, step_bytes: int) -> Machine:
    """Measure this machine with the threads that torch has.

    Args:
        dtype: Of the matrices.
        step_bytes: Size of what is read again and again: part of it may stay in a cache.
    """
    layer = torch.nn.Linear(_SIDE, _SIDE, bias=False, dtype=dtype)
    with torch.inference_mode():
        states, multiply = torch.randn(_SIDE, _SIDE).to(dtype), packed(layer, _SIDE)
        product_s = _best_s(lambda: multiply(states))
        memory = torch.ones(step_bytes // 4)
        read_s = _best_s(lambda: memory.sum())
    return Machine(2 * _SIDE**3 / product_s, memory.nbytes / read_s)


def _best_s(call: Callable[[], Any]) -> float:
    call()
    best, ends = float("inf"), time.perf_counter() + _LEAST_S
    while time.perf_counter() < ends:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()
