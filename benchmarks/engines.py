"""What the harness adds to faster-whisper, and how far three engines agree: ``python -m benchmarks.engines``.

Time: our engine and a bare script, which asks faster-whisper for the same, take turns within one process over the same
utterances, so that a drift of the machine favours neither. What is told is the median of the ratios of neighbouring
passes, of wall and of CPU seconds, with their range. Then WER, and the words that engines have in common.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

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
    timed = recordings[:_TIMED_UTTERANCES]
    _print_overhead("windows by the harness, against encode and generate", _ours(_DECODE), _bare_batches(), timed)
    native = replace(_DECODE, parity=Parity.native)
    _print_overhead("decode.parity=native, against WhisperModel.transcribe", _ours(native), _bare_transcribe(), timed)
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


def _ours(decode: DecodeConfig, engine: Engine = Engine.faster_whisper, dtype: DType = DType.float32) -> Transcribe:
    model = ModelConfig(name=_MODEL, dtype=dtype)
    config = Config(engine=engine.value, threads=_THREADS, model=model, decode=decode)
    files = model_files(config)
    assert files is not None
    loaded = load_engine(config, str(files.folder))
    batch = 1 if decode.parity is Parity.native else _BATCH
    return lambda recordings: [one.text for one in transcribe(loaded, recordings, decode, batch, PhaseClock())]


def _bare_batches() -> Transcribe:
    """What anybody would write who wants batches of whole utterances from faster-whisper's parts."""
    import numpy as np
    from faster_whisper import WhisperModel
    from faster_whisper.audio import pad_or_trim
    from faster_whisper.tokenizer import Tokenizer

    whisper = WhisperModel(str(ctranslate2_folder(_MODEL)), "cpu", compute_type="float32", cpu_threads=_THREADS)
    tokenizer = Tokenizer(whisper.hf_tokenizer, multilingual=False)
    prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    longest = 2 * (_MOST_TOKENS - len(prompt))

    def run(recordings: Sequence[Samples]) -> list[str]:
        texts: list[str] = []
        order = sorted(range(len(recordings)), key=lambda number: -len(recordings[number]))
        for first in range(0, len(order), _BATCH):
            chosen = [recordings[number] for number in order[first : first + _BATCH]]
            features = np.stack([pad_or_trim(whisper.feature_extractor(each)) for each in chosen])
            encoded = whisper.encode(features)
            results = whisper.model.generate(encoded, [prompt] * len(chosen), beam_size=1, max_length=longest)
            texts += [tokenizer.decode(result.sequences_ids[0]).strip() for result in results]
        by_number = dict(zip(order, texts, strict=True))
        return [by_number[number] for number in range(len(recordings))]

    return run


def _bare_transcribe() -> Transcribe:
    from faster_whisper import WhisperModel

    whisper = WhisperModel(str(ctranslate2_folder(_MODEL)), "cpu", compute_type="float32", cpu_threads=_THREADS)
    return lambda recordings: [
        "".join(segment.text for segment in whisper.transcribe(each)[0]).strip() for each in recordings
    ]


def _print_overhead(label: str, ours: Transcribe, bare: Transcribe, recordings: Sequence[Samples]) -> None:
    alike = sum(mine == theirs for mine, theirs in zip(ours(recordings), bare(recordings), strict=True))  # and warm up
    wall: dict[Transcribe, list[float]] = {ours: [], bare: []}
    cpu: dict[Transcribe, list[float]] = {ours: [], bare: []}
    for number in range(_ROUNDS):
        for contestant in (ours, bare) if number % 2 == 0 else (bare, ours):
            wall_started, cpu_started = time.perf_counter(), time.process_time()
            contestant(recordings)
            wall[contestant].append(time.perf_counter() - wall_started)
            cpu[contestant].append(time.process_time() - cpu_started)
    print(f"{label}: {alike} of {len(recordings)} texts are the same")
    for kind, seconds in (("wall", wall), ("CPU", cpu)):
        ratios = [mine / theirs for mine, theirs in zip(seconds[ours], seconds[bare], strict=True)]
        print(
            f"  {kind} seconds of ours / of the script: {statistics.median(ratios):.3f} ({min(ratios):.3f} to"
            f" {max(ratios):.3f}, n={_ROUNDS}; script {statistics.median(seconds[bare]):.2f} s)",
            flush=True,
        )


def _print_agreement(utterances: Sequence[Utterance], recordings: Sequence[Samples]) -> None:
    normalize = normalizer(Config().score.normalizer)
    engines = (Engine.transformers, Engine.faster_whisper, Engine.onnxruntime)
    for dtype in (DType.float32, DType.int8):
        texts = {}
        for engine in engines:
            texts[engine] = list(map(normalize, _ours(_DECODE, engine, dtype)(recordings)))
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
