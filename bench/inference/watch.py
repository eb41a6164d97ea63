"""Watching a module within the library's ``generate``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bench.measure.clock import PhaseClock


@contextmanager
def booked_as(phase: str, module: torch.nn.Module, clock: PhaseClock) -> Iterator[list[Any]]:
    """Within a ``with`` block, book every forward pass of a module under a phase of its own.

    Yields:
        A list that receives the output of the first pass.
    """
    outputs: list[Any] = []

    def leave(_: Any, __: Any, output: Any) -> None:
        clock.leave()
        if not outputs:
            outputs.append(output)

    hooks = [
        module.register_forward_pre_hook(lambda *_: clock.enter(phase)),
        module.register_forward_hook(leave),
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
