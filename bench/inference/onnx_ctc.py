"""CTC models as ONNX graphs; all but the model itself is :class:`bench.inference.ctc.CTCEngine`'s."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCTC

from bench.config import Config
from bench.inference.ctc import CTCEngine
from bench.inference.onnx_runtime import open_graph, weights_mib
from bench.inference.pretrained import read_settings
from bench.readings import Footprint


class OnnxCTCEngine(CTCEngine):
    """A CTC model under onnxruntime.

    Args:
        config: The trial's configuration.
        model_path: A folder that :func:`bench.inference.onnx_export.ensure_export` made.

    Raises:
        AssetError: onnxruntime is not installed.
        ModelError: The graph cannot be loaded.
        ConfigError: The model cannot honour a setting.
    """

    @property
    def footprint(self) -> Footprint:
        """What its memory is for."""
        seen = super().footprint
        return Footprint(self._weights_mib, seen.features_mib, seen.cache_mib)

    def _loaded(self, config: Config, model_path: str) -> Any:
        """Load the graph, and return the model without its weights, which tells how many frames a window has."""
        self._graph = open_graph(config, Path(model_path) / "model.onnx")
        self._weights_mib = weights_mib(Path(model_path))
        with torch.device("meta"):
            settings = read_settings(config, model_path)
            return AutoModelForCTC.from_config(settings, trust_remote_code=False).eval()

    def _scores(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        feeds = {
            "input_values": tensors["input_values"].numpy(),
            "attention_mask": tensors["attention_mask"].long().numpy(),
        }
        (scores,) = self._graph.run(["scores"], feeds)
        return torch.from_numpy(scores)
