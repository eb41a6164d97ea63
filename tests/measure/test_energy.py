from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.measure.energy import EnergyMeter
from bench.readings import EnergyUse, Sample

RANGE_UJ = 262_143_328_850  # of a real package: it wraps every few minutes under load


def zone(powercap: Path, folder: str, name: str, energy_uj: int | None) -> Path:
    """Make a zone as the kernel's powercap documentation lays it out; unreadable where it has no energy."""
    made = powercap / folder
    made.mkdir(parents=True, exist_ok=True)
    (made / "name").write_text(f"{name}\n")
    (made / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    if energy_uj is None:
        (made / "energy_uj").mkdir()  # root may read any file, and nobody a folder
    else:
        (made / "energy_uj").write_text(f"{energy_uj}\n")
    return made


def at(t_s: float, cpu_j: float | None = None, gpu_j: float | None = None) -> Sample:
    return Sample(t_s, "any", cpu_energy_j=cpu_j, gpu_energy_j=gpu_j)


def test_energy_is_the_sum_of_the_packages_since_the_meter_was_made(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 50_000_000)
    meter = EnergyMeter(None, tmp_path)
    assert meter.cpu_j() == 0
    zone(tmp_path, "intel-rapl:0", "package-0", 3_500_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 50_250_000)
    assert meter.cpu_j() == pytest.approx(2.5 + 0.25)
    assert meter.gpu_j() is None


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:0:1", "dram"),
        ("intel-rapl-mmio:0", "package-0"),  # the same package by another way
        ("intel-rapl:1", "psys"),  # the board of a laptop, with the package in it
        ("intel-rapl", "control"),
    ],
)
def test_what_is_no_package_is_not_counted(folder: str, name: str, tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path, folder, name, 0)
    meter = EnergyMeter(None, tmp_path)
    zone(tmp_path, "intel-rapl:0", "package-0", 7_000_000)
    zone(tmp_path, folder, name, 99_000_000)
    assert meter.cpu_j() == pytest.approx(7)


def test_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 2_000_000)
    meter = EnergyMeter(None, tmp_path)
    for energy_uj, expected_j in ((1_000_000, 3.0), (4_000_000, 6.0), (500_000, 6.0 + RANGE_UJ / 1e6 - 3.5)):
        zone(tmp_path, "intel-rapl:0", "package-0", energy_uj)
        assert meter.cpu_j() == pytest.approx(expected_j, rel=1e-12)


