"""CTC engines against transformers' own pipeline, on tiny random models of every family."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoTokenizer,
    Wav2Vec2Config,
    Wav2Vec2ForPreTraining,
    pipeline,
)

from bench.assets.cache import CACHE_VARIABLE
from bench.assets.models import locate
from bench.config import Attention, Config, DecodeConfig, DType, Merge, ModelConfig, Strategy, Weights
from bench.data.audio import decode_audio
from bench.errors import BenchError, ConfigError, ImpossiblePoint, ModelError
from bench.inference.ctc import CTCEngine
from bench.inference.windows import cut
from bench.measure.clock import PhaseClock
from bench.records import Samples, Transcript, Window
from tests.inference.ctc_folders import FAMILIES, LETTERS, RATE_HZ, babble, save

pytestmark = [
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning"),  # torch, of WavLM
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),  # torch, of Lasr
]

# Where the pipeline mistakes a frame's length; see test_windows_of_parakeet_are_those_of_its_own_generate.
MISTAKEN = {"wav2vec2-adapter", "parakeet"}

GRID = [(2.0, 0.0), (2.0, 0.5), (3.0, 1.0), (30.0, 5.0)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return functools.cache(lambda family: save(family, tmp_path_factory.mktemp(family)))


@pytest.fixture(scope="session")
def audio() -> Samples:
    """Not to be written to, as what is mapped from a file."""
    samples = babble(7.3)
    samples.setflags(write=False)
    return samples


def _config(attention: Attention = Attention.eager, dtype: DType = DType.float32, **decode: Any) -> Config:
    return Config(
        model=ModelConfig(name="tiny", attention=attention, dtype=dtype),
        decode=replace(DecodeConfig(merge=Merge.pipeline, batch_size=1), **decode),
    )


def _pipeline(folder: Path, dtype: torch.dtype = torch.float32, **more: Any) -> Any:
    return pipeline(
        "automatic-speech-recognition",
        model=AutoModelForCTC.from_pretrained(folder, dtype=dtype, attn_implementation="eager"),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        feature_extractor=AutoFeatureExtractor.from_pretrained(folder),
        device="cpu",
        **more,
    )


def _emissions(engine: CTCEngine, pieces: Sequence[Samples], batch_size: int) -> list[np.ndarray]:
    return [
        emission
        for start in range(0, len(pieces), batch_size)
        for emission in engine.decode(engine.features(pieces[start : start + batch_size]), PhaseClock())
    ]


def _transcript(engine: CTCEngine, audio: Samples, chunk_s: float, stride_s: float) -> Transcript:
    spec = DecodeConfig(chunk_length_s=chunk_s, stride_length_s=stride_s)
    windows = cut(len(audio), RATE_HZ, spec, engine.align)
    return engine.join(_emissions(engine, [audio[one.start : one.stop] for one in windows], 1), windows)


def _words(transcript: Transcript) -> list[str]:
    return [word.text for word in transcript.words]


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MISTAKEN))
def test_texts_are_those_of_the_pipeline(family: str, folder: Callable[[str], Path], audio: Samples) -> None:
    engine, recognise = CTCEngine(_config(), str(folder(family))), _pipeline(folder(family))
    for chunk_s, stride_s in GRID:
        ours = _transcript(engine, audio, chunk_s, stride_s)
        theirs = recognise(audio.copy(), chunk_length_s=chunk_s, stride_length_s=stride_s)["text"]
        assert ours.text == theirs, f"chunk {chunk_s:g} s, stride {stride_s:g} s"
        assert len(set(ours.text) & set(LETTERS)) >= 10
        assert _words(ours) == ours.text.split()


@pytest.mark.parametrize("family", ["wav2vec2-group", "wav2vec2-layer", "wav2vec2-bert"])
def test_lengths_around_the_borders_of_windows(family: str, folder: Callable[[str], Path], audio: Samples) -> None:
    engine, recognise = CTCEngine(_config(), str(folder(family))), _pipeline(folder(family))
    lengths = [719, 720, 1000, *(n + d for n in (16_000, 24_000, 26_000) for d in (-321, -1, 0, 1, 80, 320))]
    for length in [*lengths, 2400, 2401]:
        ours = _transcript(engine, audio[:length], 1.0, 0.25)
        assert ours.text == recognise(audio[:length].copy(), chunk_length_s=1.0, stride_length_s=0.25)["text"], length


@pytest.mark.parametrize("family", ["wav2vec2-group", "hubert-layer"])
def test_texts_of_speech(family: str, folder: Callable[[str], Path], speech_dir: Path) -> None:
    (recording,) = (speech_dir / "longform").glob("*.flac")
    speech = decode_audio(recording, RATE_HZ)[: 25 * RATE_HZ]
    engine, recognise = CTCEngine(_config(), str(folder(family))), _pipeline(folder(family))
    for chunk_s, stride_s in [(5.0, 1.0), (10.0, 0.0)]:
        ours = _transcript(engine, speech, chunk_s, stride_s)
        assert ours.text == recognise(speech.copy(), chunk_length_s=chunk_s, stride_length_s=stride_s)["text"]
        assert len(set(ours.text) & set(LETTERS)) >= 10


def test_texts_in_half_precision(folder: Callable[[str], Path], audio: Samples) -> None:
    path = folder("wav2vec2-layer")
    ours = _transcript(CTCEngine(_config(dtype=DType.bfloat16), str(path)), audio, 2.0, 0.5)
    theirs = _pipeline(path, torch.bfloat16)(audio.copy(), chunk_length_s=2.0, stride_length_s=0.5)
    assert ours.text == theirs["text"]
    assert ours.text != _transcript(CTCEngine(_config(), str(path)), audio, 2.0, 0.5).text  # it did make a difference


def test_windows_of_parakeet_are_those_of_its_own_generate(folder: Callable[[str], Path], audio: Samples) -> None:
    """Each frame is 8 rows of 160 samples; the pipeline takes it for one sample, and drops what has a left stride."""
    path = folder("parakeet")
    model = AutoModelForCTC.from_pretrained(path, attn_implementation="eager")
    extractor, tokenizer = AutoFeatureExtractor.from_pretrained(path), AutoTokenizer.from_pretrained(path)

    frames: list[int] = []
    for start, stop, left, right in [(0, 25, 0, 5), (15, 40, 5, 5), (30, 55, 5, 0)]:  # in frames: 2 s and 0.4 s
        piece = np.array(audio[start * 1280 : stop * 1280])
        inputs = extractor(piece, sampling_rate=RATE_HZ, return_tensors="pt")
        emitted = model.generate(**inputs)[0].tolist()[: stop - start]
        frames += emitted[left : len(emitted) - right]
    ours = _transcript(CTCEngine(_config(), str(path)), audio[: 55 * 1280], 2.0, 0.4)
    assert ours.text == tokenizer.decode(frames)
    assert len(set(ours.text)) >= 10
    assert _words(ours) == ours.text.split()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_frame_covers_as_many_samples_as_it_says(family: str, folder: Callable[[str], Path]) -> None:
    engine = CTCEngine(_config(), str(folder(family)))
    short, long = _emissions(engine, [babble(2.56), babble(7.68)], 1)
    assert (len(long) - len(short)) * engine.align == 5.12 * RATE_HZ


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_batches_change_nothing_where_lengths_may_mix(family: str, folder: Callable[[str], Path]) -> None:
    """And do change logits where the engine says so, else it would forgo larger batches for nothing."""
    engine = CTCEngine(_config(), str(folder(family)))
    lengths = [16_000, 12_345, 9_000, 8_001, 4_321, 24_000, 10_240]
    pieces = [babble(2, seed)[:length] for seed, length in enumerate(lengths)]

    together = engine.features(pieces)
    with torch.inference_mode():
        logits = engine._model(**together.tensors).logits
        alone = [engine._model(**engine.features([piece]).tensors).logits[0] for piece in pieces]
    apart = max(
        float((ours[:frames] - theirs[:frames]).abs().max())
        for ours, theirs, frames in zip(logits, alone, together.frames, strict=True)
    )
    assert engine.mixes_lengths == (apart < 1e-4), apart

    one_by_one = _emissions(engine, pieces, 1)
    for batch_size in (2, 7) if engine.mixes_lengths else ():
        for ours, theirs in zip(_emissions(engine, pieces, batch_size), one_by_one, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    equals = [piece[:4_321] for piece in pieces]
    for ours, theirs in zip(_emissions(engine, equals, 3), _emissions(engine, equals, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("family", ["wav2vec2-group", "wav2vec2-bert", "lasr", "parakeet"])
def test_the_shortest_windows(family: str, folder: Callable[[str], Path]) -> None:
    """What is too short for a frame says nothing, alone or beside a longer one; from there on models do speak."""
    engine = CTCEngine(_config(), str(folder(family)))
    for length in (1, 399):
        empty, longer = _emissions(engine, [babble(1)[:length], babble(1)], 2)
        assert len(empty) == 0 < len(longer)
        assert engine.join([empty], [Window(0, length, 0, 0)]) == Transcript("", (), (Window(0, length, 0, 0),))
    (some,) = _emissions(engine, [babble(1)[: 400 if family == "wav2vec2-group" else 2_400]], 1)
    assert len(some) >= 1


def _spell(letters: str) -> np.ndarray:
    """`_` is blank; the rest are tokens."""
    return np.array([LETTERS.index(letter) if letter != "_" else 0 for letter in letters], dtype=np.int32)


def test_words_and_their_times(folder: Callable[[str], Path]) -> None:
    """Frames of 20 ms; two windows of 10 frames, with strides of 2 around the seam at 0.16 s."""
    engine = CTCEngine(_config(), str(folder("wav2vec2-group")))
    windows = [Window(0, 3200, 0, 640), Window(1920, 5000, 640, 0)]
    transcript = engine.join([_spell("_HHI|_TOOX"), _spell("ZZO_|_BE_")], windows)
    # Kept: _HHI|_TO of the first, O_|_BE_ of the second; the O on either side of the seam is one.
    assert transcript.text == "HI TO BE"
    assert _words(transcript) == ["HI", "TO", "BE"]
    assert [word.window for word in transcript.words] == [0, 0, 1]
    assert [(word.start_s, word.end_s) for word in transcript.words] == [(0.02, 0.08), (0.12, 0.18), (0.24, 0.28)]
    assert [word.seam_s for word in transcript.words] == pytest.approx([0.11, 0.01, 0.10])
    assert transcript.windows == tuple(windows)


def test_no_word_ends_after_the_recording(folder: Callable[[str], Path]) -> None:
    """Parakeet makes 7.1 frames of 80 ms into 8."""
    engine = CTCEngine(_config(), str(folder("parakeet")))
    (emission,) = _emissions(engine, [babble(1)[:9_280]], 1)
    assert emission.shape == (8,)
    (word,) = engine.join([np.full(8, 1, np.int32)], [Window(0, 9_280, 0, 0)]).words
    assert (word.start_s, word.end_s) == (0.0, 0.58)


def test_word_times_are_those_of_the_tokenizer(folder: Callable[[str], Path], audio: Samples) -> None:
    engine = CTCEngine(_config(), str(folder("sew-group")))
    ours = _transcript(engine, audio, 30.0, 5.0)
    chunks = _pipeline(folder("sew-group"))(audio.copy(), return_timestamps="word")["chunks"]
    assert len(chunks) >= 10
    assert [(word.text, word.start_s, word.end_s) for word in ours.words] == [
        (chunk["text"], *chunk["timestamp"]) for chunk in chunks
    ]


def test_a_word_on_a_seam_is_not_cut(folder: Callable[[str], Path]) -> None:
    """The windows hear TEA a frame apart; between the strides that loses its T, at the silence before it nothing."""
    windows = [Window(0, 3200, 0, 640), Window(1920, 5120, 640, 0)]
    emissions = [_spell("I|DO__|_TE"), _spell("|TEA|NOW__")]
    path = str(folder("wav2vec2-group"))
    assert CTCEngine(_config(), path).join(emissions, windows).text == "I DO EA NOW"
    assert CTCEngine(_config(merge=Merge.aligned), path).join(emissions, windows).text == "I DO TEA NOW"


def test_words_of_windows_cut_at_silences_stay_apart(folder: Callable[[str], Path]) -> None:
    windows = [Window(0, 1000, 0, 0), Window(1111, 1800, 0, 0), Window(2000, 3000, 0, 0)]
    emissions = [_spell("HI_"), _spell("__"), _spell("YOU")]
    vad = _config(strategy=Strategy.vad, stride_length_s=0.0, merge=Merge.aligned)
    transcript = CTCEngine(vad, str(folder("wav2vec2-group"))).join(emissions, windows)
    assert transcript.text == "HI YOU"
    assert [(word.text, word.window) for word in transcript.words] == [("HI", 0), ("YOU", 2)]
    assert transcript.words[1].start_s == 2000 / RATE_HZ
    chunked = _config(stride_length_s=0.0, merge=Merge.aligned)
    assert CTCEngine(chunked, str(folder("wav2vec2-group"))).join(emissions, windows).text == "HIYOU"


def test_words_where_the_tokenizer_tidies_blanks_away(folder: Callable[[str], Path], tmp_path: Path) -> None:
    for file in folder("wav2vec2-group").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"clean_up_tokenization_spaces": True}))
    transcript = CTCEngine(_config(), str(tmp_path)).join([_spell("I|'|M|IN")], [Window(0, 2900, 0, 0)])
    assert transcript.text == "I'M IN"
    assert _words(transcript) == ["I", "'", "M", "IN"]


@pytest.fixture
def with_n_grams(folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model's folder with a 2-gram model beside it, as ``Wav2Vec2ProcessorWithLM`` keeps it."""
    pytest.importorskip("kenlm", reason="needs pip install kenlm")
    pyctcdecode = pytest.importorskip(
        "pyctcdecode", reason="needs pip install pygtrie, and pip install --no-deps pyctcdecode"
    )
    for file in folder("sew-group").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    words = ["D", "DRD", "I", "XB", "BZ"]
    arpa = tmp_path / "2gram.arpa"
    arpa.write_text(
        f"\\data\\\nngram 1={len(words) + 3}\nngram 2=1\n\n\\1-grams:\n-2\t<unk>\t0\n0\t<s>\t0\n-1\t</s>\t0\n"
        + "".join(f"-1\t{word}\t-0.1\n" for word in words)
        + "\n\\2-grams:\n-0.2\tD I\n\n\\end\\\n"
    )
    # The names that pyctcdecode gives blank, delimiter and unknown letter.
    renamed = {"<pad>": "", "|": " ", "<unk>": "\u2047"}
    decoder = pyctcdecode.build_ctcdecoder([renamed.get(letter, letter) for letter in LETTERS], str(arpa), words)
    decoder.save_to_dir(str(tmp_path))
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # of pyctcdecode, which is of 2023
def test_beam_search_over_n_grams_is_that_of_the_pipeline(with_n_grams: Path, audio: Samples) -> None:
    decoder = import_module("pyctcdecode").BeamSearchDecoderCTC.load_from_dir(str(with_n_grams))
    recognise = _pipeline(with_n_grams, decoder=decoder)
    assert recognise.type == "ctc_with_lm"
    engine = CTCEngine(_config(num_beams=20), str(with_n_grams))
    for chunk_s, stride_s in [(2.0, 0.5), (30.0, 5.0)]:
        ours = _transcript(engine, audio[: 4 * RATE_HZ], chunk_s, stride_s)
        theirs = recognise(
            audio[: 4 * RATE_HZ].copy(),
            chunk_length_s=chunk_s,
            stride_length_s=stride_s,
            decoder_kwargs={"beam_width": 20},
            return_timestamps="word",
        )
        assert ours.text == theirs["text"]
        assert _words(ours) == [chunk["text"] for chunk in theirs["chunks"]]
        greedy = _transcript(CTCEngine(_config(), str(with_n_grams)), audio[: 4 * RATE_HZ], chunk_s, stride_s)
        assert ours.text != greedy.text
        assert len(ours.words) >= 3


