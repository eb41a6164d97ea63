"""The whole command, as users run it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
WARNING = re.compile(r"! (?P<what>.+?): (?P<cure>.+)")
CURE = re.compile(
    r"[a-z_.]+=\S+$|https://\S+$|(sudo|pip|export|rm|top|nvidia-smi|unset)\b[^,]*$|threads=\d+$|outside the container$"
)


class Answer(BaseHTTPRequestHandler):
    """Answers as a model hub does."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", "2")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def model_hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture(autouse=True)
def near_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard service, which nobody runs


def warnings_of(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("! ")]


def test_a_page_with_a_cure_for_each_warning(cli: Cli) -> None:
    done = cli("doctor", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert not any("\x1b" in line for line in lines)
    rows = lines[: lines.index("")]
    as_long_as_need_be = ("cache", "results", "instructions")  # paths, and what this processor has
    assert [row for row in rows if len(row) > 100 and not row.startswith(as_long_as_need_be)] == []
    assert {row.split("  ")[0] for row in rows} >= {"libraries", "threads", "memory", "devices", "model hub", "spread"}
    warnings = warnings_of(done.stdout)
    assert any("model hub cannot be reached" in line for line in warnings)
    for line in warnings:
        parts = WARNING.fullmatch(line)
        assert parts is not None, line
        assert CURE.search(parts["cure"]), line


def test_a_hub_that_answers_is_reached(cli: Cli, model_hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", model_hub)
    done = cli("doctor", "--seconds", "1")
    assert f"{model_hub}, reached" in done.stdout
    assert "hub cannot" not in done.stdout


def test_an_offline_hub_is_left_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = cli("doctor", "--seconds", "1")
    assert "not asked: HF_HUB_OFFLINE is set" in done.stdout
    assert "hub cannot" not in done.stdout


def test_busy_processors_are_noticed(cli: Cli) -> None:
    with ExitStack() as stack:
        for _ in os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        done = cli("doctor", "--seconds", "2")
    contention = [line for line in warnings_of(done.stdout) if "other processes used" in line]
    assert len(contention) == 1, done.stdout
    assert re.search(r": stop .+ \(pid \d+, \d+ % of one\).*: top$", contention[0])


def test_too_many_threads_are_noticed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    done = cli("doctor", "--seconds", "1")
    assert re.search(r"^! OMP_NUM_THREADS=1000 is more .*: unset OMP_NUM_THREADS, or threads=\d+$", done.stdout, re.M)


@pytest.mark.parametrize("seconds", ["0.5", "nan", "1e9", "long"])
def test_a_wrong_length_is_refused(cli: Cli, seconds: str) -> None:
    done = cli("doctor", "--seconds", seconds)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--seconds" in done.stderr


def test_torch_stays_out_of_this_process() -> None:
    code = (
        "import sys; from bench.__main__ import main; main(['doctor', '--seconds', '1']);"
        " sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
