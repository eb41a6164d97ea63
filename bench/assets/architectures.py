"""Well-known architectures as folders of configuration alone, to be run with random weights and without a download.

Time and memory depend on a model's shape and not on its numbers, but for how long a text a sequence-to-sequence model
happens to write. Sizes are those of each published ``config.json``, extraction settings those of its
``preprocessor_config.json``; what they leave to transformers' defaults is left to them here. Whisper's are also in
table 1 of Radford et al. 2022 (arXiv 2212.04356), Moonshine's in table 1 of Jeffries et al. 2024 (arXiv 2410.15608).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench.assets.cache import cache_root, publish

PREFIX: Final = "architecture/"

_RATE_HZ = 16_000

_LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")  # facebook/wav2vec2-base-960h

# Of Whisper, in the order of their tokens (OpenAI's whisper/tokenizer.py); the last came with large-v3.
_LANGUAGES = """
en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk
te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo
ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue
"""

Files = Mapping[str, Mapping[str, Any]]
"""The JSON content of each file of a folder, by its name."""


def is_architecture(name: str) -> bool:
    """Whether a model's name asks for an architecture: ``architecture/...``, known or not."""
    return name.startswith(PREFIX)


def ensure_architecture(name: str) -> Path:
    """Provide the folder of an architecture, in the user's cache.

    Args:
        name: One of :data:`ARCHITECTURES`.

    Returns:
        The folder: ``config.json``, ``preprocessor_config.json``, a tokenizer for CTC, ``generation_config.json`` for
        the rest; no weights.

    Raises:
        AssetError: The cache cannot be written.
        KeyError: There is no such architecture.
    """
    files = {file: json.dumps(content, indent=2) for file, content in ARCHITECTURES[name].items()}
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]

    def build(folder: Path) -> None:
        for file, content in files.items():
            (folder / file).write_text(content, encoding="utf-8", newline="\n")

    return publish(cache_root() / "architectures" / f"{name.removeprefix(PREFIX)}-{digest}", build)


def _raw_audio(normalized: bool, masked: bool) -> dict[str, Any]:
    return {
        "do_normalize": normalized,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": masked,
        "sampling_rate": _RATE_HZ,
    }


def _ctc(family: str, model_class: str, large: bool, **extraction: bool) -> Files:
    """A wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477, section 4.2), or one of its kin, of either size."""
    shape = (1024, 24, 16, 4096) if large else (768, 12, 12, 3072)
    sizes = zip(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"), shape, strict=True)
    return {
        "config.json": {
            "architectures": [model_class],
            "model_type": family,
            **dict(sizes),
            "conv_bias": large,
            "conv_dim": [512] * 7,
            "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
            "conv_stride": [5, 2, 2, 2, 2, 2, 2],
            "do_stable_layer_norm": large,
            "feat_extract_norm": "layer" if large else "group",
            "num_conv_pos_embedding_groups": 16,
            "num_conv_pos_embeddings": 128,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            "vocab_size": len(_LETTERS),
        },
        "preprocessor_config.json": _raw_audio(**extraction),
        "tokenizer_config.json": {
            "tokenizer_class": "Wav2Vec2CTCTokenizer",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "word_delimiter_token": "|",
            "do_lower_case": False,
        },
        "vocab.json": {letter: number for number, letter in enumerate(_LETTERS)},
    }


def _demo() -> Files:
    """A wav2vec 2.0 small enough to be trained from nothing on a processor: 4 million numbers.

    Its first convolution takes 20 samples a step where the published ones take 5: that is where their time goes. Its
    frames are 40 ms and theirs 20 ms: enough for the letters of fast speech, and half the work of what comes after.
    """
    letters = ("<pad>", "<s>", "</s>", "<unk>", "|", "'", *"abcdefghijklmnopqrstuvwxyz")
    files = dict(_ctc("wav2vec2", "Wav2Vec2ForCTC", large=True, normalized=True, masked=True))
    files["config.json"] = {
        **files["config.json"],
        "hidden_size": 256,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "intermediate_size": 768,
        "conv_dim": [96, 128, 192, 256, 256],
        "conv_kernel": [64, 8, 3, 3, 3],
        "conv_stride": [20, 4, 2, 2, 2],
        "num_feat_extract_layers": 5,
        "num_conv_pos_embeddings": 32,
        "num_conv_pos_embedding_groups": 8,
        **dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0),
        **dict.fromkeys(("final_dropout", "layerdrop"), 0.0),
        "vocab_size": len(letters),
    }
    files["vocab.json"] = {letter: number for number, letter in enumerate(letters)}
    return files


