"""A machine with an NVIDIA GPU, as far as its driver's library tells: ``fake_nvml.c``, compiled on the spot."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

LIBRARY = "libnvidia-ml.so.1"


@pytest.fixture(scope="session")
def compile_nvml(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make `compile_nvml(*flags)`: a folder that holds the fake library."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("a C compiler on Linux is needed for the fake NVML; install gcc")

    def compiled(*flags: str) -> Path:
        folder = tmp_path_factory.mktemp("nvml")
        source = Path(__file__).with_name("fake_nvml.c")
        strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([compiler, "-shared", "-fPIC", *strict, *flags, "-o", folder / LIBRARY, source], check=True)
        return folder

    return compiled


@pytest.fixture(scope="session")
def nvml_folder(compile_nvml: Callable[..., Path]) -> Path:
    """Folder of the library of a present driver."""
    return compile_nvml()


@pytest.fixture
def in_python(tmp_path: Path) -> Callable[..., Any]:
    """Make `in_python(program, library, answers, **environment)`: what a program prints as JSON in its own process.

    NVML is loaded once a process, hence a process a question. The program finds the file of answers, lines of `key
    value`, under the environment variable FAKE_NVML; ``library`` is the folder of ``libnvidia-ml.so.1``.
    """

    def run(program: str, library: Path, answers: Mapping[str, object], **environment: str) -> Any:
        told = tmp_path / "nvml.txt"
        told.write_text("".join(f"{key} {value}\n" for key, value in answers.items()), encoding="ascii")
        inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        folders = [str(library), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **inherited,
                "LD_LIBRARY_PATH": ":".join(folders),
                "FAKE_NVML": str(told),
            }
            | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
