import dataclasses
from pathlib import Path

from bench.config import MeasureConfig, PriceConfig
from bench.readings import EnergyUse, Lap
from bench.report import build
from bench.report.latency import energy_of, latency
from tests.report.builder import config, run, study, utterance_result
from tests.report.conftest import text_of
from tests.report.test_tables import Split

NO_RAPL = "the processor's energy counters (RAPL) are not in /sys/class/powercap, as in most virtual machines"


def test_only_what_was_measured_has_a_column(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", warmup_s=()), run("b", config(20), warmup_s=(2.5, 1.0)))
    told = latency(block)
    assert told["heads"] == [("Setting", False), ("Cold first call", True)]
    assert told["rows"] == [["chunk 20 s", "2.50 s"]]


def test_where_nothing_was_measured_there_is_no_table(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", warmup_s=()))
    assert latency(block) == {"heads": [("Setting", False)], "rows": [], "notes": []}


def test_percentiles_are_of_windows_and_of_utterances_and_medians_over_runs(blocks_of: Split) -> None:
    prices = config(measure=MeasureConfig(price_per_hour=PriceConfig(cpu=0.5)))
    # 9 windows waited 1 s and 1 window 3 s; by linear interpolation p90 is 1.2 s and p99 is 2.82 s.
    laps = [Lap(4, 1.0), Lap(5, 1.0), Lap(1, 3.0)]
    spoken = [utterance_result(1, latency_s=0.5), utterance_result(2, latency_s=1.5)]
    slower = [dataclasses.replace(lap, seconds=3 * lap.seconds) for lap in laps]
    (block,) = blocks_of(
        run("a", prices, laps=laps, utterances=spoken, inference_s=10.0),
        run("a", prices, laps=slower, utterances=spoken, inference_s=10.0, replicate=1),
    )
    told = latency(block)
    assert [head for head, _ in told["heads"]][1:] == [
        "Window latency p50 / p90 / p99",
        "Utterance latency p50 / p90 / p99",
        "Cold first call",
        "Cost an hour of audio",
    ]
    # p50 of 1 and 3 s, and so on; an hour of audio takes a tenth of an hour at 0.5 an hour.
    (row,) = told["rows"]
    assert row[1:] == ["2.000 / 2.400 / 5.640 s", "1.000 / 1.400 / 1.490 s", "1.00 s", "0.0500"]


def test_energies_of_different_parts_are_never_put_together(blocks_of: Split) -> None:
    # 100 s of audio are 1/36 of an hour: 100 J are 3600 J, or 1 Wh, an hour.
    (block,) = blocks_of(
        run("a", energy=EnergyUse(cpu_j=100.0)),
        run("a", energy=EnergyUse(cpu_j=100.0, gpu_j=200.0), replicate=1),
        run("a", energy=EnergyUse(cpu_j=300.0), replicate=2),
        run("b", config(20), energy=EnergyUse(gpu_j=50.0, missing=NO_RAPL)),
    )
    told = latency(block)
    energies = {row[0]: row[-1] for row in told["rows"]}
    assert energies == {"chunk 10 s": "2.000 Wh (cpu); 3.000 Wh (cpu+gpu)", "chunk 20 s": "0.500 Wh (gpu)"}
    assert (
        "Energies of different parts are no like for like: only those with the same brackets compare." in told["notes"]
    )
    assert f"Energy is unknown in full or in part: {NO_RAPL}." in told["notes"]
    assert energy_of(block.runs.head(0)) == "–"


def test_the_report_shows_the_table_and_why_energy_is_unknown(tmp_path: Path) -> None:
    runs = [run("a", laps=[Lap(1, 0.25)], energy=EnergyUse(missing=NO_RAPL)), run("b", config(20))]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "Latency, energy and cost" in text
        assert "0.250 / 0.250 / 0.250 s" in text
        assert "Energy is unknown in full or in part: the processor" in text
        assert "nan" not in text
