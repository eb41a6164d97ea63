import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bench.errors import ConfigError
from bench.search.space import Space, parse_space


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


@pytest.mark.parametrize("values", ["interval(1,30)", "tag(log,interval(0.1,1))"])
def test_an_interval_is_refused_with_the_finite_forms(values: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"decode.chunk_length_s={values}")
    assert f"decode.chunk_length_s={values}" in str(caught.value)
    assert "decode.chunk_length_s=1,2,3" in str(caught.value)
    assert "range(start,stop,step)" in str(caught.value)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("seed=range(3,3) is empty; give at least one value")):
        parse("seed=range(3,3)")
