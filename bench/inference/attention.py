"""Which of torch's ways to compute attention suits a processor."""

import torch


def suits_fused(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether torch's fused attention is the fastest.

    On a CPU that kernel leaves products of half precision to MKL. Where the processor has tiles (AMX) it takes half the
    time of plain products; elsewhere half as long again, and with one query up to five times as long.
    """
    if device.type != "cpu" or dtype == torch.float32:
        return True
    return dtype == torch.bfloat16 and torch._C.has_mkl and torch.cpu._is_amx_tile_supported()
