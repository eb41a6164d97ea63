import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pynvml
import pytest

from bench.measure.gpu import GpuProbe, list_gpus, open_probe

MIB = 2**20
RUN_PID, OTHER_PID = 1234, 77
ANSWERS = {
    "driver": "550.54.15",
    "cuda": 12040,  # nvml.h: 1000 * major + 10 * minor
    "devices": 2,
    "0.name": "Fake H100 80GB",
    "0.uuid": "GPU-aaaaaaaa-0000-0000-0000-000000000000",
    "0.memory_total": 80 * 1024 * MIB,
    "0.memory_used": 3000 * MIB,
    "0.util_pct": 87,
    "0.processes": f"{OTHER_PID}:{500 * MIB} {RUN_PID}:{2400 * MIB}",
    "0.power_mw": 312_500,
    "0.energy_mj": 5_000_250,
    "0.temperature_c": 61,
    "0.clock_graphics_mhz": 1111,
    "0.clock_sm_mhz": 1755,
    "0.clock_memory_mhz": 2619,
    "0.clock_video_mhz": 2222,
    "0.reasons": 0,
    "1.name": "Fake T4",
    "1.uuid": "GPU-bbbbbbbb-0000-0000-0000-000000000000",
}
TOLD = {
    "name": "Fake H100 80GB",
    "driver": "550.54.15",
    "cuda": "12.4",
    "memory_total_mib": 81920.0,
    "energy_j": 5000.25,
    "util_pct": 87.0,
    "memory_mib": 3000.0,
    "process_mib": 2400.0,
    "processes": 2,
    "power_w": 312.5,
    "temperature_c": 61.0,
    "clock_mhz": 1755.0,
    "memory_clock_mhz": 2619.0,
    "slowdown": "",
}
LOOK = f"""
import dataclasses, json
from bench.measure.gpu import open_probe
probe = open_probe("cuda")
found = {{name: getattr(probe, name) for name in ("name", "driver", "cuda", "memory_total_mib")}}
print(json.dumps(found | {{"energy_j": probe.energy_j()}} | dataclasses.asdict(probe.sample({RUN_PID}))))
"""
NAMES = """
import json
from bench.measure.gpu import list_gpus, open_probe
probes = [open_probe(device) for device in ("cuda", "cuda:0", "cuda:1", "cuda:2")]
print(json.dumps([[probe and probe.name for probe in probes], [probe.name for probe in list_gpus()]]))
"""
Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(in_python: Callable[..., Any], nvml_folder: Path) -> Look:
    """Make `look(changes)`: what a probe tells where the driver answers as above but for some changes."""

    def run(changes: Mapping[str, object]) -> dict[str, Any]:
        found = in_python(LOOK, nvml_folder, {**ANSWERS, **changes})
        assert isinstance(found, dict)
        return found

    return run


def test_a_probe_tells_what_the_driver_answers(look: Look) -> None:
    assert look({}) == TOLD


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("0.name", {"name"}),
        ("driver", {"driver"}),
        ("cuda", {"cuda"}),
        ("0.memory_total", {"memory_total_mib", "memory_mib"}),
        ("0.util_pct", {"util_pct"}),
        ("0.processes", {"processes", "process_mib"}),
        ("0.power_mw", {"power_w"}),
        ("0.energy_mj", {"energy_j"}),
        ("0.temperature_c", {"temperature_c"}),
        ("0.clock_sm_mhz", {"clock_mhz"}),
        ("0.clock_memory_mhz", {"memory_clock_mhz"}),
        ("0.reasons", {"slowdown"}),
    ],
)
def test_what_the_driver_does_not_support_is_null_and_the_rest_is_told(
    question: str, unknown: set[str], look: Look
) -> None:
    not_supported = f"error {pynvml.NVML_ERROR_NOT_SUPPORTED}"
    assert look({question: not_supported}) == TOLD | dict.fromkeys(unknown)


@pytest.mark.parametrize("error", ["NO_PERMISSION", "GPU_IS_LOST", "UNKNOWN"])
def test_a_driver_that_refuses_everything_costs_no_run(error: str, look: Look) -> None:
    refusal = f"error {getattr(pynvml, f'NVML_ERROR_{error}')}"
    found = look({key: refusal for key in ANSWERS if key != "devices"})
    assert found == dict.fromkeys(TOLD)


@pytest.mark.parametrize(
    ("processes", "count", "process_mib"),
    [
        ("none", 0, None),  # as a container hides them
        (f"{OTHER_PID}:{500 * MIB}", 1, None),
        (f"{RUN_PID}:?", 1, None),  # the driver knows the process, not its memory
        (f"{OTHER_PID}:? {RUN_PID}:{3 * MIB // 2} 78:{MIB}", 3, 1.5),
    ],
)
def test_memory_is_the_processs_own(processes: str, count: int, process_mib: float | None, look: Look) -> None:
    assert look({"0.processes": processes}) == TOLD | {"processes": count, "process_mib": process_mib}


# Bits as documented in nvml.h, "NvmlClocksEventReasons".
IDLE, SET_CLOCKS, POWER_CAP, HW_SLOWDOWN, SYNC_BOOST, SW_THERMAL, HW_THERMAL, POWER_BRAKE, DISPLAY = (
    1 << bit for bit in range(9)
)


