import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bench.config import Config, DataSource, DecodeConfig, Engine, Merge, NormalizerName, Strategy, flatten
from bench.errors import ConfigError, ImpossiblePoint
from bench.validation import validate


def changed(name: str, value: object, config: Any = None) -> Any:
    """The configuration with one leaf replaced, named with dots."""
    config = Config() if config is None else config
    head, _, rest = name.partition(".")
    return dataclasses.replace(config, **{head: changed(rest, value, getattr(config, head)) if rest else value})


def config_classes(kind: type = Config) -> Iterator[type]:
    yield kind
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            assert isinstance(field.type, type)
            yield from config_classes(field.type)


def test_the_defaults_are_valid() -> None:
    validate(Config())


# Setting, value, and what of the message is the cure.
WRONG = [
    ("study", "", "study=my_sweep"),
    ("study", "..", "study=my_sweep"),
    ("study", "a/b", "study=my_sweep"),
    ("study", "a\\b", "study=my_sweep"),
    ("study", "c:", "study=my_sweep"),
    ("study", " padded ", "study=my_sweep"),
    ("device", "gpu", "use cpu, cuda, cuda:1 or mps"),
    ("device", "cpu:0", "use cpu, cuda, cuda:1 or mps"),
    ("device", "cuda:", "use cpu, cuda, cuda:1 or mps"),
    ("device", "cuda:-1", "use cpu, cuda, cuda:1 or mps"),
    ("device", "mps:1", "use cpu, cuda, cuda:1 or mps"),
    ("device", "", "use cpu, cuda, cuda:1 or mps"),
    ("decode.batch_size", 0, "at least 1"),
    ("decode.batch_size", "fast", "give one, or auto"),
    ("decode.num_beams", 0, "at least 1"),
    ("measure.single_stream", -1, "at least 0"),
    ("measure.rerun_invalid", -1, "at least 0"),
    ("measure.price_per_hour.cuda", -1.0, "a number from 0 up, or null"),
    ("measure.price_per_hour.cpu", math.inf, "a number from 0 up, or null"),
    ("data.limit", 0, "at least 1"),
    ("threads", 0, "at least 1"),
    ("seed", -1, "at least 0"),
    ("measure.warmup", -1, "at least 0"),
    ("measure.repeats", 0, "at least 1"),
    ("measure.replicates", 0, "at least 1"),
    ("executor.max_attempts", 0, "at least 1"),
    ("seed", 2**32, "give at most 4294967295"),  # numpy takes no more
    ("threads", 10**11, "give at most 1024"),
    ("decode.batch_size", 10**20, "give at most 2147483647"),
    ("executor.timeout_s", float("inf"), "or null for no limit"),
    ("model.max_window_s", -1.0, "or null for no limit"),
    ("measure.sample_hz", 0.0, "between 0.01 and 100"),
    ("measure.sample_hz", 101.0, "between 0.01 and 100"),
    ("measure.sample_hz", float("nan"), "between 0.01 and 100"),
    ("executor.timeout_s", 0.0, "null for no limit"),
    ("executor.timeout_s", float("nan"), "null for no limit"),
    ("decode.chunk_length_s", 0.0, "number of seconds from 0.1 up"),
    ("decode.chunk_length_s", -1.0, "number of seconds from 0.1 up"),
    ("decode.chunk_length_s", float("inf"), "number of seconds from 0.1 up"),
    ("decode.chunk_length_s", float("nan"), "number of seconds from 0.1 up"),
    ("decode.stride_length_s", -0.5, "zero or a positive number"),
    ("decode.stride_length_s", float("nan"), "zero or a positive number"),
    ("data.path", "recordings.csv", "add data=manifest"),
]


