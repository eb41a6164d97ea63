import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from bench.config import Config
from bench.errors import ConfigError
from bench.search.grid import Grid, enumerate_grid
from bench.search.points import Points, to_config
from bench.search.space import Condition, Space

CHUNKS_S = (5, 10, 20)
STRIDES_S = (0, 2, 5)


def schema() -> DictConfig:
    """The typed schema, writable in every part."""
    config: DictConfig = OmegaConf.structured(Config)
    for node in (config, *(config._get_node(key) for key in config)):
        if isinstance(node, DictConfig):
            OmegaConf.set_readonly(node, False)
    return config


class Composer:
    """Stands where Hydra does: knows one group, lays overrides over the schema, and remembers what it was asked."""

    groups: Mapping[str, Mapping[str, Any]] = {
        "model=small": {"model.name": "small", "model.max_window_s": 10.0},
        "model=large": {"model.name": "large", "model.max_window_s": None},
    }

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        self.calls.append(tuple(overrides))
        config = schema()
        for override in overrides:
            for key, value in self.groups.get(override, dict([override.split("=", 1)])).items():
                OmegaConf.update(config, key, value, force_add=False)
        return config


def grid(values: Mapping[str, Sequence[Any]], fixed: tuple[str, ...] = (), models: Sequence[str] = ()) -> Grid:
    groups = {"model": tuple(models)} if models else {}
    space = Space(fixed, groups, {key: tuple(each) for key, each in values.items()})
    return enumerate_grid(space, Points(space, Composer()))


def test_the_grid_is_the_product_less_what_is_impossible() -> None:
    found = grid({"decode.chunk_length_s": CHUNKS_S, "decode.stride_length_s": STRIDES_S})
    everything = list(itertools.product(CHUNKS_S, STRIDES_S))
    possible = [(chunk, stride) for chunk, stride in everything if 2 * stride < chunk]
    assert len(possible) == 7  # without 5/5 and 10/5
    assert [(point.decode.chunk_length_s, point.decode.stride_length_s) for point in found.points] == possible
    set_aside = [dict(point.settings) for point in found.skipped]
    assert set_aside == [
        {"decode.chunk_length_s": 5, "decode.stride_length_s": 5},
        {"decode.chunk_length_s": 10, "decode.stride_length_s": 5},
    ]
    for point in found.skipped:
        assert f"decode.chunk_length_s={point.settings['decode.chunk_length_s']}" in point.reason


def test_numbers_take_the_type_of_their_setting() -> None:
    (point,) = grid({"decode.chunk_length_s": [12], "model.name": [7]}).points
    assert isinstance(point.decode.chunk_length_s, float)
    assert point.model.name == "7"


def test_hydra_composes_once_for_each_combination_of_groups() -> None:
    composer = Composer()
    space = Space(
        ("seed=3",), {"model": ("small", "large")}, {"decode.chunk_length_s": CHUNKS_S, "decode.stride_length_s": (0,)}
    )
    found = enumerate_grid(space, Points(space, composer))
    assert composer.calls == [("seed=3", "model=small"), ("seed=3", "model=large")]
    # The small model sees 10 s.
    assert [(point.model.name, point.decode.chunk_length_s) for point in found.points] == [
        ("small", 5.0), ("small", 10.0), ("large", 5.0), ("large", 10.0), ("large", 20.0),
    ]  # fmt: skip
    (skipped,) = found.skipped
    assert skipped.settings == {"model": "small", "decode.chunk_length_s": 20, "decode.stride_length_s": 0}
    assert "model.max_window_s=10" in skipped.reason
    assert {point.seed for point in found.points} == {3}


def test_points_do_not_leak_into_each_other() -> None:
    first, second = grid({"decode.language": ["cy", None]}).points
    assert (first.decode.language, second.decode.language) == ("cy", None)
    assert first != second
    assert len({first, second, *grid({"decode.language": [None, "cy"]}).points}) == 2


def test_a_grid_without_a_possible_point_says_why() -> None:
    with pytest.raises(
        ConfigError, match=r"^no point of this grid can run; the first of 2: decode\.stride_length_s=15 "
    ):
        grid({"decode.stride_length_s": [15, 20]})


@pytest.mark.parametrize(
    "key", ["study", "measure.repeats", "score.normalizer", "executor.timeout_s", "results.root", "measure", "score"]
)
def test_what_holds_for_a_study_as_a_whole_cannot_vary(key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key} holds for a study as a whole .* give it one value$"):
        grid({key: ["1", "2"]})


def test_a_value_wrong_in_any_combination_fails_the_grid() -> None:
    with pytest.raises(ConfigError, match=r"^decode\.batch_size=0 is too small"):
        grid({"decode.batch_size": [4, 0]})


def test_a_setting_without_a_value_is_named() -> None:
    composed = schema()
    composed.model.name = "???"
    with pytest.raises(ConfigError, match=r"missing mandatory value.*name.*'asr-sweep run --cfg job'"):
        to_config(composed)


def test_a_condition_may_be_about_a_fixed_group_or_a_number_however_it_is_written() -> None:
    for text in ("model=large", "decode.chunk_length_s=30", "decode.chunk_length_s=30.0"):
        setting, _, value = text.partition("=")
        space = Space(("model=large",), {}, {"seed": (1, 2, 3)}, (), {"seed": Condition(setting, (value,), (9,))})
        assert len(enumerate_grid(space, Points(space, Composer())).points) == 3
    space = Space(("model=large",), {}, {"seed": (1, 2, 3)}, (), {"seed": Condition("model", ("small",), (9,))})
    assert [point.seed for point in enumerate_grid(space, Points(space, Composer())).points] == [9]