def test_beam_search_asks_for_what_is_not_installed(
    folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in folder("sew-group").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "language_model").mkdir()
    monkeypatch.setitem(sys.modules, "kenlm", None)  # Python's own way to say that a module cannot be imported
    with pytest.raises(ConfigError, match="install them with pip install kenlm pygtrie"):
        CTCEngine(_config(num_beams=20), str(tmp_path))


def test_random_weights_are_those_of_the_seed(folder: Callable[[str], Path], audio: Samples) -> None:
    config = _config()
    config = replace(config, model=replace(config.model, weights=Weights.random))

    def logits(seed: int) -> torch.Tensor:
        engine = CTCEngine(replace(config, seed=seed), str(folder("wav2vec2-layer")))
        with torch.inference_mode():
            found: torch.Tensor = engine._model(**engine.features([audio[:RATE_HZ]]).tensors).logits
        return found

    assert torch.equal(logits(1), logits(1))
    assert not torch.allclose(logits(1), logits(2))


def test_a_published_architecture_runs_without_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audio: Samples
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    name = "architecture/wav2vec2-base"
    config = Config(model=ModelConfig(name=name, weights=Weights.random), seed=3)
    engine = CTCEngine(config, str(locate(name, Weights.random).folder))
    assert engine._model.config._attn_implementation == "sdpa"
    window = audio[: 2 * RATE_HZ]
    (emission,) = _emissions(engine, [window], 1)
    assert emission.shape == (99,)  # (32000 - 400) / 320 + 1, rounded down: 25 ms every 20 ms
    spelled = AutoTokenizer.from_pretrained(engine._model.config._name_or_path).decode(emission)
    assert engine.join([emission], [Window(0, len(window), 0, 0)]).text == spelled


