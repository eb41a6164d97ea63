"""A forecast beside what was taken; a run here took 20 s."""

from pathlib import Path

from bench.forecast.record import Forecast, Totals, TrialForecast, write_forecast
from bench.report import build
from bench.report.foretold import foretold
from bench.report.tables import blocks
from bench.store import load_runs
from tests.report.builder import config, run, study
from tests.report.conftest import text_of

TOTALS = Totals(2, 0, 2, 0, 0, 35.0, 35.0, None, 900.0, None, 0.0, 1.0, None)


def forecast(**predicted_s: float | None) -> Forecast:
    trials = tuple(TrialForecast(name, {}, 1, 1, value, 900.0, None, None) for name, value in predicted_s.items())
    return Forecast("2025-01-01T00:00:00Z", "asr-sweep", "s", {}, trials, TOTALS, ())


def test_what_was_foretold_stands_beside_what_was_taken(tmp_path: Path) -> None:
    folder = study(tmp_path / "results" / "s", [run("a", config(5)), run("b", config(10)), run("c", config(20))])
    assert "Predicted" not in (build(folder, tmp_path / "reports") / "index.html").read_text()
    write_forecast(folder, forecast(a=25.0, b=10.0, c=None))
    runs = load_runs(folder)
    told = foretold(folder, runs, blocks(runs))
    assert told is not None
    # 10 s for 20 s is further off than 25 s for 20 s.
    assert told["rows"] == [
        ["chunk 10 s", "10.0 s", "20.0 s", "0.50", "900 MiB", "800 MiB"],
        ["chunk 5 s", "25.0 s", "20.0 s", "1.25", "900 MiB", "800 MiB"],
    ]
    report = build(folder, tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "Predicted against real" in text
        assert "predicted 35 s for the 2 runs that ended well; they took 40 s (ratio 0.88)." in text
        assert "The highest memory was predicted at 900 MiB and was 800 MiB (ratio 1.12)." in text


def test_a_forecast_that_cannot_be_read_takes_nothing_from_the_report(tmp_path: Path) -> None:
    folder = study(tmp_path / "results" / "s", [run("a")])
    (folder / "forecast.json").write_text("{}")
    text = text_of((build(folder, tmp_path / "reports") / "index.html").read_text())
    assert "is not what a dry run writes" in text
    assert text.startswith("Only one setting can be judged")
