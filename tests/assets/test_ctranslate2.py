"""The CTranslate2 format and the mapping of Whisper's variables."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.assets.ctranslate2 import parse_model
from bench.assets.whisper_mapping import map_whisper
from bench.errors import AssetError

Tiny = tuple[dict[str, Any], dict[str, Any], dict[str, str]]

# Two variables and an alias, byte for byte after the format's description.
BY_HAND = (
    b"\x06\x00\x00\x00"  # version
    b"\x05\x00Spec\x00"
    b"\x02\x00\x00\x00"  # revision
    b"\x02\x00\x00\x00"  # variables
    b"\x02\x00a\x00\x02\x01\x00\x00\x00\x02\x00\x00\x00\x04\x04\x00\x00\x00\x00\x3c\x00\xc0"  # float16 (1, 2): 1, -2
    b"\x02\x00b\x00\x00\x02\x02\x00\x00\x00\x06\x00"  # int16 scalar: 6
    b"\x01\x00\x00\x00"  # aliases
    b"\x02\x00c\x00\x02\x00a\x00"
)


def test_a_file_written_by_hand_is_read() -> None:
    model = parse_model(BY_HAND, "hand.bin")
    assert (model.specification, model.revision, dict(model.aliases)) == ("Spec", 2, {"c": "a"})
    assert list(model.variables) == ["a", "b"]
    assert model.variables["a"].dtype == np.float16
    assert model.variables["a"].tolist() == [[1.0, -2.0]]
    assert model.variables["b"].shape == ()
    assert model.variables["b"] == 6


@pytest.mark.parametrize("length", range(len(BY_HAND)))
def test_a_file_cut_short_anywhere_is_refused(length: int) -> None:
    with pytest.raises(AssetError, match=r"hand\.bin: not a CTranslate2 model.* are left"):
        parse_model(BY_HAND[:length], "hand.bin")


def replaced(old: bytes, new: bytes) -> bytes:
    assert BY_HAND.count(old) == 1
    return BY_HAND.replace(old, new)


HUGE = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x05" + BY_HAND[1:], "binary version is 5"),
        (BY_HAND + b"\x00", "bytes follow its end"),
        (replaced(b"Spec\x00", b"Spec!"), "does not end with its only NUL"),
        (replaced(b"Spec\x00", b"Sp\x00c\x00"), "does not end with its only NUL"),
        (replaced(b"\x05\x00Spec\x00", b"\x00\x00"), "does not end with its only NUL"),
        (replaced(b"Spec", b"\xff\xff\xff\xff"), "is not UTF-8"),
        (replaced(b"\x02\x00\x00\x00\x02\x00a", HUGE + b"\x02\x00a"), "do not fill shape"),
        (replaced(b"\x02\x00b\x00", b"\x02\x00a\x00"), "two variables are named a"),
        (replaced(b"a\x00\x02\x01", b"a\x00\x09\x01"), "rank 9"),
        (replaced(b"\x01\x00\x00\x00\x02\x00\x00\x00\x04", HUGE + HUGE + b"\x04"), "do not fill shape"),
        (replaced(b"\x01\x00\x00\x00\x02\x00\x00\x00\x04", b"\x00" * 4 + HUGE + b"\x04"), "empty axis"),
        (replaced(b"\x04\x04\x00\x00\x00", b"\x05\x04\x00\x00\x00"), "unknown dtype code 5"),
        (replaced(b"\x04\x04\x00\x00\x00", b"\x04\x06\x00\x00\x00"), "has 6 bytes"),
        (replaced(b"c\x00\x02\x00a", b"c\x00\x02\x00z"), "stands for nothing"),
        (replaced(b"\x02\x00c\x00", b"\x02\x00b\x00"), "hides another name"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(AssetError, match=message):
        parse_model(content, "hand.bin")


def test_counts_that_promise_more_than_the_file_holds_are_not_believed() -> None:
    four_gib = struct.pack("<BIBI", 1, 2**30 - 1, 0, 2**32 - 4)
    content = struct.pack("<IHsIIHs", 6, 1, b"\0", 1, 1, 1, b"\0") + four_gib
    with pytest.raises(AssetError, match="needs 4294967292 bytes and 0 are left"):
        parse_model(content, "small.bin")


arrays = st.sampled_from(["<f4", "<f2", "<i1", "<i2", "<i4"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, max_side=4))
)


@given(variables=st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")), arrays, max_size=4))
def test_what_is_written_is_read_back(model_writer: Callable[..., bytes], variables: dict[str, Any]) -> None:
    model = parse_model(model_writer(variables, specification="Any"), "any.bin")
    assert list(model.variables) == list(variables)
    for name, array in variables.items():
        assert model.variables[name].dtype == array.dtype
        assert model.variables[name].shape == array.shape
        assert model.variables[name].tobytes() == array.tobytes()


def test_every_tensor_gets_its_name_in_transformers(model_writer: Callable[..., bytes], tiny: Tiny) -> None:
    named, stored, aliases = tiny
    weights = map_whisper(parse_model(model_writer(stored, aliases), "tiny.bin"), "tiny.bin")
    assert weights.tensors.keys() == named.keys()
    for name, tensor in named.items():
        np.testing.assert_array_equal(weights.tensors[name], tensor, err_msg=name)
    sizes = (weights.d_model, weights.ffn_dim, weights.mel_bins, weights.vocabulary)
    assert sizes == (4, 8, 5, 11)
    assert (weights.source_positions, weights.target_positions) == (6, 9)
    assert (weights.encoder_layers, weights.decoder_layers) == (1, 2)
    assert (weights.encoder_heads, weights.decoder_heads) == (2, 2)


KEY_BIAS = "decoder/layer_1/attention/linear_1/bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder/layer_0/attention/linear_2/weight": None}, "a weight and a bias"),
        ({"encoder/num_heads": None}, "encoder/num_heads is missing"),
        ({"encoder/conv3/weight": np.ones((1, 1), np.float16)}, "unknown variables: encoder/conv3/weight"),
        ({"decoder/alibi": np.array(1, np.int8)}, "decoder/alibi is not 0"),
        ({KEY_BIAS: np.ones(8, np.float16)}, "bias for keys"),
        ({KEY_BIAS: np.zeros(7, np.float16)}, "do not divide"),
        ({"decoder/embeddings/weight": np.ones((11, 4), np.int8)}, "not 2 axes of floats"),
    ],
)
def test_a_model_that_is_not_understood_is_refused(
    model_writer: Callable[..., bytes], tiny: Tiny, change: dict[str, Any], message: str
) -> None:
    _, stored, aliases = tiny
    changed = {name: array for name, array in (stored | change).items() if array is not None}
    with pytest.raises(AssetError, match=message):
        map_whisper(parse_model(model_writer(changed, aliases), "tiny.bin"), "tiny.bin")


def test_how_alibi_would_work_does_not_matter_where_it_is_off(model_writer: Callable[..., bytes], tiny: Tiny) -> None:
    named, stored, aliases = tiny
    details = {f"decoder/{name}": np.array(1, np.int8) for name in ("scale_alibi", "alibi_use_positive_positions")}
    off = {"decoder/alibi": np.array(0, np.int8)}
    weights = map_whisper(parse_model(model_writer(stored | details | off, aliases), "tiny.bin"), "tiny.bin")
    assert weights.tensors.keys() == named.keys()


def test_another_architecture_or_an_untied_output_is_refused(model_writer: Callable[..., bytes], tiny: Tiny) -> None:
    _, stored, aliases = tiny
    with pytest.raises(AssetError, match="specification is TransformerSpec"):
        map_whisper(parse_model(model_writer(stored, aliases, "TransformerSpec"), "tiny.bin"), "tiny.bin")
    with pytest.raises(AssetError, match="not tied"):
        map_whisper(parse_model(model_writer(stored), "tiny.bin"), "tiny.bin")
