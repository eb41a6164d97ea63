"""Tiny CTC models of every family, saved as folders, whose random heads say many different letters."""

import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import (
    AutoModelForCTC,
    Data2VecAudioConfig,
    HubertConfig,
    LasrCTCConfig,
    LasrFeatureExtractor,
    LasrTokenizer,
    ParakeetCTCConfig,
    ParakeetFeatureExtractor,
    ParakeetTokenizer,
    SeamlessM4TFeatureExtractor,
    SEWConfig,
    SEWDConfig,
    UniSpeechConfig,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    Wav2Vec2ConformerConfig,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
)

RATE_HZ = 16_000

LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
"""The vocabulary of facebook/wav2vec2-base-960h."""

SUBWORDS = ("<unk>", *(f"\u2581{letter}" for letter in "THESANDOW"), *"ETAONIHSRDLUMWCFGYPB", "<pad>")

_SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": len(LETTERS),
    "pad_token_id": 0,
}
_CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": [32] * 7,
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
_RAW = _SMALL | _CONVOLUTIONS
_LAYER = _RAW | {"feat_extract_norm": "layer"}


_SPECTROGRAM: dict[str, Any] = {
    "vocab_size": len(SUBWORDS),
    "pad_token_id": len(SUBWORDS) - 1,
    "encoder_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "subsampling_conv_channels": 16,
        "initializer_range": 0.3,  # with the usual 0.02 the audio drowns in the biases
    },
}

FAMILIES: MappingProxyType[str, Callable[[], Any]] = MappingProxyType(
    {
        "wav2vec2-group": lambda: Wav2Vec2Config(**_RAW),
        "wav2vec2-layer": lambda: Wav2Vec2Config(**_LAYER, do_stable_layer_norm=True),
        "wav2vec2-adapter": lambda: Wav2Vec2Config(**_LAYER, add_adapter=True, num_adapter_layers=1),
        "hubert-group": lambda: HubertConfig(**_RAW),
        "hubert-layer": lambda: HubertConfig(**_LAYER, do_stable_layer_norm=True),
        "hubert-batch-norm": lambda: HubertConfig(**_LAYER, conv_pos_batch_norm=True),
        "wavlm-group": lambda: WavLMConfig(**_RAW),
        "wavlm-layer": lambda: WavLMConfig(**_LAYER, do_stable_layer_norm=True),
        "unispeech-layer": lambda: UniSpeechConfig(**_LAYER),
        "sew-group": lambda: SEWConfig(**_RAW, squeeze_factor=2),
        "sew-d-layer": lambda: SEWDConfig(**_LAYER, squeeze_factor=2, max_position_embeddings=64, position_buckets=32),
        "data2vec": lambda: Data2VecAudioConfig(**_RAW | {"num_conv_pos_embeddings": 5}),
        "wav2vec2-conformer": lambda: Wav2Vec2ConformerConfig(**_LAYER),
        "wav2vec2-bert": lambda: Wav2Vec2BertConfig(**_SMALL),
        "wav2vec2-bert-adapter": lambda: Wav2Vec2BertConfig(**_SMALL, add_adapter=True),
        "lasr": lambda: LasrCTCConfig(**_SPECTROGRAM),
        "parakeet": lambda: ParakeetCTCConfig(**_SPECTROGRAM),
    }
)


def save(family: str, folder: Path) -> Path:
    """Save a tiny model of a family with its processor; returns the folder."""
    config = FAMILIES[family]()
    torch.manual_seed(0)
    model = AutoModelForCTC.from_config(config, attn_implementation="eager").eval()
    extractor, tokenizer = _processor(family, folder)
    _shake(model)
    _spread(model, extractor)
    for part in (model, extractor, tokenizer):
        part.save_pretrained(folder)
    return folder


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose colour and loudness change ten times a second, with silences; shape ``(samples,)``."""
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(int(seconds * 10) + 1):
        tone = np.sin(2 * np.pi * random.uniform(80, 4000) * np.arange(RATE_HZ // 10) / RATE_HZ)
        noise = random.standard_normal(RATE_HZ // 10)
        parts.append(random.choice([0.0, 0.05, 0.3]) * (tone * random.uniform() + noise * random.uniform()))
    return np.concatenate(parts)[: round(seconds * RATE_HZ)].astype(np.float32)


def _processor(family: str, folder: Path) -> tuple[Any, Any]:
    if family in ("parakeet", "lasr"):
        extractor = ParakeetFeatureExtractor() if family == "parakeet" else LasrFeatureExtractor()
        return extractor, _subword_tokenizer(family)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(LETTERS)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    if family.startswith("wav2vec2-bert"):
        return SeamlessM4TFeatureExtractor(padding_value=1), tokenizer
    return Wav2Vec2FeatureExtractor(return_attention_mask="group" not in family), tokenizer


def _subword_tokenizer(family: str) -> Any:
    vocabulary = {piece: number for number, piece in enumerate(SUBWORDS)}
    if family == "lasr":
        return LasrTokenizer(
            vocab=[(piece, -float(number)) for piece, number in vocabulary.items()],
            unk_token="<unk>",
            pad_token="<pad>",
        )
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    backend.decoder = decoders.Metaspace()
    return ParakeetTokenizer(tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>")


def _shake(model: Any) -> None:
    """Move biases and norms off their initial zeros and ones, lest padding with zeros be harmless by chance."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.3 * torch.randn(buffer.shape, generator=generator)


def _spread(model: Any, extractor: Any) -> None:
    """Scale and shift the head so that no class wins always: each class's logit gets mean 0 and variance 1."""
    inputs = extractor(babble(20), sampling_rate=RATE_HZ, return_tensors="pt", return_attention_mask=True)
    head = model.ctc_head if hasattr(model, "ctc_head") else model.lm_head
    with torch.no_grad():
        logits = model(**inputs).logits[0]
        mean, scale = logits.mean(dim=0), logits.std(dim=0) + 1e-6
        head.weight /= scale.view(-1, *[1] * (head.weight.ndim - 1))
        head.bias.copy_((head.bias - mean) / scale)
