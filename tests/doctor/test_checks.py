"""Each check with made-up readings: of a fine machine it has nothing to say, of each fault exactly one warning."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.doctor import devices, hardware, lines, software, timing
from bench.doctor.check import Check, Fault
from bench.doctor.facts import Asset, Busy, Folder, Gpu, Hub, Memory, Probe, Rapl, Torch
from bench.doctor.steadiness import Steadiness
from bench.readings import Counters, Environment

HERE = Environment(
    cpu_model="Example 9000",
    cpu_flags="avx2 fma",
    cpu_cores=8,
    cpu_usable=8,
    cpu_governor="performance",
    ram_mib=32 * 1024,
    swap_mib=8 * 1024,
    python="3.11.7",
    torch="2.13.0",
    transformers="5.23.0",
)
TORCH = Torch(threads=8, cuda="12.8", gpus=1)
GPU = Gpu("H200", "570.1", "12.8", 143_771.0, memory_mib=4.0, util_pct=0.0, processes=0, slowdown="")
IDLE = Counters(10.0, 8, 10.0, waiting_s=0.0, machine_busy_s=10.4, stolen_s=0.0, quota_throttled_s=0.0, swapped_mib=0.0)
STEADY = Steadiness(0.03, 0.5, variation=0.01, block_variation=0.005, tail=0.01, outliers=0.0)
PLENTY = Folder(Path("/data/cache"), 100 * 1024)
ASSET = Asset("packaged/whisper-tiny.en", "demo", cached=True)
HUB = Hub("https://huggingface.co")


def of_steadiness(found: Steadiness) -> Check:
    return timing.spread(Probe((0.03,) * 300, IDLE), found)


FINE = {
    "processor": hardware.processor(HERE),
    "instructions": hardware.instructions(HERE),
    "threads": hardware.threads(HERE, TORCH),
    "threads as set": hardware.threads(replace(HERE, thread_settings="OMP_NUM_THREADS=8 KMP_AFFINITY=compact"), TORCH),
    "threads below one": hardware.threads(replace(HERE, cpu_quota=0.5, thread_settings="OMP_NUM_THREADS=1"), Torch(1)),
    "clock": hardware.clock(HERE),
    "clock untold": hardware.clock(replace(HERE, cpu_governor=None)),
    "memory": hardware.memory(HERE, Memory(20_000.0, swap_used_mib=20.0)),
    "memory peak": hardware.memory_peak(Memory(20_000.0)),
    "no gpu": devices.devices((), Torch(threads=8)),
    "gpu": devices.devices((GPU,), TORCH),
    "gpu without figures": devices.devices((Gpu(),), TORCH),
    "energy": hardware.energy(Rapl.readable),
    "energy of a virtual machine": hardware.energy(Rapl.absent),
    "libraries": software.libraries(HERE, TORCH, {"av": "18.1.0"}),
    "cache": software.cache_folder(PLENTY),
    "results": software.results_folder(PLENTY),
    "asset": software.asset("model", ASSET),
    "asset not built": software.asset("model", replace(ASSET, cached=False)),
    "asset built, package gone": software.asset("model", replace(ASSET, lacking=("some==1",))),
    "hub": software.model_hub(HUB),
    "hub offline": software.model_hub(replace(HUB, offline=True)),
    "load": timing.load(IDLE, ()),
    "load untold": timing.load(Counters(10.0, 8, 10.0), ()),
    "spread": of_steadiness(STEADY),
    "repeats": timing.repeatability(STEADY),
    "can tell": timing.resolution(STEADY),
}

FAULTY = {
    "quota": (
        hardware.threads(replace(HERE, cpu_quota=2.5), TORCH),
        "torch would start 8 threads on 2.5 usable",
        "threads=2",
    ),
    "variable": (
        hardware.threads(replace(HERE, cpu_usable=4, thread_settings="MKL_NUM_THREADS=64 OMP_NUM_THREADS=4"), TORCH),
        "MKL_NUM_THREADS=64 is more than the 4 usable",
        "unset MKL_NUM_THREADS, or threads=4",
    ),
    "governor": (
        hardware.clock(replace(HERE, cpu_governor="powersave")),
        "governor powersave",
        "sudo cpupower frequency-set -g performance",
    ),
    "little memory": (
        hardware.memory(HERE, Memory(1024.0)),
        "1.0 GiB of memory",
        "decode.batch_size=1 model.dtype=bfloat16",
    ),
    "swap": (hardware.memory(HERE, Memory(20_000.0, 512.0)), "0.5 GiB lie in swap", "sudo swapoff -a"),
    "swap that does not fit": (
        hardware.memory(HERE, Memory(4096.0, 4096.0)),
        "4.0 GiB lie in swap",
        "close other programs, then run: sudo swapoff -a",
    ),
    "peak": (hardware.memory_peak(Memory(20_000.0, peak_resets=False)), "reset its peak", "outside the container"),
    "torch without CUDA": (
        devices.devices((GPU,), Torch(threads=8)),
        "built without CUDA and cannot use the H200",
        "https://pytorch.org/get-started/locally",
    ),
    "driver too old": (
        devices.devices((replace(GPU, cuda="12.4"),), Torch(threads=8, cuda="13.0")),
        "CUDA 13.0, cannot use the GPU, whose driver knows CUDA 12.4",
        "https://pytorch.org/get-started/locally",
    ),
    "gpu in use": (
        devices.devices((GPU, replace(GPU, processes=2, memory_mib=2048.0)), TORCH),
        "2 processes compute on GPU 1 and hold 2.0 GiB",
        "nvidia-smi",
    ),
    "gpu in use from outside the container": (
        devices.devices((replace(GPU, memory_mib=40_960.0),), TORCH),
        "cannot be seen from here compute on GPU 0 and hold 40.0 GiB",
        "nvidia-smi",
    ),
    "gpu held down": (
        devices.devices((replace(GPU, slowdown="hw_thermal"),), TORCH),
        "GPU 0 (hw_thermal)",
        "nvidia-smi -q -d PERFORMANCE",
    ),
    "energy refused": (
        hardware.energy(Rapl.refused),
        "may not be read",
        "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj",
    ),
    "library missing": (software.libraries(HERE, TORCH, {"av": None}), "av is not installed", "pip install av"),
    "torch broken": (
        software.libraries(HERE, Torch(failure="ImportError: libfoo.so: not found"), {}),
        "ImportError - libfoo.so - not found",
        "pip install --force-reinstall torch==2.13.0",
    ),
    "cache full": (
        software.cache_folder(replace(PLENTY, free_mib=1024.0)),
        "only 1.0 GiB are free for the cache",
        "rm -r '/data/cache/audio', or export ASR_SWEEP_CACHE=FOLDER",
    ),
    "cache read-only": (
        software.cache_folder(replace(PLENTY, writable=False)),
        "cache folder cannot be written",
        "export ASR_SWEEP_CACHE=FOLDER",
    ),
    "results full": (
        software.results_folder(replace(PLENTY, free_mib=1024.0)),
        "only 1.0 GiB are free for the results",
        "results.root=FOLDER",
    ),
    "asset missing": (
        software.asset("model", replace(ASSET, cached=False, lacking=("some==1", "other==2"))),
        "cannot be had without some==1 and other==2",
        "pip install '.[demo]'",
    ),
    "hub away": (
        software.model_hub(replace(HUB, failure="Errno -2: unknown")),
        "cannot be reached (Errno -2 - unknown)",
        "model=whisper_tiny_en",
    ),
    "others": (
        # 10 s of 8 processors are 80 s; others used 50 - 10 s of them.
        timing.load(replace(IDLE, machine_busy_s=50.0), (Busy("make", 77, 3.9), Busy("cc", 78, 0.1))),
        "other processes used 50 % of the 8",
        "stop make (pid 77, 390 % of one) and 1 more, or wait; see them with: top",
    ),
    "others unseen": (
        timing.load(replace(IDLE, machine_busy_s=50.0), ()),
        "other processes used 50 %",
        "measure.rerun_invalid=2",
    ),
    "steal": (timing.load(replace(IDLE, stolen_s=8.0), ()), "hypervisor gave 10.0 %", "measure.replicates=4"),
    "throttled": (timing.load(replace(IDLE, quota_throttled_s=3.0), ()), "for 3 s", "threads=8"),
    "swapping": (timing.load(replace(IDLE, swapped_mib=300.0), ()), "300 MiB", "sudo swapoff -a"),
    "disk": (timing.load(replace(IDLE, major_faults=5000), ()), "5000 pages", "decode.batch_size=1"),
    "heat": (timing.load(replace(IDLE, thermal_events=3), ()), "heat 3 times", "threads=1"),
    "tail": (
        of_steadiness(replace(STEADY, tail=0.2)),
        "varies by 20 %",
        "measure.repeats=5 measure.replicates=4",
    ),
    "unsteady": (
        of_steadiness(replace(STEADY, variation=0.5, block_variation=0.3)),
        "varies by 50 %",
        "measure.repeats=5 measure.replicates=20",
    ),
    "trend": (of_steadiness(replace(STEADY, trend=-0.12)), "became 12 % faster", "measure.warmup=3 measure.repeats=5"),
}


@pytest.mark.parametrize("check", FINE.values(), ids=FINE)
def test_a_fine_machine_has_no_fault(check: Check) -> None:
    assert check.faults == ()
    assert check.value


@pytest.mark.parametrize(("check", "what", "cure"), FAULTY.values(), ids=FAULTY)
def test_a_fault_is_named_with_its_cure_last(check: Check, what: str, cure: str) -> None:
    (fault,) = check.faults
    assert what in fault.what
    assert fault.cure.endswith(cure)
    assert ": " not in fault.what, "the first colon parts a warning from its cure"


def test_gpus_alike_share_a_line() -> None:
    check = devices.devices((GPU,) * 8, replace(TORCH, gpus=8))
    assert check.value == "cpu, cuda, ... cuda:7; 8 x H200, 140.4 GiB, driver 570.1, CUDA 12.8"


def test_thread_variables_are_shown() -> None:
    check = hardware.threads(replace(HERE, thread_settings="OMP_NUM_THREADS=1"), Torch(threads=1))
    assert check.value == "8 of 8 processors usable, no quota; torch would use 1 (OMP_NUM_THREADS=1)"


def test_the_worst_machine_fits_on_a_page() -> None:
    examined = [
        *(check for check, _, _ in FAULTY.values()),
        Check("more", "", tuple(Fault(f"fault {number}", "mend") for number in range(20))),
    ]
    rows = examined[:21]
    extra = tuple(fault for check in examined[21:] for fault in check.faults)
    written = list(lines([*rows[:-1], replace(rows[-1], faults=rows[-1].faults + extra)]))
    assert len(written) == 40
    total = sum(len(check.faults) for check in examined)
    shown = sum(line.startswith("! ") for line in written) - 1
    assert written[-1] == f"! {total - shown} more are not shown; mend these and run: asr-sweep doctor"


def test_faultless_checks_say_so() -> None:
    *_, blank, verdict = lines(FINE.values())
    assert blank == ""
    assert verdict.startswith("Nothing speaks against timings")
