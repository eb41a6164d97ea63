"""What is small enough to be trained within a test: a CTC model of 270,000 numbers, and sentences of four words."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

from bench.assets.architectures import ensure_architecture
from bench.config import (
    Config,
    DataConfig,
    DataSource,
    DecodeConfig,
    FinetuneConfig,
    MemoryConfig,
    ModelConfig,
    Precision,
    Task,
    Weights,
)
from bench.data.dataset import load_dataset
from bench.records import Utterance

SHAPE: dict[str, Any] = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 192,
    "conv_dim": [32, 48, 64, 96, 96],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}

SENTENCES = tuple(" ".join(words) for words in permutations(("yes", "no", "more", "stop"), 3))
"""Twenty-four of three words each, all different."""


def save_architecture(folder: Path, **changes: Any) -> Path:
    """Save the demo's CTC model, made smaller, without weights; returns the folder."""
    shutil.copytree(ensure_architecture("architecture/wav2vec2-demo"), folder, dirs_exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **SHAPE, **changes}))
    return folder


def speak(file: Path, sentences: Sequence[str]) -> tuple[Utterance, ...]:
    """Write sentences to a file, and have espeak-ng speak them."""
    file.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return load_dataset(DataConfig(source=DataSource.synthetic, path=str(file))).utterances


def settings(weights: Weights = Weights.random, **finetune: Any) -> Config:
    """A training of few steps in float32, on all data at once."""
    asked = {
        "learning_rate": 3e-3,
        "max_steps": 3,
        "batch_size": 4,
        "evaluations": 1,
        "memory": MemoryConfig(device_batch_size=4, precision=Precision.float32),
    }
    return Config(
        task=Task.finetune,
        model=ModelConfig(name="tiny", weights=weights),
        decode=DecodeConfig(stride_length_s=0.0),
        finetune=replace(FinetuneConfig(), **{**asked, **finetune}),
    )
