"""From a name to an engine: those of the harness, those of other packages, and what is said where neither has it."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from bench.config import Config, DecodeConfig, DType, Engine, ModelConfig, Strategy
from bench.config.engines import engine_names
from bench.errors import ConfigError, ImpossiblePoint
from bench.inference import engines
from bench.inference.engines import engine_version, finds_own_models, honoured, load_engine
from bench.inference.fake import FakeEngine
from bench.inference.parity import refusals
from bench.search.compose import compose
from bench.validation import validate

Offer = Callable[..., None]

MINE = """
from bench.inference.fake import FakeEngine

def load(config, model_path):
    return FakeEngine("fake/half")

load.honours = {"decode.strategy": {"chunked", "vad"}, "decode.language": None}
load.own_models = True
load.packages = ("numpy", "no-such-package")
"""


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    """Make `offer(code, name, package)`: install a package that offers an engine `load`."""

    def install(code: str, name: str = "mine", package: str = "my-package") -> None:
        folder = tmp_path / package
        module = f"{package.replace('-', '_')}_{abs(hash(tmp_path))}"
        about = folder / f"{package.replace('-', '_')}-1.2.dist-info"
        about.mkdir(parents=True)
        (folder / f"{module}.py").write_text(code)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (about / "entry_points.txt").write_text(f"[asr_sweep.engines]\n{name} = {module}:load\n")
        monkeypatch.syspath_prepend(str(folder))

    engines._loader.cache_clear()
    yield install
    engines._loader.cache_clear()


def test_the_names_are_those_of_the_table() -> None:
    assert set(engines._BUILT_IN) == set(Engine)
    assert set(engine_names()) >= set(Engine)


def test_an_engine_of_another_package(offer: Offer) -> None:
    offer(MINE)
    config = Config(engine="mine", model=ModelConfig(name="anything"))
    validate(config)
    assert "mine" in engine_names()
    assert type(load_engine(config, "")) is FakeEngine
    assert finds_own_models("mine")
    assert honoured("mine")["decode.language"] is None
    told = engine_version("mine")
    assert told is not None
    assert told.startswith("my-package 1.2, numpy ")
    assert "no-such-package" not in told


def test_it_is_asked_for_what_it_lists_and_for_defaults(offer: Offer) -> None:
    offer(MINE)
    config = Config(engine="mine", decode=DecodeConfig(language="cy", chunk_length_s=7.0, batch_size=3))
    assert refusals(config) == []
    vad = DecodeConfig(strategy=Strategy.vad, stride_length_s=0.0)
    assert refusals(Config(engine="mine", decode=vad)) == []
    greedy = Config(engine="mine", decode=DecodeConfig(num_beams=5), model=ModelConfig(dtype=DType.float16))
    assert {one.setting for one in refusals(greedy)} == {"decode.num_beams", "model.dtype"}
    assert [one.setting for one in refusals(Config(engine="mine", device="cuda"))] == ["device"]


def test_an_engine_that_says_nothing_takes_files_and_defaults(offer: Offer) -> None:
    offer("load = lambda config, model_path: None")
    assert not finds_own_models("mine")
    assert honoured("mine") == {}
    assert refusals(Config(engine="mine")) == []
    assert engine_version("mine") == "my-package 1.2"


def test_a_name_that_nobody_offers(offer: Offer) -> None:
    offer(MINE)
    with pytest.raises(ConfigError, match=r"engine=yours is unknown; use one of transformers, .*fake, mine"):
        validate(Config(engine="yours"))
    with pytest.raises(ConfigError, match="engine=yours is unknown"):
        load_engine(Config(engine="yours"), "")


def test_a_name_that_two_packages_offer(offer: Offer) -> None:
    offer(MINE)
    offer(MINE, package="your-package")
    with pytest.raises(ConfigError, match=r"(?s)my-package 1\.2.*uninstall all but one") as told:
        load_engine(Config(engine="mine"), "")
    assert "your-package 1.2" in str(told.value)


def test_an_engine_of_the_harness_is_not_replaced(offer: Offer) -> None:
    offer("raise RuntimeError('imported')", name="fake")
    config = Config(engine=Engine.fake, model=ModelConfig(name="fake/ok"))
    assert type(load_engine(config, "")) is FakeEngine


def test_a_package_that_cannot_be_imported_is_a_point_that_cannot_be(offer: Offer) -> None:
    offer("import no_such_module_at_all")
    with pytest.raises(
        ImpossiblePoint, match=r"engine=mine cannot be imported .*no_such_module_at_all.*my-package 1\.2"
    ):
        load_engine(Config(engine="mine"), "")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("load = 3", r"is of type int; it must be a class or function"),
        ("def load(config, path): ...\nload.honours = ['decode.language']", r"honours is of type list; it must map"),
    ],
)
def test_what_is_no_engine_is_said_to_be_none(offer: Offer, code: str, message: str) -> None:
    offer(code)
    with pytest.raises(ConfigError, match=message):
        honoured("mine")


def test_the_versions_of_the_harness_s_own_engines_name_their_packages() -> None:
    assert engine_version(Engine.transformers) == f"transformers {version('transformers')}, torch {version('torch')}"
    assert not finds_own_models(Engine.transformers)
    assert finds_own_models(Engine.fake)


def test_an_engine_that_is_not_installed_is_set_aside_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"onnx", "onnxscript"}
    monkeypatch.setattr(engines, "version", lambda name: None if name in lacking else "1.0")
    engines.why_absent.cache_clear()
    study = compose(["-m", "engine=transformers,onnxruntime", "model.dtype=float32", "decode.batch_size=2,4"])
    engines.why_absent.cache_clear()
    assert study is not None
    assert [point.engine for point in study.grid.points] == ["transformers", "transformers"]
    told = "engine=onnxruntime is not there: onnx and onnxscript are not installed; run: pip install 'asr-sweep[onnx]'"
    assert [point.reason for point in study.grid.skipped] == [told, told]


def test_nothing_is_known_to_be_absent_of_other_engines() -> None:
    assert engines.why_absent("transformers") is None
    assert engines.why_absent("an engine of another package") is None
