"""A step's batch comes out whole, however it goes through the model, and want of memory is told with its cure."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import Checkpointing, LoraConfig, MemoryConfig, Optimizer, OptimizerConfig, Precision
from bench.finetune.examples import Batches, Example
from bench.finetune.fit import Fit, fit, settled
from bench.finetune.model import Learner
from bench.measure import memory
from tests.finetune import tiny

# peft asks for an alias that transformers will drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NOTHING: Any = None


@given(batch=st.integers(1, 400), asked=st.integers(1, 500))
def test_parts_of_a_size_that_is_asked_for_make_the_whole(batch: int, asked: int) -> None:
    config = tiny.settings(batch_size=batch, memory=MemoryConfig(device_batch_size=asked))
    found = fit(NOTHING, [], NOTHING, config)
    assert found.size * found.accumulation == batch
    # The largest number of equal parts that is not above what was asked for.
    assert found.size == max(size for size in range(1, batch + 1) if size <= asked and batch % size == 0)


@pytest.mark.parametrize(
    ("batch", "asked", "size", "accumulation"),
    [(7, 5, 1, 7), (12, 5, 4, 3), (8, 8, 8, 1), (8, 100, 8, 1), (9, 4, 3, 3)],
)
def test_awkward_numbers(batch: int, asked: int, size: int, accumulation: int) -> None:
    config = tiny.settings(
        batch_size=batch, memory=MemoryConfig(device_batch_size=asked, checkpointing=Checkpointing.on)
    )
    assert fit(NOTHING, [], NOTHING, config) == Fit(size, accumulation, checkpointing=True)


def sounds(count: int) -> list[Example]:
    random = np.random.default_rng(0)
    return [Example(random.standard_normal(8000, np.float32), (1, 2, 3)) for _ in range(count)]


def found(ctc: Path, batch: int, examples: int, **memory_settings: Any) -> tuple[Fit, Learner]:
    config = tiny.settings(batch_size=batch, memory=MemoryConfig(precision=Precision.float32, **memory_settings))
    learner = Learner(config, str(ctc))
    return fit(learner, sounds(examples), Batches(learner.extractor, learner.main_input), config), learner


@pytest.mark.parametrize(("batch", "examples"), [(6, 6), (12, 5)])
def test_with_memory_enough_a_step_goes_through_at_once(ctc: Path, batch: int, examples: int) -> None:
    way, learner = found(ctc, batch, examples)
    assert way == Fit(batch, 1, checkpointing=False)
    assert all(each.grad is None for each in learner.model.parameters()), "what was tried has left gradients"


def test_without_memory_to_spare_utterances_go_one_by_one(ctc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_mib", lambda: 0.0)
    way, _ = found(ctc, 6, 6)
    assert way == Fit(1, 6, checkpointing=False)


# Ten minutes take a gigabyte, and the process gets 200 MiB beyond what it has.
TOO_LITTLE = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from bench.config import Checkpointing, LoraConfig, MemoryConfig, Optimizer, OptimizerConfig, Precision
from bench.finetune.examples import Batches, Example
from bench.finetune.fit import fit
from bench.finetune.model import Learner
from tests.finetune import tiny
torch.set_num_threads(1)
asked = MemoryConfig(precision=Precision.float32, checkpointing=Checkpointing(sys.argv[2]))
config = tiny.settings(memory=asked)
learner = Learner(config, sys.argv[1])
batches = Batches(learner.extractor, learner.main_input)
long = Example(np.zeros(600 * 16_000, np.float32), (1, 2))
short = Example(np.zeros(8_000, np.float32), (1, 2))
learner.model(**batches([short])).loss.backward()  # whatever is set up once
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 200 * 2**20,) * 2)
try:
    print(fit(learner, [long] * 4, batches, config))
except MemoryError as error:
    print(f"MemoryError: {error}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory")
@pytest.mark.parametrize("checkpointing", ["auto", "off"])
def test_what_helps_is_told_where_nothing_fits(ctc: Path, checkpointing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TOO_LITTLE, str(ctc), checkpointing],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    line = done.stdout.strip()
    assert line.startswith("MemoryError: not even one utterance of 600.0 s fits into memory while training tiny; try ")
    # Where activations are computed anew already, or were tried to be, that is no advice.
    assert ("finetune.memory.checkpointing=on" in line) == (checkpointing == "off")
    for cure in ("finetune.lora.rank=8", "finetune.optimizer.name=adafactor", "data.max_duration_s=300"):
        assert cure in line
    assert line.endswith(" or a smaller model")


def test_only_what_is_not_done_already_is_advised(ctc: Path) -> None:
    config = tiny.settings(
        lora=LoraConfig(rank=2), optimizer=OptimizerConfig(name=Optimizer.adafactor), memory=MemoryConfig()
    )
    learner = Learner(config, str(ctc))

    def never(_: Any) -> Any:
        raise MemoryError

    with pytest.raises(MemoryError) as caught:
        fit(learner, sounds(1), never, config)  # type: ignore[arg-type]
    assert str(caught.value).endswith("; try data.max_duration_s=1 or a smaller model")


def test_a_precision_that_is_given_stays() -> None:
    assert [settled(one, "cpu") for one in (Precision.float32, Precision.bfloat16)] == ["float32", "bfloat16"]
    assert settled(Precision.auto, "mps") is Precision.float32
