"""The engine passes the tests that asr-sweep asks of every engine."""

from bench.config import Config, ModelConfig
from bench.inference.conformance import EngineConformance


class TestPocketSphinx(EngineConformance):
    """The packaged model."""

    config = Config(engine="pocketsphinx", model=ModelConfig(name="pocketsphinx/en-us"))
    packages = ("pocketsphinx",)
