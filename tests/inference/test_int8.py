"""Whole numbers against numpy's exact arithmetic, and against the layer that they stand for."""

import numpy as np
import pytest
import torch

from bench.inference.int8 import Int8Linear, quantize


def by_hand(weight: np.ndarray, bias: np.ndarray | None, states: np.ndarray) -> np.ndarray:
    """The same in numpy: scales by row, products of whole numbers in 64 bits."""

    def rounded(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = np.abs(matrix).max(axis=-1, keepdims=True) / np.float32(127)
        return scale, np.rint(matrix / scale).astype(np.int64)

    weight_scale, weight_numbers = rounded(weight)
    scale, numbers = rounded(states)
    product: np.ndarray = (numbers @ weight_numbers.T) * scale.astype(np.float64) * weight_scale.T
    return product if bias is None else np.asarray(product + bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 48), (3, 7, 48), (5, 48)])
def test_products_are_those_of_whole_numbers(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(1)
    layer = torch.nn.Linear(48, 20, bias=bias).requires_grad_(requires_grad=False)
    states = torch.randn(shape)
    expected = by_hand(layer.weight.numpy(), layer.bias.numpy() if bias else None, states.numpy())
    made = Int8Linear(layer)(states)
    assert made.dtype == torch.float32
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-5, atol=1e-6)
    # Half a step of each factor, as far as errors add up at random, is a percent of what is typical.
    assert (made - layer(states)).abs().mean() < 0.01 * layer(states).abs().mean() + 0.005


def test_silence_stays_silent_and_large_values_whole() -> None:
    layer = torch.nn.Linear(16, 16, bias=False).requires_grad_(requires_grad=False)
    quantized = Int8Linear(layer)
    assert not quantized(torch.zeros(2, 16)).any()
    assert torch.isfinite(quantized(torch.full((2, 16), 1e30))).all()


def test_every_linear_layer_is_replaced_and_nothing_else() -> None:
    model = torch.nn.Sequential(
        torch.nn.Embedding(10, 16), torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.LayerNorm(32))
    )
    before = dict(model.named_parameters())
    quantize(model)
    assert [type(each).__name__ for each in model.modules()].count("Int8Linear") == 1
    assert not any(isinstance(each, torch.nn.Linear) for each in model.modules())
    kept = dict(model.named_parameters())
    assert kept.keys() == {name for name in before if not name.startswith("1.0.")}
    held = {name: each.dtype for name, each in model.named_buffers()}
    assert held == {"1.0.rounded": torch.int8, "1.0.scale": torch.float32, "1.0.bias": torch.float32}
