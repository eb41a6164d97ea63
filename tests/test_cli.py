"""What the command line says when a request is wrong: one line with the cure, and exit status 2."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.store import write_study

Cli = Callable[..., subprocess.CompletedProcess[str]]
FAKE = ["run", "engine=fake", "model=fake"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Arguments, and what the line must hold: what is wrong, and the cure.
WRONG = [
    ([*FAKE, "decode.chunk_size=10"], "decode.chunk_size is no setting", "'asr-sweep run --cfg job' lists them all"),
    ([*FAKE, "decode.chunk_lenght_s=10"], "decode.chunk_lenght_s is no setting", "did you mean decode.chunk_length_s?"),
    ([*FAKE, "decode.num_beams=some"], "decode.num_beams: Value 'some'", "Integer"),
    ([*FAKE, "decode.batch_size=some"], "decode.batch_size=some is no number", "give one, or auto"),
    ([*FAKE, "decode=vad", "decode.stride_length_s=1"], "decode.strategy=vad has no strides", "use decode=vad"),
    ([*FAKE, "decode.batch_size=0"], "decode.batch_size=0 is too small", "give at least 1"),
    ([*FAKE, "device=gpu"], "device='gpu' is unknown", "use cpu, cuda"),
    ([*FAKE, "decode.chunk_length_s=8", "decode.stride_length_s=4"], "decode.stride_length_s=4", "a stride below 4"),
    ([*FAKE, "data=manifest", "data.path=no.csv"], "no manifest at no.csv", "data.path=FILE"),
    ([*FAKE, "data=manifest"], "data=manifest needs a path", "add data.path=FILE"),
    ([*FAKE, "data=manifest", "data.path=outside.csv"], "leaves the data root", "data.allow_outside_root=true"),
    ([*FAKE, "data=manifest", "data.path=broken.csv"], "broken.csv line 2 has no text", "give its transcript"),
    ([*FAKE, "decode.chunk_length_s=10,20"], "decode.chunk_length_s=10,20 lists several values", "add -m"),
    ([*FAKE, "-m", "decode.chunk_length_s=interval(10,20)"], "no finite set of values", "range(start,stop,step)"),
    ([*FAKE, "-m", "study=a,b"], "study holds for a study as a whole", "give it one value"),
    ([*FAKE, "study=a/b"], "study='a/b' cannot name a folder", "study=my_sweep"),
    (["run", "experiment=dmeo"], "experiment=dmeo is unknown", "demo"),
    (["run", "experiment=null"], "must be a string", "--help"),
    (["run", "model=whisper_tiny"], "model=whisper_tiny is unknown", "whisper_tiny_en"),
    (["run", "model.name=./no_such_folder"], "model.name=./no_such_folder is no folder", "local model's folder"),
    (["report", "nosuch"], "nosuch", "studies in results: none"),
]


@pytest.mark.parametrize(("arguments", "fault", "cure"), WRONG, ids=[" ".join(case[0]) for case in WRONG])
def test_a_wrong_request_gets_one_line_and_status_2(
    arguments: list[str], fault: str, cure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside.csv").write_text("path,text\n../a.wav,x\n")
    (tmp_path / "broken.csv").write_text("path,text\na.wav\n")
    needs_data = not any(argument.startswith(("data", "experiment", "report")) for argument in arguments)
    if needs_data:  # any readable manifest: nothing here gets as far as its audio
        (tmp_path / "good.csv").write_text("path,text\na.wav,x\n")
        arguments = [*arguments, "data=manifest", "data.path=good.csv"]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("asr-sweep: ")
    assert fault in line
    assert cure in line
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["report"], ["list", "--frob"]])
def test_an_unknown_command_or_flag_is_refused_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asr-sweep: ")
    assert "asr-sweep --help" in line


def test_an_unknown_flag_of_run_gets_the_usage_of_hydra(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "--frob"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: asr-sweep")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert main(["run", "engine=fake", "model=fake", f"results.root={in_the_way}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(in_the_way) in line
    assert "check that this path" in line


def test_without_studies_list_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "no studies under results; make one with: asr-sweep run experiment=demo\n"
    assert main(["list", "--results", "elsewhere"]) == 0
    assert "no studies under elsewhere" in capsys.readouterr().out


def test_studies_that_cannot_be_read_are_listed_with_the_reason_beside_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    for name in ("date", "folder", "loop", "sound"):
        write_study(results / name, {"study": name})
    (results / "date" / "study.yaml").write_text("made: 2020-13-45", encoding="utf-8")
    (results / "folder" / "study.yaml").unlink()
    (results / "folder" / "study.yaml").mkdir()
    (results / "loop" / "runs").mkdir()
    (results / "loop" / "runs" / "a.parquet").symlink_to("a.parquet")
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines() if "cannot be read  " in line] == ["date", "folder", "loop"]
    assert re.search(r"^ *sound +transcribe ", told, re.MULTILINE)
    assert "date: results/date/study.yaml cannot be read (month must be in 1..12)" in told


def test_asking_for_the_settings_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAKE, "seed=123", "--cfg", "job"]) == 0
    assert "seed: 123" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_as_a_process_a_wrong_request_leaves_no_traceback(cli: Cli) -> None:
    done = cli(*FAKE, "decode.chunk_length_s=abc")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("asr-sweep: decode.chunk_length_s: Value 'abc'")


def test_help_names_the_commands(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    for command in ("run", "report", "list"):
        assert re.search(rf"^ +{command} +\w", done.stdout, re.MULTILINE), command


def test_it_tells_its_version(cli: Cli) -> None:
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert cli("--version").stdout == f"asr-sweep {pyproject['project']['version']}\n"


def test_the_driver_composes_and_plans_without_importing_torch() -> None:
    program = (
        "import sys; from bench.__main__ import main;"
        " main(['run', 'engine=fake', 'model=fake', 'data=manifest', 'data.path=no.csv']);"
        " sys.exit('bench.sweep' not in sys.modules or 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "no manifest at no.csv" in done.stderr
    assert done.returncode == 0


def test_a_reader_that_has_seen_enough_ends_it_in_silence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "list", "--results", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (141, b"")
