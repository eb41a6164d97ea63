"""The engine ``transformers``: what suits the family of a model, loaded on its device."""

from bench.config import Config, Parity
from bench.errors import ModelError
from bench.inference.engine import Engine


def load(config: Config, model_path: str) -> Engine:
    """Load the model of a configuration.

    Args:
        config: The trial's configuration.
        model_path: What ``model.name`` resolved to: a local folder or a model-hub id.

    Raises:
        ModelError: The model cannot be loaded, or its family is not supported.
        ConfigError: The model cannot honour a setting.
        ImpossiblePoint: The model cannot honour a combination of settings that a grid may well produce.
    """
    # torch and transformers take seconds to import, and the driver imports this module.
    from transformers import MODEL_FOR_CTC_MAPPING, MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING, WhisperConfig

    from bench.inference import ctc, native, pretrained, seq2seq, whisper

    settings = pretrained.read_settings(config, model_path)
    known = type(settings) in MODEL_FOR_CTC_MAPPING or type(settings) in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING
    if known and config.decode.parity is Parity.native:
        return native.PipelineEngine(config, model_path)
    if isinstance(settings, WhisperConfig):
        return whisper.WhisperEngine(config, model_path)
    if type(settings) in MODEL_FOR_CTC_MAPPING:
        return ctc.CTCEngine(config, model_path)
    if type(settings) in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING:
        return seq2seq.Seq2SeqEngine(config, model_path)
    raise ModelError(
        f"model.name={config.model.name} is of the family {settings.model_type!r}, which transformers does not list for"
        " speech recognition; name a CTC model (wav2vec2, HuBERT, ...) or a speech-to-text model (Whisper, Moonshine)"
    )
