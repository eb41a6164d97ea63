"""Which decoding lets a model tell when each word was said."""

import dataclasses

from bench.config import Config, DecodeConfig, Engine, Merge, Parity, Strategy


def decoding_with_times(config: Config, model_path: str) -> DecodeConfig | None:
    """Find the decoding nearest to a configuration's own under which its model tells the times of words.

    CTC models tell them always. Whisper's are read off its attention, window by window, which the pipeline's merge and
    the long-form walk leave no place for; the walk's nearest kin are windows cut at silences.

    Args:
        config: The settings asked for.
        model_path: Folder of the model's files.

    Returns:
        The configuration's own decoding where it does; null where the model tells no times under any.

    Raises:
        ModelError: The model's own configuration cannot be read.
    """
    decode = config.decode
    if config.engine not in (Engine.transformers, Engine.faster_whisper, Engine.onnxruntime):
        return None
    if decode.parity is Parity.native:
        return None
    if config.engine == Engine.faster_whisper:  # all of its models are Whisper's, in a format that transformers lacks
        return dataclasses.replace(decode, merge=Merge.aligned)
    # transformers takes seconds to import, and the command line imports this module.
    from transformers import MODEL_FOR_CTC_MAPPING, WhisperConfig

    from bench.inference.pretrained import read_settings

    settings = read_settings(config, model_path)
    if type(settings) in MODEL_FOR_CTC_MAPPING:
        return decode
    if not isinstance(settings, WhisperConfig):
        return None
    if decode.strategy is Strategy.sequential:
        decode = dataclasses.replace(decode, strategy=Strategy.vad, stride_length_s=0.0)
    return dataclasses.replace(decode, merge=Merge.aligned)
