"""Registers the harness's sweeper with Hydra, which accepts plugins from this namespace only.

Hydra imports this module at every start, so it imports nothing heavy; the work is in :mod:`bench.search.compose`.
"""

from collections.abc import Callable
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AsrSweeper(Sweeper):
    """Hands a sweep's points to the harness's own loop; see :class:`hydra.plugins.sweeper.Sweeper`."""

    def __init__(self, params: DictConfig | None) -> None:
        """Take the preset's dimensions, which :mod:`bench.search.compose` reads from the configuration itself."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra composed; its task function takes what a sweep hands over."""
        self._loader = hydra_context.config_loader
        self._hand_over: Callable[[Any], Any] = task_function
        self._config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Read the study and hand it over."""
        from bench.search.compose import study_of

        return self._hand_over(study_of(arguments, self._config, self._loader))


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="asr_sweep",
    node={"_target_": "hydra_plugins.asr_sweep.AsrSweeper", "params": None},
    provider="asr_sweep",
)
