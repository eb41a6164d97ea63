"""What an engine says its memory is for, counted by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from bench.config import Config, DecodeConfig, DType, ModelConfig
from bench.inference.attention import suits_fused
from bench.inference.holdings import Holdings
from bench.inference.transcribe import transcribe
from bench.inference.whisper import WhisperEngine
from bench.measure.clock import PhaseClock
from bench.readings import Footprint

MIB = 1024 * 1024


def test_weights_that_two_layers_share_and_views_of_one_tensor_count_once() -> None:
    first, second = torch.nn.Linear(256, 1024, bias=False), torch.nn.Linear(256, 1024, bias=False)
    model = torch.nn.Sequential(first, second)
    assert Holdings(model).footprint == Footprint(2.0, None, None)
    second.weight = first.weight
    model.register_buffer("table", torch.zeros(256, 1024, dtype=torch.float16))
    held = Holdings(model)
    assert held.footprint.weights_mib == 1.5
    block = torch.zeros(4, MIB // 4)
    held.saw_features([block[0], block[1]])
    assert held.footprint.features_mib == 4.0


def test_the_largest_batch_counts() -> None:
    held = Holdings(torch.nn.Identity())
    for rows in (1, 3, 2):
        held.saw_features([torch.zeros(rows, MIB // 4)])
        held.saw_cache([torch.zeros(rows, MIB // 2)])
    assert held.footprint == Footprint(0.0, 3.0, 6.0)
    held = Holdings(torch.nn.Identity())
    held.saw_cache([])
    assert held.footprint.cache_mib == 0.0


@pytest.mark.parametrize("dtype", [DType.float32, DType.bfloat16])
def test_whisper_tells_weights_features_and_cache(dtype: DType, tiny_en: Path) -> None:
    spec = DecodeConfig(chunk_length_s=10.0, stride_length_s=0.0)
    engine = WhisperEngine(Config(model=ModelConfig(dtype=dtype), decode=spec), str(tiny_en))
    transcribe(engine, [np.zeros(30 * 16_000, np.float32)], spec, 8, PhaseClock())  # three windows, one batch
    bytes_each = {DType.float32: 4, DType.bfloat16: 2}[dtype]
    plain = WhisperForConditionalGeneration.from_pretrained(str(tiny_en))
    assert engine.footprint.weights_mib == pytest.approx(plain.num_parameters() * bytes_each / MIB, rel=0.01)
    # 80 bins by 3000 rows for each window, whatever its length.
    assert engine.footprint.features_mib == pytest.approx(3 * 80 * 3000 * bytes_each / MIB)
    # Keys and values of 4 layers, 384 wide: 1500 frames in the model's type, and room for 448 tokens in it, or in
    # float32 where attention is plain products.
    token_bytes = bytes_each if suits_fused(getattr(torch, dtype.value), torch.device("cpu")) else 4
    assert engine.footprint.cache_mib == pytest.approx(3 * 2 * 4 * 384 * (1500 * bytes_each + 448 * token_bytes) / MIB)
