import dataclasses
from pathlib import Path

import pytest

from bench import api
from bench.__main__ import main
from bench.config import AUTO
from bench.errors import BenchError, ConfigError, StoreError
from bench.readings import Doubt
from bench.report.comparison import choose_baseline
from bench.store import load_runs
from tests.report.builder import VALID, config, doubted, run, study
from tests.report.test_pairs import FAST, SLOW, runs_of

BUSY = doubted((Doubt.contention, "others"))


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    return study(tmp_path / "results" / "s", [*runs_of("a", SLOW), *runs_of("b", FAST, device="cuda")])


def test_the_comparison_is_a_frame_of_a_row_a_pair(devices: Path) -> None:
    frame = api.compare(devices, "device")
    assert len(frame) == 1
    row = frame.iloc[0]
    assert (row["value"], row["baseline"], row["runs"], row["baseline_runs"]) == ("cuda", "cpu", 4, 4)
    assert (row["speed_up"], row["low"], row["high"]) == pytest.approx((2.0, 10 / 6.5, 13 / 5))
    assert row["p_value"] == row["p_adjusted"] == pytest.approx(2 / 70)
    assert row["rtfx"] == pytest.approx(100 / 5.75)
    assert row["different"]
    assert api.compare(devices, "device", baseline="cuda")["speed_up"].tolist() == pytest.approx([0.5])


def test_the_command_prints_a_plain_table_to_a_pipe(
    devices: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["compare", str(devices), "device", "--valid-only"]) == 0
    head, row, *told = capsys.readouterr().out.splitlines()
    assert head.split() == ["device", "runs", "RTFx", "against", "cpu"]
    assert row.split("  ")[0].strip() == "cuda"
    assert "2.00 times as fast (1.54 to 2.60)" in row
    assert told == [
        "0 runs without a valid timing were left out.",
        "8 timings carry no certificate: an earlier version took them.",
    ]


@pytest.mark.parametrize(
    ("setting", "options", "message"),
    [
        ("threads", [], "threads does not vary within this study; those that do: device"),
        ("device", ["--baseline", "mps"], "no run of this study has device=mps; use --baseline with one of: cpu, cuda"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line_with_the_cure(
    devices: Path, capsys: pytest.CaptureFixture[str], setting: str, options: list[str], message: str
) -> None:
    assert main(["compare", "s", setting, "--results", str(devices.parent), *options]) == 2
    assert capsys.readouterr().err == f"asr-sweep: {message}\n"


def test_an_unknown_study_names_those_there_are(devices: Path) -> None:
    with pytest.raises(StoreError, match=r"no study at .*nosuch; studies in .*: s"):
        api.compare(devices.parent / "nosuch", "device")


def test_invalid_timings_are_left_out_on_request(tmp_path: Path) -> None:
    runs = [
        run("a", inference_s=10.0, certificate=VALID),
        run("a", inference_s=90.0, replicate=1, certificate=BUSY),
        run("b", config(20), inference_s=5.0, certificate=VALID),
    ]
    folder = study(tmp_path / "s", runs)
    assert api.compare(folder, "decode.chunk_length_s")["baseline_runs"].tolist() == [2]
    frame = api.compare(folder, "decode.chunk_length_s", valid_only=True)
    assert frame[["runs", "baseline_runs", "speed_up"]].to_numpy().tolist() == [[1, 1, 2.0]]


def test_where_no_valid_timing_is_left_the_cure_is_named(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", [run("a", certificate=BUSY), run("b", config(20), certificate=BUSY)])
    with pytest.raises(StoreError, match=r"no run has a valid timing; .* measure.rerun_invalid=2, or leave out"):
        api.compare(folder, "decode.chunk_length_s", valid_only=True)


def test_a_study_in_which_nothing_varies_has_nothing_to_compare(tmp_path: Path) -> None:
    for name, runs in (("one", [run("a")]), ("none", [])):
        with pytest.raises(ConfigError, match="no setting does, so there is nothing to compare"):
            api.compare(study(tmp_path / name, runs), "device")


def test_a_baseline_is_found_however_it_is_written(tmp_path: Path) -> None:
    sizes = {size: dataclasses.replace(config().decode, batch_size=size) for size in (4, AUTO)}
    runs = [run(str(size), config(decode=decode)) for size, decode in sizes.items()]
    loaded = load_runs(study(tmp_path / "sizes", runs))
    assert choose_baseline(loaded, "decode.batch_size") == 4
    assert choose_baseline(loaded, "decode.batch_size", "4") == 4
    assert choose_baseline(loaded, "decode.batch_size", "auto") is None
    chunks = load_runs(study(tmp_path / "chunks", [run("a", config(10)), run("b", config(7.5))]))
    assert choose_baseline(chunks, "decode.chunk_length_s") == 7.5
    for spelt in ("10", "10.0", "10 s"):
        assert choose_baseline(chunks, "decode.chunk_length_s", spelt) == 10
    with pytest.raises(BenchError, match=r"one of: 7.5, 10"):
        choose_baseline(chunks, "decode.chunk_length_s", "8")
