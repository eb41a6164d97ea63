"""Which engine a configuration asks for, loaded on its device."""

from bench.config import Config, Engine
from bench.inference import engine, fake


def load_engine(config: Config, model_path: str) -> engine.Engine:
    """Load the model of a configuration.

    Args:
        config: The trial's configuration.
        model_path: What ``model.name`` resolved to: a local folder or a model-hub id.

    Raises:
        ModelError: The model cannot be loaded.
        ConfigError: The model cannot honour a setting.
    """
    match config.engine:
        case Engine.fake:
            return fake.FakeEngine(config.model.name)
        case Engine.transformers:
            # torch and transformers take seconds to import, and the driver imports this module.
            from bench.inference import seq2seq

            return seq2seq.WhisperEngine(config, model_path)