def _whisper(width: int, layers: int, heads: int, decoder_layers: int | None = None, third: bool = False) -> Files:
    """A multilingual Whisper; ``third`` is large-v3 and what descends from it: more mel bins, and one more language."""
    end, start = 50_257, 50_258
    languages = _LANGUAGES.split()[: None if third else -1]
    translate = start + len(languages) + 1
    # After the tasks: <|startoflm|>, <|startofprev|>, <|nospeech|>, <|notimestamps|>, and 1501 times of 0.02 s.
    no_timestamps = translate + 5
    tokens = {
        "begin_suppress_tokens": [220, end],
        "bos_token_id": end,
        "decoder_start_token_id": start,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    mel_bins = 128 if third else 80
    return {
        "config.json": {
            "architectures": ["WhisperForConditionalGeneration"],
            "model_type": "whisper",
            "d_model": width,
            "encoder_layers": layers,
            "encoder_attention_heads": heads,
            "encoder_ffn_dim": 4 * width,
            "decoder_layers": decoder_layers or layers,
            "decoder_attention_heads": heads,
            "decoder_ffn_dim": 4 * width,
            "num_mel_bins": mel_bins,
            "max_source_positions": 1500,
            "max_target_positions": 448,
            "vocab_size": no_timestamps + 1 + 1501,
            **tokens,
        },
        "generation_config.json": {
            **tokens,
            "is_multilingual": True,
            "lang_to_id": {f"<|{code}|>": start + 1 + number for number, code in enumerate(languages)},
            "task_to_id": {"translate": translate, "transcribe": translate + 1},
            "prev_sot_token_id": translate + 3,
            "no_timestamps_token_id": no_timestamps,
            "max_initial_timestamp_index": 50,
            "max_length": 448,
            "return_timestamps": False,
        },
        "preprocessor_config.json": {
            "chunk_length": 30,  # seconds
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": mel_bins,
            "hop_length": 160,  # samples
            "n_fft": 400,  # samples
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": False,
            "sampling_rate": _RATE_HZ,
        },
    }


def _moonshine(width: int, layers: int, rotary: float) -> Files:
    tokens = {"bos_token_id": 1, "decoder_start_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    return {
        "config.json": {
            "architectures": ["MoonshineForConditionalGeneration"],
            "model_type": "moonshine",
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "encoder_num_hidden_layers": layers,
            "decoder_num_hidden_layers": layers,
            "encoder_num_attention_heads": 8,
            "decoder_num_attention_heads": 8,
            "max_position_embeddings": 194,
            "pad_head_dim_to_multiple_of": 8,
            "partial_rotary_factor": rotary,
            "vocab_size": 32_768,
            **tokens,
        },
        "generation_config.json": {**tokens, "max_length": 194},
        "preprocessor_config.json": _raw_audio(normalized=False, masked=True),
    }


_BY_SHORT_NAME: dict[str, Files] = {
    # facebook/wav2vec2-base-960h, facebook/wav2vec2-large-960h-lv60-self, facebook/hubert-large-ls960-ft
    "wav2vec2-base": _ctc("wav2vec2", "Wav2Vec2ForCTC", large=False, normalized=True, masked=False),
    "wav2vec2-large-lv60": _ctc("wav2vec2", "Wav2Vec2ForCTC", large=True, normalized=True, masked=True),
    "hubert-large": _ctc("hubert", "HubertForCTC", large=True, normalized=True, masked=True),
    # microsoft/wavlm-base-plus, with the letters of wav2vec2-base
    "wavlm-base-plus": _ctc("wavlm", "WavLMForCTC", large=False, normalized=False, masked=True),
    "wav2vec2-demo": _demo(),
    # openai/whisper-*, distil-whisper/distil-large-v3
    "whisper-tiny": _whisper(384, 4, 6),
    "whisper-base": _whisper(512, 6, 8),
    "whisper-small": _whisper(768, 12, 12),
    "whisper-medium": _whisper(1024, 24, 16),
    "whisper-large-v3": _whisper(1280, 32, 20, third=True),
    "whisper-large-v3-turbo": _whisper(1280, 32, 20, decoder_layers=4, third=True),
    "distil-large-v3": _whisper(1280, 32, 20, decoder_layers=2, third=True),
    # UsefulSensors/moonshine-*
    "moonshine-tiny": _moonshine(288, 6, 0.9),
    "moonshine-base": _moonshine(416, 8, 0.62),
}

ARCHITECTURES: Final[Mapping[str, Files]] = MappingProxyType(
    {f"{PREFIX}{name}": files for name, files in _BY_SHORT_NAME.items()}
)
"""The files of every architecture, by what the user writes as ``model.name``."""
