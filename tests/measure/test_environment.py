import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from bench.measure.environment import describe

CHECKOUT = Path(__file__).parents[2]


def test_the_machine_is_what_other_sources_say() -> None:
    found = describe()
    assert found.cpu_cores == os.cpu_count()
    assert found.ram_mib == psutil.virtual_memory().total / 1024 / 1024
    assert found.os == f"{os.uname().sysname} {os.uname().release}"
    assert found.python == sys.version.split()[0]
    assert found.cpu_usable is not None
    assert 1 <= found.cpu_usable <= (found.cpu_cores or 0)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_the_usable_processors_are_those_the_process_may_run_on() -> None:
    program = (
        "import os; from bench.measure.environment import describe;"
        " os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); print(describe().cpu_usable)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1"]


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
