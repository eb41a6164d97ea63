"""What SECURITY.md promises of the code: nothing in it runs what it reads."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bench", "hydra_plugins", "benchmarks", "examples", "tools")

_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve", "imp"}
_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.jit.load", "torch.hub.load",
    "numpy.load", "np.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle", "pandas.read_pickle",
    "tempfile.mktemp", "hydra.utils.instantiate", "subprocess.getoutput", "subprocess.getstatusoutput",
}  # fmt: skip
_KEYWORDS = {
    "shell": True, "trust_remote_code": True, "weights_only": False, "allow_pickle": True, "use_safetensors": False,
    "verify": False,
}  # fmt: skip


def _wrong(source: str) -> Iterator[str]:
    """Yield what a program does that could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names if one.name.partition(".")[0] in _MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in _MODULES:
                yield module
            case ast.Call(func=func, keywords=keywords):
                if (name := ast.unparse(func)) in _CALLS:
                    yield name
                given = {one.arg: ast.unparse(one.value) for one in keywords}
                yield from (f"{name}={value}" for name, value in _KEYWORDS.items() if given.get(name) == str(value))


def test_no_code_runs_what_it_reads() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    found = {path.relative_to(ROOT).as_posix(): set(_wrong(path.read_text(encoding="utf-8"))) for path in files}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from cloudpickle import dumps", "eval('1')", "import torch\ntorch.load('x')", "exec(text)",
        "np.load(path)", "subprocess.run('ls', shell=True)", "Auto.from_pretrained(x, trust_remote_code=True)",
        "yaml.load(text)",
    ],
)  # fmt: skip
def test_it_would_be_found(source: str) -> None:
    assert list(_wrong(source))


def test_no_code_of_a_model_is_run() -> None:
    """Every place that lets transformers read a model says that no code of the model's is to run."""
    for path in (ROOT / "bench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of_auto_class = ast.unparse(node.func.value).lower().startswith("auto")
            if node.func.attr in ("from_pretrained", "from_config") and of_auto_class:
                given = {one.arg: ast.unparse(one.value) for one in node.keywords}
                assert given.get("trust_remote_code") == "False", f"{path} line {node.lineno}"


def test_the_lock_is_what_pip_reported() -> None:
    archive = {"url": "https://example.org/b.whl", "archive_info": {"hashes": {"sha256": "ab" * 32}}}
    report = {
        "install": [
            {"metadata": {"name": "b", "version": "2"}, "download_info": archive, "requested": False},
            {"metadata": {"name": "asr-sweep", "version": "1"}, "download_info": {"url": "file:///x", "dir_info": {}},
             "requested": True},
            {"metadata": {"name": "A", "version": "1.0"}, "download_info": archive, "requested": True},
        ],
        "environment": {"python_full_version": "3.11.7", "sys_platform": "linux", "platform_machine": "x86_64"},
    }  # fmt: skip
    program = [sys.executable, str(ROOT / "tools" / "lock.py")]
    done = subprocess.run(program, input=json.dumps(report), capture_output=True, text=True, check=True)
    head, *pinned = done.stdout.splitlines()
    assert head.startswith("# Python 3.11.7")
    assert pinned == [f"A==1.0 --hash=sha256:{'ab' * 32}", f"b==2 --hash=sha256:{'ab' * 32}"]
    report["install"][0]["download_info"] = {"url": "git+https://example.org/b", "vcs_info": {}}  # type: ignore[index]
    done = subprocess.run(program, input=json.dumps(report), capture_output=True, text=True, check=False)
    assert done.returncode
    assert "git+https://example.org/b" in done.stderr


def test_packaged_files_are_known_by_their_hashes() -> None:
    """Weights that come in packages are compared with hashes that stand in the code."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench" / "assets").glob("*.py"))
    assert len(re.findall(r"\"[0-9a-f]{64}\"", sources)) >= 3
