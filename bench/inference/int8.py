"""Matrix products of whole numbers for models of torch, on a CPU.

Dynamic quantisation, as torch's own of that name did before it was deprecated: weights are rounded once, each output's
row to a scale of its own, and activations at each call, each row to a scale of its own; both symmetric, to -127..127.
Products and their sums are exact in 32 bits. What is no linear layer (convolutions, norms, attention, embeddings) stays
as it is.
"""

import torch
from torch import Tensor

_MOST = 127.0


class Int8Linear(torch.nn.Module):
    """A linear layer in whole numbers.

    Args:
        layer: The layer, in float32.
    """

    rounded: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        scale, rounded = _rounded(layer.weight.detach())
        # One column an output in memory, as the product's kernel reads them.
        self.register_buffer("rounded", rounded.t())
        self.register_buffer("scale", scale.t())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())

    def forward(self, states: Tensor) -> Tensor:
        """Map the last dimension; float32 in and out."""
        rows = states.flatten(0, -2)
        scale, rounded = _rounded(rows)
        product: Tensor = torch._int_mm(rounded, self.rounded).float()
        product *= scale * self.scale
        if self.bias is not None:
            product += self.bias
        return product.view(*states.shape[:-1], -1)


def quantize(model: torch.nn.Module) -> None:
    """Put whole numbers in place of every linear layer of a model; one that shares its weights gets its own."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, Int8Linear(child))


def _rounded(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and whole numbers of each row; the scale has shape ``(rows, 1)``."""
    scale = matrix.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(matrix.dtype).tiny) / _MOST
    return scale, torch.round(matrix / scale).to(torch.int8)
