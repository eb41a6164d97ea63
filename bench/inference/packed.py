"""Linear layers for a few rows at a time, as a decode loop needs them."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from bench.inference.int8 import Int8Linear

Linear: TypeAlias = Callable[[Tensor], Tensor]
"""A linear map of the last dimension."""


def packed(layer: torch.nn.Linear | Int8Linear, rows: int, gelu: bool = False, take: bool = False) -> Linear:
    """Make a linear layer that reads its weights as fast as it can.

    On a CPU with oneDNN the weights are laid out once in the order its kernels read them, which ``torch.nn.Linear``
    does anew at each call: for the 12 x 384 by 384 x 51864 product of whisper-tiny's last layer it takes a third of the
    time in float32 and half in bfloat16. torch's own compiler emits the same two operators. Elsewhere the layer is
    used as it is.

    Args:
        layer: The layer; later changes of its weights are not seen. One of whole numbers is used as it is.
        rows: Rows it is laid out for; it takes any number.
        gelu: Apply the Gaussian error linear unit to the result; within the product in float32, else to the rounded
            result, as a model does.
        take: Take the weights from the layer once they are laid out anew, so that they are not held twice; the layer
            itself is then of no more use.
    """
    if isinstance(layer, Int8Linear):
        return layer
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    if weight.device.type != "cpu" or not _can_pack(weight.dtype):
        plain: Linear = lambda states: functional.linear(states, weight, bias)  # noqa: E731
        return _then_gelu(plain) if gelu else plain
    fused = gelu and weight.dtype == torch.float32
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    if take:
        give_up(layer)

    activation: tuple[str, list[float], str] = ("gelu", [], "none") if fused else ("none", [], "")

    def run(states: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(states, laid_out, bias, *activation)
        return result

    return _then_gelu(run) if gelu and not fused else run


def _then_gelu(linear: Linear) -> Linear:
    return lambda states: functional.gelu(linear(states))


def give_up(layer: torch.nn.Linear) -> None:
    """Free the weights of a layer that somebody else has taken over."""
    layer.weight = torch.nn.Parameter(layer.weight.new_empty(0), requires_grad=False)


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch._C._has_mkldnn or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    match dtype:
        case torch.float32:
            return True
        case torch.bfloat16:
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        case _:
            return False
