"""``asr-sweep features`` as users run it, and what it and ``run`` refuse."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageChops, ImageStat

from bench.__main__ import _parser, main

Cli = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
WAV2VEC2 = "architecture/wav2vec2-base"


def test_it_draws_and_tells_what_each_hop_length_costs(
    tmp_path: Path, write_wav: Callable[..., Path], tiny_en: Path, cli: Cli
) -> None:
    write_wav(tmp_path / "call.wav", 3, 48_000)
    done = cli("features", "call.wav", "--hop-length", "80", "160", "320", "80")
    assert (done.returncode, done.stderr) == (0, "")
    rows = re.findall(r"^ (\d+) \((\d+) ms\) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+) ", done.stdout, re.MULTILINE)
    assert rows == [
        ("80", "5", "600", "300", "6,000", "3,000"),
        ("160", "10", "300", "150", "3,000", "1,500"),
        ("320", "20", "150", "75", "1,500", "750"),
    ]
    assert "Resampling drops what lies between 8 kHz and 24 kHz" in done.stdout
    png, svg = done.stdout.splitlines()[-2:]
    assert (png, svg) == ("reports/features/call.png", "reports/features/call.svg")
    with Image.open(tmp_path / png) as image:
        image.load()
    assert ElementTree.parse(tmp_path / svg).getroot().tag.endswith("svg")


def test_a_model_of_waveforms_is_shown_by_its_frames(
    tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    audio = write_wav(tmp_path / "call.wav", 2, 8_000)
    assert main(["features", str(audio), "--model", WAV2VEC2, "--output", str(tmp_path), "--duration", "1"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ none +16,000 +49 +16,000 +49 +50 ", said, re.MULTILINE)
    assert "The file holds nothing above 4 kHz" in said
    assert (tmp_path / "call.png").is_file()


WRONG = [
    (["absent.wav"], "absent.wav is no file", "give the path of a recording"),
    (["broken.wav"], "broken.wav cannot be decoded", "complete audio file"),
    (["tone.wav", "--start", "9"], "holds less than 0.1 s from --start 9", "give a lower --start"),
    (["tone.wav", "--duration", "90"], "--duration 90 is not between 0.1 and 30", "with --start"),
    (["tone.wav", "--hop-length", "1"], "--hop-length 1 is not between 16 and 400", "give one within"),
    (["tone.wav", "--hop-length", "many"], "invalid int value: 'many'", "asr-sweep --help"),
    (["tone.wav", "--hop-length", "80", "--model", WAV2VEC2], "reads the waveform itself", "leave --hop-length out"),
    (["tone.wav", "--model", "./nowhere"], "./nowhere is no folder", "give a local model's folder"),
    (["tone.wav", "--output", "broken.wav"], "broken.wav", "check that this path exists"),
]


@pytest.mark.parametrize(("arguments", "fault", "cure"), WRONG, ids=[" ".join(case[0]) for case in WRONG])
def test_a_wrong_request_gets_one_line_and_status_2(
    arguments: list[str],
    fault: str,
    cure: str,
    tmp_path: Path,
    write_wav: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "tone.wav", 1)
    (tmp_path / "broken.wav").write_text("no sound")
    model = [] if "--model" in arguments else ["--model", "architecture/whisper-tiny"]
    assert main(["features", *arguments, *model]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert fault in line
    assert cure in line
    assert not list(tmp_path.rglob("*.png"))


def test_the_documents_commands_are_understood() -> None:
    commands = [line for block in _fenced("sh") for line in block.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "asr-sweep"
        assert _parser().parse_args(arguments).command is not None


@pytest.mark.slow
@pytest.mark.skipif(find_spec("moonshine_voice") is None, reason="needs the recordings: pip install 'asr-sweep[demo]'")
def test_the_documents_pictures_are_what_its_commands_draw(tmp_path: Path, tiny_en: Path, cli: Cli) -> None:
    (code,) = _fenced("python")
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, timeout=120)
    *_, commands = _fenced("sh")
    pictures = [ROOT / "docs" / name for name in re.findall(r"!\[[^]]+\]\(([^)]+)\)", DOCS)]
    assert all(picture.stat().st_size < 300_000 for picture in pictures)
    for command, picture in zip(commands.splitlines(), pictures, strict=True):
        done = cli(*shlex.split(command)[1:])
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / done.stdout.splitlines()[-2]) as drawn, Image.open(picture) as shown:
            difference = ImageChops.difference(drawn.convert("L"), shown.convert("L"))
            assert drawn.size == shown.size
            assert ImageStat.Stat(difference).mean[0] < 2  # of 255: other versions may place a letter otherwise


def _fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