@pytest.mark.parametrize(("name", "value", "cure"), WRONG)
def test_a_value_wrong_in_any_combination_is_named_with_its_cure(name: str, value: Any, cure: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(changed(name, value))
    message = str(caught.value)
    assert not isinstance(caught.value, ImpossiblePoint)
    assert message.startswith(f"{name}=")
    assert cure in message
    assert "\n" not in message


RIGHT = [
    ("study", "größer 2"),
    ("device", "mps"),
    ("device", "cuda"),
    ("device", "cuda:1"),
    ("threads", 1),
    ("seed", 0),
    ("data.limit", 1),
    ("decode.batch_size", 1),
    ("decode.batch_size", "auto"),
    ("decode.merge", Merge.pipeline),
    ("measure.warmup", 0),
    ("measure.sample_hz", 100.0),
    ("executor.timeout_s", 0.1),
    ("decode.stride_length_s", 0.0),
    ("decode.stride_length_s", 14.999),  # a millisecond below half of the default chunk of 30 s
    ("model.max_window_s", 30.0),  # as long as the default chunk
]


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_a_value_on_the_right_side_of_its_bound_is_accepted(name: str, value: Any) -> None:
    validate(changed(name, value))


def test_a_manifest_source_asks_for_its_file() -> None:
    with pytest.raises(ConfigError, match=re.escape("add data.path=FILE")):
        validate(changed("data.source", DataSource.manifest))


@pytest.mark.parametrize(("chunk_s", "stride_s"), [(10.0, 5.0), (10.0, 7.0), (0.5, 0.25)])
def test_a_stride_of_half_the_chunk_or_more_is_impossible(chunk_s: float, stride_s: float) -> None:
    config = changed("decode.stride_length_s", stride_s, changed("decode.chunk_length_s", chunk_s))
    with pytest.raises(ImpossiblePoint) as caught:
        validate(config)
    message = str(caught.value)
    assert f"decode.stride_length_s={stride_s:g}" in message
    assert f"decode.chunk_length_s={chunk_s:g}" in message
    assert f"stride below {chunk_s / 2:g}" in message


def test_a_chunk_longer_than_the_model_can_see_is_impossible() -> None:
    with pytest.raises(ImpossiblePoint, match=r"model\.max_window_s=20, .*fake/ok.* use at most 20$"):
        validate(changed("model.max_window_s", 20.0, changed("model.name", "fake/ok")))


@pytest.mark.parametrize("strategy", [Strategy.vad, Strategy.sequential])
@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ({"stride_length_s": 5.0}, "use decode={}, or decode.stride_length_s=0"),
        ({"merge": Merge.pipeline}, "use decode.merge=aligned"),
    ],
    ids=["stride", "merge"],
)
def test_what_only_chunks_have_is_impossible_without_them(strategy: Strategy, wrong: dict[str, Any], cure: str) -> None:
    right = DecodeConfig(strategy=strategy, stride_length_s=0.0)
    validate(Config(decode=right))
    with pytest.raises(ImpossiblePoint) as caught:
        validate(Config(decode=dataclasses.replace(right, **wrong)))
    assert f"decode.strategy={strategy.value}" in str(caught.value)
    assert str(caught.value).endswith(cure.format(strategy.value))


def test_the_long_form_walk_has_no_windows_but_the_models_own() -> None:
    decode = DecodeConfig(strategy=Strategy.sequential, chunk_length_s=20.0, stride_length_s=0.0)
    validate(Config(decode=decode))  # what the model's own window is, nobody has said
    whisper = changed("model.max_window_s", 30.0, Config(decode=decode))
    with pytest.raises(ImpossiblePoint, match=r"decode\.chunk_length_s=20; use decode\.chunk_length_s=30$"):
        validate(whisper)
    validate(changed("decode.chunk_length_s", 30.0, whisper))
    validate(changed("decode.strategy", Strategy.vad, whisper))


def test_flatten_names_every_leaf_once_and_makes_enums_plain() -> None:
    leaves = dict(flatten(changed("score.normalizer", NormalizerName.none, changed("engine", Engine.fake))))
    assert leaves["score.normalizer"] == "none"
    assert leaves["engine"] == "fake"
    assert leaves["decode.chunk_length_s"] == 30.0
    assert leaves["threads"] is None
    # What is flat and plain survives a writer that knows plain types only.
    assert yaml.safe_load(yaml.safe_dump(leaves)) == leaves
    every = [field.type for kind in config_classes() for field in dataclasses.fields(kind)]
    assert len(leaves) == sum(not dataclasses.is_dataclass(kind) for kind in every)


@pytest.mark.parametrize("kind", list(config_classes()), ids=lambda kind: kind.__name__)
def test_every_part_of_the_configuration_is_frozen_and_small_enough_to_hold_in_mind(kind: type) -> None:
    assert len(dataclasses.fields(kind)) <= (15 if kind is Config else 14)  # the root holds the parts
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), dataclasses.fields(kind)[0].name, None)
