"""What the harness adds to faster-whisper, and how far three engines agree: ``python -m benchmarks.engines``.

Time: our engine and a bare script, which asks faster-whisper for the same, take turns within one process at every
batch, so that a drift of the machine favours neither, with one model in memory, since of two copies of the same
weights in a process one was seen to be some percent faster. What is told is the median of the rounds' ratios, of
wall and of CPU seconds, with their range. Then WER, and the words that engines have in common.
"""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.assets.recordings import ensure_demo_recordings
from bench.assets.weights import ctranslate2_folder
from bench.config import Config, DataConfig, DataSource, DecodeConfig, DType, Engine, Merge, ModelConfig, Parity
from bench.data.audio import load_recordings
from bench.data.dataset import load_dataset
from bench.inference.engines import load_engine
from bench.inference.model_files import model_files
from bench.inference.transcribe import transcribe
from bench.measure.clock import PhaseClock
from bench.records import Samples, Utterance, WordCounts
from bench.score.normalize import normalizer
from bench.score.wer import count_words

_RATE_HZ = 16_000
_MODEL = "packaged/whisper-tiny.en"
_THREADS = 1
_BATCH = 8
_TIMED_UTTERANCES = 16
_ROUNDS = 7
_MOST_TOKENS = 448

# Whole utterances, greedy; no times of words are asked for, as the script asks for none.
_DECODE = DecodeConfig(stride_length_s=0.0, batch_size=_BATCH, merge=Merge.pipeline)

Transcribe = Callable[[Sequence[Samples]], list[str]]


def main() -> None:
    """Measure and print."""
    utterances, recordings = _speech()
    print(f"{len(recordings)} utterances, {sum(map(len, recordings)) / _RATE_HZ:.0f} s, {_MODEL}, {_THREADS} thread\n")
    timed = sorted(recordings[:_TIMED_UTTERANCES], key=len, reverse=True)
    batches = [timed[first : first + _BATCH] for first in range(0, len(timed), _BATCH)]
    engine = _engine(_DECODE)
    bare = _bare_batches(engine._model)
    _print_overhead("windows, against encode and generate", _ours(engine, _DECODE), bare, batches)
    native = replace(_DECODE, parity=Parity.native)
    engine = _engine(native)
    bare = _bare_transcribe(engine._whisper.model)
    singly = [[each] for each in timed]
    _print_overhead("parity=native, against WhisperModel.transcribe", _ours(engine, native), bare, singly)
    _print_agreement(utterances, recordings)


def _speech() -> tuple[list[Utterance], list[Samples]]:
    speech = os.environ.get("ASR_SWEEP_SPEECH")
    folder = Path(speech) / "librispeech_other" if speech else ensure_demo_recordings()
    data = DataConfig(source=DataSource.manifest, path=str(folder / "manifest.csv"))
    utterances = list(load_dataset(data).utterances)
    usable = []
    for utterance, samples in zip(utterances, load_recordings(utterances, _RATE_HZ).recordings, strict=True):
        if isinstance(samples, Exception):
            raise samples
        if len(samples) <= 30 * _RATE_HZ:  # whole utterances, in one window each
            usable.append((utterance, samples))
    return [each for each, _ in usable], [each for _, each in usable]


def _engine(decode: DecodeConfig, engine: Engine = Engine.faster_whisper, dtype: DType = DType.float32) -> Any:
    model = ModelConfig(name=_MODEL, dtype=dtype)
    config = Config(engine=engine.value, threads=_THREADS, model=model, decode=decode)
    files = model_files(config)
    assert files is not None
    return load_engine(config, str(files.folder))


def _ours(engine: Any, decode: DecodeConfig) -> Transcribe:
    batch = 1 if decode.parity is Parity.native else _BATCH
    return lambda recordings: [one.text for one in transcribe(engine, recordings, decode, batch, PhaseClock())]