def test_a_counter_that_may_not_be_read_leaves_no_total_and_the_cure_is_told(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    refused = zone(tmp_path, "intel-rapl:1", "package-1", None)
    meter = EnergyMeter(None, tmp_path)
    assert meter.cpu_j() is None
    used = meter.used([at(0), at(10)], 1, 9)
    assert (used.cpu_j, used.gpu_j) == (None, None)
    assert used.missing is not None
    assert f"{refused}/energy_uj may not be read" in used.missing
    assert f"sudo chmod a+r {tmp_path}/intel-rapl:*/energy_uj" in used.missing


def test_a_reading_that_fails_later_is_null_and_the_next_one_lacks_nothing(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    meter = EnergyMeter(None, tmp_path)
    (package / "energy_uj").write_text("")
    assert meter.cpu_j() is None
    zone(tmp_path, "intel-rapl:0", "package-0", 6_000_000)
    assert meter.cpu_j() == pytest.approx(5)


@pytest.mark.parametrize("folder", ["", "absent"])
def test_a_machine_without_counters_says_so(folder: str, tmp_path: Path) -> None:
    meter = EnergyMeter(None, tmp_path / folder)
    assert meter.cpu_j() is None
    missing = meter.used([at(0), at(10)], 1, 9).missing
    assert missing is not None
    assert f"not in {tmp_path / folder}" in missing


def test_the_use_between_two_instants_lies_on_the_lines_between_samples(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = EnergyMeter(None, tmp_path)
    samples = [at(0, 0.0), at(2, 20.0), at(3, None), at(4, 100.0), at(6, 110.0)]
    # At 1 s: halfway from 0 to 20. At 5 s: halfway from 100 to 110.
    assert meter.used(samples, 1, 5) == EnergyUse(cpu_j=105 - 10, gpu_j=None, missing=None)
    # At 2.5 s: a quarter of the way from 20 to 100, over the sample that tells nothing.
    assert meter.used(samples, 2, 2.5).cpu_j == pytest.approx(20)
    assert meter.used(samples, 0, 6).cpu_j == pytest.approx(110)


@pytest.mark.parametrize(("start_s", "stop_s"), [(0.5, 3), (2, 4.5)])
def test_no_energy_is_made_up_beyond_the_samples(start_s: float, stop_s: float, tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    used = EnergyMeter(None, tmp_path).used([at(1, 0.0), at(4, 9.0)], start_s, stop_s)
    assert used.cpu_j is None
    assert used.missing is not None
    assert "raise measure.sample_hz" in used.missing


# Watches a process while the GPU's counter takes the values of ENERGY_MJ, one a second on a clock of its own; prints
# what the GPU used from 1.5 s to 4.25 s, and the samples.
WATCHED = """
import dataclasses, json, os, subprocess, sys
from pathlib import Path
from bench.measure.energy import EnergyMeter
from bench.measure.gpu import open_probe
from bench.measure.timeline import ProcessSampler

told = Path(os.environ["FAKE_NVML"])
before = told.read_text()
rest = "".join(line for line in before.splitlines(keepends=True) if not line.startswith("0.energy_mj "))
gpu = open_probe("cuda")
sleeping = "print('ready', flush=True); import time; time.sleep(60)"
with subprocess.Popen([sys.executable, "-c", sleeping], stdout=subprocess.PIPE, text=True) as child:
    child.stdout.readline()
    meter = EnergyMeter(gpu, Path(os.environ["POWERCAP"]))
    sampler = ProcessSampler(child.pid, gpu, meter)
    samples = []
    for t_s, energy_mj in enumerate(json.loads(os.environ["ENERGY_MJ"])):
        answers = rest.replace("CHILD", str(child.pid))
        told.write_text(answers if energy_mj is None else answers + f"0.energy_mj {energy_mj}\\n")
        samples.append(sampler.sample(float(t_s), "inference"))
    child.kill()
used = meter.used(samples, 1.5, 4.25)
print(json.dumps([dataclasses.asdict(used), [dataclasses.asdict(sample) for sample in samples]]))
"""
GPU = {
    "driver": "550.54.15",
    "devices": 1,
    "0.name": "Fake",
    "0.memory_total": 8 * 2**30,
    "0.memory_used": 3 * 2**30,
    "0.util_pct": 50,
    "0.processes": f"CHILD:{2 * 2**30}",
    "0.temperature_c": 40,
    "0.reasons": 4,
}


@pytest.fixture
def watch(in_python: Callable[..., Any], nvml_folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """Make `watch(energy_mj, **answers)`: the energy used and the samples, of a process whose GPU's counter rises."""

    def run(energy_mj: str, answers: dict[str, object]) -> Any:
        return in_python(WATCHED, nvml_folder, GPU | answers, ENERGY_MJ=energy_mj, POWERCAP=str(tmp_path / "powercap"))

    return run


def test_the_gpus_energy_is_counted_while_a_process_is_watched(watch: Callable[..., Any]) -> None:
    # The meter is made at 7 kJ: the driver has counted since it was loaded.
    used, samples = watch("[7000000, 7010000, 7030000, 7130000, 7130000, 7150000]", {"0.energy_mj": 7_000_000})
    assert [sample["gpu_energy_j"] for sample in samples] == [0, 10, 30, 130, 130, 150]
    # At 1.5 s: (10 + 30) / 2 = 20 J. At 4.25 s: 130 + 20 / 4 = 135 J.
    assert used["gpu_j"] == pytest.approx(135 - 20)
    assert used["cpu_j"] is None
    assert "RAPL" in used["missing"]
    assert "GPU" not in used["missing"]
    first = samples[0]
    assert (first["gpu_process_mib"], first["gpu_memory_mib"], first["gpu_processes"]) == (2048, 3072, 1)
    assert (first["gpu_util_pct"], first["gpu_temperature_c"], first["gpu_slowdown"]) == (50, 40, "power_cap")
    assert (first["gpu_power_w"], first["gpu_clock_mhz"], first["gpu_memory_clock_mhz"]) == (None, None, None)


def test_a_gpu_without_an_energy_counter_says_so(watch: Callable[..., Any]) -> None:
    used, samples = watch("[null, null, null, null, null, null]", {})
    assert {sample["gpu_energy_j"] for sample in samples} == {None}
    assert used["gpu_j"] is None
    assert "keeps no energy counter" in used["missing"]


def test_a_gpus_counter_that_falls_silent_leaves_the_energy_unknown(watch: Callable[..., Any]) -> None:
    used, samples = watch("[7000000, 7010000, 7030000, null, null, null]", {"0.energy_mj": 7_000_000})
    assert [sample["gpu_energy_j"] for sample in samples] == [0, 10, 30, None, None, None]
    assert used["gpu_j"] is None
    assert "GPU" in used["missing"]
