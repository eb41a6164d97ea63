from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bench.config import SpaceConfig
from bench.errors import ConfigError
from bench.search.space import Condition, Interval, Space, parse_space, refined


def parse(*arguments: str, preset: Mapping[str, Any] | None = None) -> Space:
    return parse_space(arguments, preset or {}, {"model", "decode"}.__contains__, OverridesParser.create())


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("decode.batch_size=1,2,4", (1, 2, 4)),
        ("decode.batch_size=choice(1,2,4)", (1, 2, 4)),
        ("decode.batch_size=range(1,4)", (1, 2, 3)),
        ("decode.batch_size=range(0,10,5)", (0, 5)),
        ("decode.batch_size=sort(4,1,2)", (1, 2, 4)),
        ("decode.stride_length_s=0.5,1", (0.5, 1)),
        ("decode.timestamps=true,false", (True, False)),
        ("decode.language=en,null,'en-GB, old'", ("en", None, "en-GB, old")),
    ],
)
def test_the_grammar_of_finite_sweeps_becomes_typed_values(override: str, values: tuple[Any, ...]) -> None:
    space = parse(override)
    (found,) = space.values.values()
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert (space.fixed, space.groups) == ((), {})


def test_what_has_one_value_is_fixed_and_kept_as_written() -> None:
    space = parse("decode.batch_size=4", "model=fake", "decode.language='a b'")
    assert space == Space(("decode.batch_size=4", "model=fake", "decode.language='a b'"), {}, {})


def test_groups_are_told_from_settings() -> None:
    space = parse("model=fake,whisper", "seed=1,2")
    assert space.groups == {"model": ("fake", "whisper")}
    assert space.values == {"seed": (1, 2)}
    assert space.described() == {"model": ["fake", "whisper"], "seed": [1, 2]}


@pytest.mark.parametrize("written", ["[15, 20]", '"15,20"', "'choice(15, 20)'", "range(15, 21, 5)"])
def test_a_preset_may_list_values_as_yaml_or_in_the_grammar_of_the_command_line(written: str) -> None:
    preset = OmegaConf.create({"decode.chunk_length_s": yaml.safe_load(written)})
    assert parse(preset=preset).values == {"decode.chunk_length_s": (15, 20)}


def test_a_preset_list_keeps_nulls_and_truth_values() -> None:
    preset = OmegaConf.create({"decode.language": ["en", None], "decode.timestamps": [True, False]})
    assert parse(preset=preset).values == {"decode.language": ("en", None), "decode.timestamps": (True, False)}


def test_the_command_line_wins_over_a_preset() -> None:
    preset = {"seed": "1,2,3", "decode.batch_size": "1,2"}
    space = parse("seed=7", preset=preset)
    assert space.fixed == ("seed=7",)
    assert space.values == {"decode.batch_size": (1, 2)}
    assert parse("seed=8,9", preset=preset).values == {"decode.batch_size": (1, 2), "seed": (8, 9)}


def test_a_preset_with_one_value_fixes_it() -> None:
    assert parse(preset={"seed": 5}).fixed == ("seed=5",)


@pytest.mark.parametrize(
    ("override", "domain"),
    [
        ("decode.chunk_length_s=interval(1,30)", Interval(1, 30)),
        ("decode.chunk_length_s=int(interval(1,30))", Interval(1, 30, whole=True)),
        ("decode.chunk_length_s=tag(log,interval(0.1,1))", Interval(0.1, 1, log=True)),
        # These settings take whole numbers only.
        ("decode.batch_size=interval(1,64)", Interval(1, 64, whole=True)),
        ("threads=tag(log,interval(1,8))", Interval(1, 8, log=True, whole=True)),
    ],
)
def test_an_interval_becomes_bounds(override: str, domain: Interval) -> None:
    space = parse(override)
    assert list(space.values.values()) == [domain]
    # As it is described, it can be asked for again.
    (key,) = space.values
    (written,) = space.described()[key]
    assert parse(f"{key}={written}").values == space.values


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("decode.chunk_length_s=interval(30,5)", "the lower bound first"),
        ("decode.chunk_length_s=tag(log,interval(0,5))", "two bounds above 0"),
        ("threads=interval(1.5,4)", "give whole bounds"),
        ("model=interval(1,2)", "list its choices"),
    ],
)
def test_an_interval_that_holds_nothing_is_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(override)
    assert override in str(caught.value)


def test_settings_may_vary_together() -> None:
    space = refined(
        parse("decode.batch_size=1,2"),
        SpaceConfig(combine=[{"decode.chunk_length_s": 10, "seed": 1}, {"decode.chunk_length_s": 30, "seed": 2}]),
    )
    assert space.names == ("decode.chunk_length_s", "seed", "decode.batch_size")
    assert space.described() == {"decode.chunk_length_s": [10, 30], "seed": [1, 2], "decode.batch_size": [1, 2]}


def test_a_condition_names_another_setting_its_values_and_what_holds_elsewhere() -> None:
    space = refined(
        parse("decode.stride_length_s=1,2", "decode.strategy=chunked,vad,sequential"),
        SpaceConfig(when=["decode.stride_length_s if decode.strategy=chunked|vad else 0", "threads if device=cpu"]),
    )
    # threads does not vary here, so nothing is said of it.
    assert space.conditions == {"decode.stride_length_s": Condition("decode.strategy", ("chunked", "vad"), (0,))}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (SpaceConfig(combine=[{"seed": 1}, {"threads": 1}]), "must set the same settings"),
        (SpaceConfig(combine=[{}]), "at least one"),
        (SpaceConfig(combine=[{"decode.batch_size": 1}]), "varies by itself and in search.space.combine"),
        (SpaceConfig(when=["seed when device=cpu"]), "is no condition"),
        (SpaceConfig(when=["sed if device=cpu"]), "sed is no setting"),
        (SpaceConfig(when=["seed if devise=cpu"]), "devise is no setting"),
        (SpaceConfig(when=["seed if threads=1", "threads if device=cpu"]), "drop one"),
    ],
)
def test_a_space_that_contradicts_itself_is_refused(config: SpaceConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refined(parse("decode.batch_size=1,2"), config)
