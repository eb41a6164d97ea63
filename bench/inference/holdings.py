"""What an engine holds in memory, counted from its tensors."""

from collections.abc import Iterable
from typing import Any

import torch

from bench.readings import Footprint

_MIB = 1024 * 1024


class Holdings:
    """Counts the bytes of a model's weights, and of the largest batch's inputs and decoder cache.

    Args:
        model: The loaded model; weights that two of its parts share count once.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._weights_mib = _mib([*model.parameters(), *model.buffers()])
        self._features_mib: float | None = None
        self._cache_mib: float | None = None

    def saw_features(self, tensors: Iterable[Any]) -> None:
        """Take note of a batch's inputs."""
        self._features_mib = max(self._features_mib or 0.0, _mib(tensors))

    def saw_cache(self, tensors: Iterable[Any]) -> None:
        """Take note of the keys and values remembered of a batch; none at all for a model without a decoder."""
        self._cache_mib = max(self._cache_mib or 0.0, _mib(tensors))

    @property
    def footprint(self) -> Footprint:
        """What was seen so far."""
        return Footprint(self._weights_mib, self._features_mib, self._cache_mib)


def _mib(tensors: Iterable[torch.Tensor]) -> float:
    """Memory of tensors; several over the same storage count once."""
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    return sum(storages.values()) / _MIB