def _bare_batches(model: Any) -> Transcribe:
    """What anybody would write who wants a batch of whole utterances from faster-whisper's parts.

    It pads speech with silence to 30 s, as Whisper does. To pad its spectrogram instead, as
    ``BatchedInferencePipeline`` does, gives other texts, and so other work.
    """
    import numpy as np
    from faster_whisper import WhisperModel
    from faster_whisper.audio import pad_or_trim
    from faster_whisper.tokenizer import Tokenizer

    whisper = WhisperModel(str(ctranslate2_folder(_MODEL)), "cpu", compute_type="float32", cpu_threads=_THREADS)
    whisper.model = model
    tokenizer = Tokenizer(whisper.hf_tokenizer, multilingual=False)
    prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    longest = 2 * (_MOST_TOKENS - len(prompt))

    def run(recordings: Sequence[Samples]) -> list[str]:
        padded = (pad_or_trim(each, 30 * _RATE_HZ) for each in recordings)
        features = np.stack([pad_or_trim(whisper.feature_extractor(each)) for each in padded])
        encoded = whisper.encode(features)
        results = whisper.model.generate(encoded, [prompt] * len(recordings), beam_size=1, max_length=longest)
        return [tokenizer.decode(result.sequences_ids[0]).strip() for result in results]

    return run


def _bare_transcribe(model: Any) -> Transcribe:
    from faster_whisper import WhisperModel

    whisper = WhisperModel(str(ctranslate2_folder(_MODEL)), "cpu", compute_type="float32", cpu_threads=_THREADS)
    whisper.model = model
    return lambda recordings: [
        "".join(segment.text for segment in whisper.transcribe(each)[0]).strip() for each in recordings
    ]


def _print_overhead(label: str, ours: Transcribe, bare: Transcribe, batches: Sequence[Sequence[Samples]]) -> None:
    alike = sum(mine == theirs for batch in batches for mine, theirs in zip(ours(batch), bare(batch), strict=True))
    wall: dict[Transcribe, list[float]] = {ours: [0.0] * _ROUNDS, bare: [0.0] * _ROUNDS}
    cpu: dict[Transcribe, list[float]] = {ours: [0.0] * _ROUNDS, bare: [0.0] * _ROUNDS}
    turns = itertools.cycle([(ours, bare), (bare, ours)])
    for number in range(_ROUNDS):
        for batch, pair in zip(batches, turns, strict=False):
            for contestant in pair if number % 2 else reversed(pair):
                wall_started, cpu_started = time.perf_counter(), time.process_time()
                contestant(batch)
                wall[contestant][number] += time.perf_counter() - wall_started
                cpu[contestant][number] += time.process_time() - cpu_started
    print(f"{label}: {alike} of {sum(map(len, batches))} texts are the same; script {median(wall[bare]):.2f} s")
    for kind, seconds in (("wall", wall), ("CPU", cpu)):
        ratios = [mine / theirs for mine, theirs in zip(seconds[ours], seconds[bare], strict=True)]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}, n={_ROUNDS}"
        print(f"  {kind} seconds of ours / of the script: {median(ratios):.3f} ({spread})", flush=True)


def _print_agreement(utterances: Sequence[Utterance], recordings: Sequence[Samples]) -> None:
    normalize = normalizer(Config().score.normalizer)
    engines = (Engine.transformers, Engine.faster_whisper, Engine.onnxruntime)
    for dtype in (DType.float32, DType.int8):
        texts = {}
        for engine in engines:
            texts[engine] = list(map(normalize, _ours(_engine(_DECODE, engine, dtype), _DECODE)(recordings)))
            counts = sum(
                (
                    count_words(normalize(utterance.text), text)
                    for utterance, text in zip(utterances, texts[engine], strict=True)
                ),
                WordCounts(),
            )
            print(f"\n{engine}, {dtype}: WER {100 * (counts.wer or 0.0):.2f} %", end="", flush=True)
        for first, second in itertools.combinations(engines, 2):
            shared = sum((count_words(*pair) for pair in zip(texts[first], texts[second], strict=True)), WordCounts())
            every = shared.hits + shared.substitutions + shared.deletions + shared.insertions
            print(f"\n{first} and {second}, {dtype}: {100 * shared.hits / every:.2f} % of words agree", end="")
    print()


if __name__ == "__main__":
    main()
