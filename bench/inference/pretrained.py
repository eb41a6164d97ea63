"""Loading models and their processors: safetensors only, no code of the model's own, errors in one line."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer, GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME

from bench.config import Attention, Config, DType, Weights
from bench.errors import ConfigError, ModelError
from bench.inference.int8 import quantize

RANDOM_TOKENS_PER_S = 3.0
"""Tokens that a model with random weights is made to say for each second of a window, since it would end no text.

People say as many: 233 s of read English (LJ Speech) are 709 tokens to Whisper.
"""


def read_settings(config: Config, model_path: str) -> Any:
    """Read a model's own configuration.

    Raises:
        ModelError: It cannot be read.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        return AutoConfig.from_pretrained(model_path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _cannot_be_loaded(config.model.name, error) from error


def load_model(auto: Any, config: Config, model_path: str) -> Any:
    """Load a model with its trained weights, or build it with random ones seeded by ``seed``, onto its device.

    Args:
        auto: The library's class for the task, such as ``AutoModelForCTC``.
        config: The trial's configuration.
        model_path: Local folder or model-hub id.

    Raises:
        ModelError: It cannot be loaded, or weights are missing.
        ConfigError: Its family lacks ``model.attention``.
    """
    settings = read_settings(config, model_path)
    name, attention = config.model.name, config.model.attention
    if attention is Attention.sdpa and not auto._model_mapping[type(settings)]._supports_sdpa:
        raise ConfigError(
            f"{name} is of the family {settings.model_type!r}, which has eager attention only and cannot honour"
            " model.attention=sdpa; use model.attention=eager"
        )
    dtype = torch_dtype(config.model.dtype)
    try:
        if config.model.weights is Weights.random:
            torch.manual_seed(config.seed)
            model = auto.from_config(settings, attn_implementation=attention.value, trust_remote_code=False)
            if model.can_generate() and (Path(model_path) / GENERATION_CONFIG_NAME).is_file():
                model.generation_config = GenerationConfig.from_pretrained(model_path)
        else:
            model = _pretrained(auto, name, model_path, dtype, attention)
    except (OSError, ValueError) as error:
        raise _cannot_be_loaded(name, error) from error
    model = model.to(torch.device(config.device), dtype).eval()
    if config.model.dtype is DType.int8:
        quantize(model)
    return model


def torch_dtype(dtype: DType) -> torch.dtype:
    """Type of a model's tensors; with int8, of all but the matrices that are made into whole numbers."""
    return torch.float32 if dtype is DType.int8 else getattr(torch, dtype.value)


def load_extractor(config: Config, model_path: str) -> Any:
    """Load a model's feature extractor.

    Raises:
        ModelError: It cannot be loaded.
    """
    return _load(AutoFeatureExtractor, config, model_path)


def load_tokenizer(config: Config, model_path: str) -> Any:
    """Load a model's tokenizer.

    By itself, since ``AutoProcessor`` gives up on a folder with an n-gram model where pyctcdecode is missing.

    Raises:
        ModelError: It cannot be loaded.
    """
    return _load(AutoTokenizer, config, model_path)


def _load(auto: Any, config: Config, model_path: str) -> Any:
    try:
        return auto.from_pretrained(model_path, trust_remote_code=False)
    except (OSError, ValueError, TypeError, ImportError) as error:  # TypeError: a slow tokenizer's file is missing
        raise _cannot_be_loaded(config.model.name, error) from error


def _pretrained(auto: Any, name: str, model_path: str, dtype: torch.dtype, attention: Attention) -> Any:
    model, loading = auto.from_pretrained(
        model_path,
        dtype=dtype,
        attn_implementation=attention.value,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    # Used in training alone, and absent from many a published checkpoint.
    missing = sorted(key for key in loading["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise ModelError(
            f"model.name={name} lacks {len(missing)} of its weights ({missing[0]}, ...); give a checkpoint that was"
            " trained for speech recognition, or model.weights=random to measure its speed alone"
        )
    return model


def _cannot_be_loaded(name: str, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())
    return ModelError(
        f"model.name={name} cannot be loaded ({reason}); give a local folder with safetensors weights,"
        " a model-hub id this machine can reach, or model=whisper_tiny_en for the packaged one"
    )
