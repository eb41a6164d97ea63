"""Packed linear layers against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from bench.inference.packed import packed

SHAPES = [(1, 1, 1), (1, 384, 384), (12, 384, 1536), (8, 1536, 384), (3, 17, 51), (8, 384, 5000)]


def _layer(wide: int, narrow: int, bias: bool, dtype: torch.dtype) -> torch.nn.Linear:
    torch.manual_seed(wide + narrow)
    return torch.nn.Linear(wide, narrow, bias=bias).to(dtype).eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "wide", "narrow"), SHAPES)
def test_float32(rows: int, wide: int, narrow: int, bias: bool) -> None:
    layer = _layer(wide, narrow, bias, torch.float32)
    states = torch.randn(rows, 1, wide)
    ours = packed(layer, rows)(states)
    exact = functional.linear(states.double(), layer.weight.double(), layer.bias.double() if bias else None)
    assert ours.shape == (rows, 1, narrow)
    assert ours.dtype == torch.float32
    # The rounding of a sum of n products grows with n at worst, and each product's share with its size.
    bound = torch.finfo(torch.float32).eps * (wide + 2) * functional.linear(states.abs(), layer.weight.abs()).double()
    assert ((ours.double() - exact).abs() <= bound + 1e-6).all()
    assert torch.allclose(ours, layer(states), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("rows", "wide", "narrow"), SHAPES)
def test_half_precision(rows: int, wide: int, narrow: int, dtype: torch.dtype, bias: bool) -> None:
    """The same numbers as torch's, but for the last bit where the order of the sum differs."""
    layer = _layer(wide, narrow, bias, dtype)
    states = torch.randn(rows, 1, wide).to(dtype)
    with torch.inference_mode():
        ours, theirs = packed(layer, rows)(states), layer(states)
    assert ours.dtype == dtype
    assert (ours == theirs).float().mean() >= 0.99
    assert torch.allclose(ours.float(), theirs.float(), rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(laid_out_for=st.integers(1, 32), rows=st.integers(1, 40), tokens=st.integers(1, 5))
def test_rows_it_was_not_laid_out_for(laid_out_for: int, rows: int, tokens: int) -> None:
    layer = _layer(48, 33, True, torch.float32)
    states = torch.randn(rows, tokens, 48)
    assert torch.allclose(packed(layer, laid_out_for)(states), layer(states), atol=1e-5)


def test_a_slice_is_read_as_it_lies() -> None:
    """The last layer reads the last position of each sequence: rows that lie apart."""
    layer = _layer(48, 33, True, torch.float32)
    states = torch.randn(6, 5, 48)[:, -1]
    assert not states.is_contiguous()
    assert torch.allclose(packed(layer, 6)(states), layer(states), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_types_that_cannot_be_packed_run_as_they_are(dtype: torch.dtype) -> None:
    layer = _layer(48, 33, True, dtype)
    states = torch.randn(4, 48).to(dtype)
    with torch.inference_mode():
        assert torch.equal(packed(layer, 4)(states), layer(states))


def test_other_devices_run_as_they_are() -> None:
    """``meta`` computes shapes alone, and no packed kernel knows it."""
    layer = torch.nn.Linear(48, 33, device="meta")
    assert packed(layer, 4)(torch.empty(4, 48, device="meta")).shape == (4, 33)


def test_without_onednn_it_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = _layer(48, 33, True, torch.float32)
    monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    states = torch.randn(4, 48)
    with torch.inference_mode():
        assert torch.equal(packed(layer, 4)(states), layer(states))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gelu_of_what_the_layer_gives(dtype: torch.dtype) -> None:
    """In half precision it reads the rounded result, as the activation of a model does."""
    layer = _layer(384, 1536, True, dtype)
    states = torch.randn(50, 384).to(dtype)
    with torch.inference_mode():
        ours, theirs = packed(layer, 50, gelu=True)(states), functional.gelu(layer(states))
    if dtype == torch.float32:
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    else:
        assert (ours == theirs).float().mean() >= 0.99
