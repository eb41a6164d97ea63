import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from bench.measure import cgroup
from bench.measure.environment import THREAD_VARIABLES, describe, ranges

CHECKOUT = Path(__file__).parents[2]


def test_the_machine_is_what_other_sources_say() -> None:
    found = describe()
    assert found.cpu_cores == os.cpu_count()
    assert found.ram_mib == psutil.virtual_memory().total / 1024 / 1024
    assert found.os == f"{os.uname().sysname} {os.uname().release}"
    assert found.python == sys.version.split()[0]
    assert found.cpu_usable is not None
    assert 1 <= found.cpu_usable <= (found.cpu_cores or 0)


def told_by(program: str, **environment: str) -> str:
    """What a program prints in a process of its own, with no other settings of threads than those given."""
    inherited = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    program = f"import os, sys\nfrom bench.measure.environment import describe\n{program}"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
@pytest.mark.parametrize("chosen", ["min(usable)", "max(usable)", "*usable"])
def test_the_usable_processors_are_those_the_process_may_run_on(chosen: str) -> None:
    lines = told_by(
        f"usable = os.sched_getaffinity(0)\nos.sched_setaffinity(0, [{chosen}])\nfound = describe()\n"
        "print(found.cpu_usable, found.cpu_affinity, len(os.sched_getaffinity(0)), sep='\\n')\n"
        "print(open('/proc/self/status').read())"
    ).splitlines()
    usable, affinity, expected = lines[:3]
    assert usable == expected
    kernels = dict(line.split(":", 1) for line in lines[3:])["Cpus_allowed_list"]  # written by the kernel itself
    assert affinity == kernels.strip()


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        ([], ""),
        ([5], "5"),
        ([0, 1], "0-1"),
        ([0, 2], "0,2"),
        ([0, 1, 2, 3, 8], "0-3,8"),
        ([3, 5, 6, 7, 10, 11], "3,5-7,10-11"),
    ],
)
def test_numbers_of_processors_are_written_as_the_kernel_writes_them(numbers: list[int], written: str) -> None:
    assert ranges(numbers) == written


def test_settings_of_threads_are_those_of_the_processs_environment() -> None:
    assert told_by("print(describe().thread_settings)") == "None"
    told = told_by("print(describe().thread_settings)", OMP_NUM_THREADS="3", KMP_AFFINITY="compact,1", HOME_THREADS="9")
    assert told.split() == ["OMP_NUM_THREADS=3", "KMP_AFFINITY=compact,1"]


@pytest.mark.skipif(sys.platform != "linux", reason="read from Linux's /proc")
def test_memory_and_swap_are_the_kernels() -> None:
    sizes = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    found = describe()
    assert found.ram_mib == pytest.approx(int(sizes["MemTotal"].split()[0]) / 1024)
    assert found.swap_mib == pytest.approx(int(sizes["SwapTotal"].split()[0]) / 1024)


@pytest.mark.skipif(sys.platform != "linux", reason="read from Linux's /proc")
def test_instruction_sets_are_named_as_the_kernel_names_them() -> None:
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    present = next((set(line.split(":")[1].split()) for line in lines if line.startswith(("flags", "Features"))), None)
    flags = describe().cpu_flags
    if present is None:
        assert flags is None
        return
    assert flags is not None
    assert set(flags.split()) <= present
    for matters in ("avx2", "fma", "avx512f", "amx_bf16", "asimd", "sve"):
        assert (matters in flags.split()) is (matters in present)


def test_limits_of_the_container_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/\n")
    monkeypatch.setattr(cgroup, "_SELF", own)
    monkeypatch.setattr(cgroup, "_MOUNT", tmp_path)
    assert (describe().cpu_quota, describe().memory_limit_mib) == (None, None)
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    (tmp_path / "memory.max").write_text(f"{3 * 2**30}\n")
    assert (describe().cpu_quota, describe().memory_limit_mib) == (2.5, 3072)


def test_what_only_a_run_knows_is_left_to_it() -> None:
    found = describe()
    assert (found.gpu, found.gpu_driver, found.gpu_cuda) == (None, None, None)
    assert (found.torch_threads, found.torch_cuda, found.cudnn) == (None, None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="lscpu is part of Linux")
def test_the_processor_is_named_as_lscpu_names_it() -> None:
    try:
        done = subprocess.run(
            ["lscpu"], capture_output=True, text=True, timeout=30, check=True, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("lscpu is not installed")
    names = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if line.startswith("Model name:")]
    if platform.machine() != "x86_64" or not names:
        pytest.skip("only x86 kernels name the processor in /proc/cpuinfo")
    assert describe().cpu_model == names[0]


def test_versions_are_those_installed_and_torch_is_not_imported_to_learn_them() -> None:
    found = describe()
    assert found.torch == metadata.version("torch")
    assert found.transformers == metadata.version("transformers")
    assert found.harness == metadata.version("asr-sweep")
    program = "import sys; from bench.measure.environment import describe; describe(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False"]


def test_the_commit_is_the_checkouts() -> None:
    git = ["git", "-C", str(CHECKOUT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the tests do not run from a git checkout")
    commit = describe().commit
    assert commit is not None
    assert len(commit.removesuffix("-dirty")) >= 12
    assert head.stdout.startswith(commit.removesuffix("-dirty"))
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], timeout=30, check=False).returncode != 0
    assert commit.endswith("-dirty") is changed
