"""Loading a CTC model of any family, and what its configuration tells about its frames."""

from importlib import import_module
from pathlib import Path
from typing import Any

from bench.config import Config
from bench.errors import ConfigError, ModelError

_LANGUAGE_MODEL = "language_model"  # pyctcdecode's name for the folder of an n-gram model


def load_beam_search(config: Config, model_path: str) -> Any:
    """Load the n-gram beam search of a ``Wav2Vec2ProcessorWithLM`` folder, as the pipeline's ``ctc_with_lm`` does.

    Raises:
        ConfigError: The model has no n-gram model, or pyctcdecode is not installed.
    """
    asked = f"decode.num_beams={config.decode.num_beams}"
    if not (Path(model_path) / _LANGUAGE_MODEL).is_dir():
        raise ConfigError(
            f"{asked}, but {config.model.name} has no n-gram model ({_LANGUAGE_MODEL}/) and a CTC model without one is"
            " decoded greedily; use decode.num_beams=1"
        )
    try:
        import_module("kenlm")  # pyctcdecode only warns where it is missing
        decoder = import_module("pyctcdecode").BeamSearchDecoderCTC
    except ImportError as error:
        raise ConfigError(
            f"{asked} needs pyctcdecode and kenlm ({error}); install them with pip install kenlm pygtrie and"
            " pip install --no-deps pyctcdecode (its metadata asks for numpy 1), or use decode.num_beams=1"
        ) from error
    return decoder.load_from_dir(model_path)


def samples_per_frame(config: Config, settings: Any, extractor: Any) -> int:
    """Samples that an output frame covers, by which the pipeline aligns windows and strides.

    That is ``inputs_to_logits_ratio``, with two corrections. Models with an ``encoder_config`` read spectrograms and
    count in rows of them, ``hop_length`` samples each: Lasr by its ratio, Parakeet, which has none, by its encoder's
    ``subsampling_factor``. And the ratio of a model of samples leaves its adapter out. The pipeline knows the first
    correction for Lasr alone; for Parakeet, and with such an adapter, it trims far more than the strides.

    Args:
        config: The trial's configuration.
        settings: The model's own configuration.
        extractor: Its feature extractor.

    Raises:
        ModelError: The configuration tells neither.
    """
    encoder = getattr(settings, "encoder_config", None)
    ratio = getattr(settings, "inputs_to_logits_ratio", None) or getattr(encoder, "subsampling_factor", None)
    if ratio is None:
        raise ModelError(
            f"model.name={config.model.name}: the configuration of the family {settings.model_type!r} does not tell"
            " how many samples a frame covers, so windows cannot be joined; use a model of another family"
        )
    if encoder is not None:
        ratio *= extractor.hop_length
    elif getattr(settings, "add_adapter", False) and hasattr(settings, "conv_stride"):
        ratio *= settings.adapter_stride**settings.num_adapter_layers
    return int(ratio)


def mixes_lengths(settings: Any) -> bool:
    """Whether windows of different lengths may share a batch: whether padding, masked, leaves a model's output alone.

    Found by experiment for every family (``tests/inference/test_ctc.py``). Padding leaks through what looks
    beyond the mask: a group norm over time (wav2vec2-base), a batch norm before or a norm between the convolutions
    that encode positions (some HuBERT, data2vec), convolutions within the encoder that heed no mask
    (wav2vec2-conformer), adapters and squeezing (SEW), which put frames of both sides into one.

    Args:
        settings: The model's own configuration.
    """
    if getattr(settings, "add_adapter", False) or getattr(settings, "squeeze_factor", 1) > 1:
        return False
    if not hasattr(settings, "conv_kernel"):
        return True  # Models of spectrograms mask every one of their convolutions.
    if getattr(settings, "feat_extract_norm", None) != "layer":
        return (
            False  # Data2vec tells no norm: it has layer norms before, and others between, its position convolutions.
        )
    return not any(getattr(settings, leak, False) for leak in ("conv_depthwise_kernel_size", "conv_pos_batch_norm"))