@pytest.mark.parametrize(
    ("setting", "error", "cure"),
    [
        ({"timestamps": True}, ConfigError, "use decode.timestamps=false"),
        ({"language": "en"}, ConfigError, "use decode.language=null"),
        ({"task": "transcribe"}, ConfigError, "use decode.task=null"),
        ({"temperature_fallback": True}, ConfigError, "use decode.temperature_fallback=false"),
        ({"num_beams": 4}, ConfigError, "use decode.num_beams=1"),
        ({"strategy": Strategy.sequential}, ImpossiblePoint, "use decode.strategy=chunked or vad"),
    ],
)
def test_what_no_ctc_model_can_do_is_refused(
    setting: dict[str, Any], error: type[BenchError], cure: str, folder: Callable[[str], Path]
) -> None:
    with pytest.raises(error, match=cure):
        CTCEngine(_config(**setting), str(folder("wav2vec2-group")))


@pytest.mark.parametrize("family", ["wavlm-group", "sew-d-layer"])
def test_attention_that_a_family_lacks_is_refused(family: str, folder: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"use model\.attention=eager"):
        CTCEngine(_config(attention=Attention.sdpa), str(folder(family)))


def test_sdpa_reads_as_eager_does(folder: Callable[[str], Path], audio: Samples) -> None:
    path = str(folder("wav2vec2-layer"))
    eager, sdpa = (CTCEngine(_config(attention=attention), path) for attention in (Attention.eager, Attention.sdpa))
    assert sdpa._model.config._attn_implementation == "sdpa"
    assert _transcript(sdpa, audio, 2.0, 0.5).text == _transcript(eager, audio, 2.0, 0.5).text


def test_a_model_without_a_head_is_refused(tmp_path: Path, folder: Callable[[str], Path]) -> None:
    """Pretraining alone leaves no head, and transformers would make one up."""
    config = FAMILIES["wav2vec2-layer"]()
    assert isinstance(config, Wav2Vec2Config)
    Wav2Vec2ForPreTraining(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks 2 of its weights \(lm_head\.bias"):
        CTCEngine(_config(), str(tmp_path))


@pytest.mark.parametrize("missing", ["model.safetensors", "preprocessor_config.json", "vocab.json"])
def test_an_incomplete_folder_is_named(missing: str, folder: Callable[[str], Path], tmp_path: Path) -> None:
    for file in folder("wav2vec2-group").iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match=r"model\.name=tiny cannot be loaded") as raised:
        CTCEngine(_config(), str(tmp_path))
    assert "\n" not in str(raised.value)
