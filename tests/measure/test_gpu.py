import os

import pynvml
import pytest

from bench.measure.gpu import GpuProbe, open_probe


def nvml() -> bool:
    """Whether this machine has an NVIDIA driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


needs_gpu = pytest.mark.skipif(not nvml(), reason="this machine has no NVIDIA driver")


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_devices_without_nvml_have_no_probe(device: str) -> None:
    assert open_probe(device) is None


@pytest.mark.skipif(nvml(), reason="this machine has an NVIDIA driver")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_without_a_driver_there_is_no_probe_and_no_error(device: str) -> None:
    assert open_probe(device) is None


def probe(device: str = "cuda") -> GpuProbe:
    found = open_probe(device)
    assert found is not None
    return found


@needs_gpu
@pytest.mark.gpu
def test_the_probe_tells_what_nvml_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    found = probe()
    assert found.name == pynvml.nvmlDeviceGetName(handle)
    assert found.driver == pynvml.nvmlSystemGetDriverVersion()
    sample = found.sample(os.getpid())
    total_mib = pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**20
    assert sample.memory_mib is not None
    assert 0 <= sample.memory_mib <= total_mib
    assert sample.util_pct is None or 0 <= sample.util_pct <= 100
    assert sample.process_mib is None  # this process uses no GPU


@needs_gpu
@pytest.mark.gpu
def test_visible_devices_are_counted_as_cuda_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0)))
    assert probe("cuda:0").name == pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
    assert open_probe("cuda:1") is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert open_probe("cuda") is None