@pytest.mark.parametrize(
    ("reasons", "slowdown"),
    [
        (IDLE, ""),
        (SET_CLOCKS | SYNC_BOOST | DISPLAY, ""),
        (POWER_CAP, "power_cap"),
        (HW_SLOWDOWN, "hw_slowdown"),
        (SW_THERMAL, "sw_thermal"),
        (HW_THERMAL, "hw_thermal"),
        (POWER_BRAKE, "hw_power_brake"),
        (HW_SLOWDOWN | HW_THERMAL | IDLE, "hw_slowdown+hw_thermal"),
        (SW_THERMAL | POWER_CAP | SET_CLOCKS, "sw_thermal+power_cap"),
    ],
)
def test_reasons_for_slow_clocks_are_named_and_idleness_is_none(reasons: int, slowdown: str, look: Look) -> None:
    assert look({"0.reasons": hex(reasons)}) == TOLD | {"slowdown": slowdown}


def test_drivers_before_535_tell_why_clocks_are_slow_too(
    in_python: Callable[..., Any], compile_nvml: Callable[..., Path]
) -> None:
    old = compile_nvml("-DBEFORE_DRIVER_535")
    assert in_python(LOOK, old, ANSWERS | {"0.reasons": POWER_CAP}) == TOLD | {"slowdown": "power_cap"}


def test_without_a_list_devices_are_counted_as_the_driver_counts_them(
    in_python: Callable[..., Any], nvml_folder: Path
) -> None:
    opened, listed = in_python(NAMES, nvml_folder, ANSWERS)
    assert opened == ["Fake H100 80GB", "Fake H100 80GB", "Fake T4", None]
    assert listed == ["Fake H100 80GB", "Fake T4"]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("1,0", ["Fake T4", "Fake T4", "Fake H100 80GB", None]),
        (" 1 ", ["Fake T4", "Fake T4", None, None]),
        (ANSWERS["1.uuid"], ["Fake T4", "Fake T4", None, None]),
        (f"{ANSWERS['1.uuid']},{ANSWERS['0.uuid']}", ["Fake T4", "Fake T4", "Fake H100 80GB", None]),
        ("GPU-cccccccc-0000-0000-0000-000000000000", [None] * 4),
        ("-1", [None] * 4),
        ("", [None] * 4),
        ("7", [None] * 4),
    ],
)
def test_a_list_of_visible_devices_renumbers_them_and_hides_none_from_the_list_of_all(
    visible: str, expected: list[str | None], in_python: Callable[..., Any], nvml_folder: Path
) -> None:
    opened, listed = in_python(NAMES, nvml_folder, ANSWERS, CUDA_VISIBLE_DEVICES=visible)
    assert opened == expected
    assert listed == ["Fake H100 80GB", "Fake T4"]


def test_without_the_library_there_is_no_gpu_and_no_error(in_python: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").touch()  # no library, and in the way of a real one
    assert in_python(NAMES, tmp_path, ANSWERS) == [[None] * 4, []]


@pytest.mark.parametrize("error", ["DRIVER_NOT_LOADED", "LIB_RM_VERSION_MISMATCH"])
def test_a_library_without_its_driver_is_no_gpu(error: str, in_python: Callable[..., Any], nvml_folder: Path) -> None:
    refusal = f"error {getattr(pynvml, f'NVML_ERROR_{error}')}"
    assert in_python(NAMES, nvml_folder, ANSWERS | {"init": refusal}) == [[None] * 4, []]


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
    cuda = pynvml.nvmlSystemGetCudaDriverVersion()
    assert found.cuda == f"{cuda // 1000}.{cuda // 10 % 100}"
    assert found.memory_total_mib == total_mib
    if sample.processes is not None:
        assert abs(sample.processes - len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))) <= 1
    if sample.temperature_c is not None:
        assert sample.temperature_c == pytest.approx(
            pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU), abs=10
        )
    if sample.power_w is not None:
        assert 0 < sample.power_w < 2000
    for mhz, clock in (
        (sample.clock_mhz, pynvml.NVML_CLOCK_SM),
        (sample.memory_clock_mhz, pynvml.NVML_CLOCK_MEM),
    ):
        if mhz is not None:
            assert 0 < mhz <= pynvml.nvmlDeviceGetMaxClockInfo(handle, clock)
    if sample.slowdown:
        known = {"hw_slowdown", "hw_thermal", "hw_power_brake", "sw_thermal", "power_cap"}
        assert set(sample.slowdown.split("+")) <= known


@needs_gpu
@pytest.mark.gpu
def test_every_gpu_of_the_machine_is_listed() -> None:
    assert len(list_gpus()) == pynvml.nvmlDeviceGetCount()


@needs_gpu
@pytest.mark.gpu
def test_the_energy_counter_rises_by_about_the_power_drawn() -> None:
    found = probe()
    before_j, started = found.energy_j(), time.monotonic()
    if before_j is None:
        pytest.skip("the GPU keeps no energy counter")
    powers_w = []
    while time.monotonic() < started + 2.0:
        powers_w.append(found.sample(0).power_w)
        time.sleep(0.1)
    used_j, passed_s = (found.energy_j() or 0.0) - before_j, time.monotonic() - started
    told_w = [power_w for power_w in powers_w if power_w is not None]
    assert used_j / passed_s == pytest.approx(sum(told_w) / len(told_w), rel=0.3)


@needs_gpu
@pytest.mark.gpu
def test_visible_devices_are_counted_as_cuda_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0)))
    assert probe("cuda:0").name == pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
    assert open_probe("cuda:1") is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert open_probe("cuda") is None
