"""A forecast on disk, and beside what runs took."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from bench.config import SearchConfig
from bench.errors import StoreError
from bench.forecast.record import (
    Forecast,
    ProbeRecord,
    Totals,
    TrialForecast,
    compared,
    read_forecast,
    write_forecast,
)
from bench.forecast.show import cells, clock, comparison_line, lines, spoken


def _trial(trial_id: str, seconds: float | None, mib: float | None, chunk: float) -> TrialForecast:
    unknown = None if seconds is not None else "a probe ended in oom: too large"
    return TrialForecast(trial_id, {"decode.chunk_length_s": chunk}, 2, 1, seconds, mib, None, None, unknown)


FORECAST = Forecast(
    made_at="2026-01-01T00:00:00+00:00",
    command="asr-sweep run -m search.dry_run=true",
    study="s",
    measured={"measure.warmup": 1},
    trials=(_trial("a", 100.0, 1000.0, 10), _trial("b", 20.0, 2000.0, 30), _trial("c", None, None, 60)),
    totals=Totals(
        runs=6,
        done_before=3,
        to_go=3,
        unknown=1,
        skipped=2,
        predicted_s=120.0,
        predicted_all_s=240.0,
        predicted_cost=1.5,
        predicted_peak_rss_mib=2000.0,
        predicted_peak_gpu_mib=None,
        audio_decode_s=65.0,
        probes_s=12.3,
        within_budget=1,
    ),
    probes=(ProbeRecord({"decode.chunk_length_s": 10}, "speed", "ok", None, 80.0, 8, 12.3),),
    notes=("this is taken for granted",),
)


def _runs(*rows: tuple[str, str, str, float, float | None, int]) -> pd.DataFrame:
    names = ["run_id", "trial_id", "status", "wall_s", "peak_rss_mib", "measure.warmup"]
    return pd.DataFrame(rows, columns=names)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_forecast(tmp_path / "new", FORECAST)
    assert read_forecast(tmp_path / "new") == FORECAST
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["forecast.json"]


def test_without_a_dry_run_there_is_none(tmp_path: Path) -> None:
    assert read_forecast(tmp_path) is None


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "{", '{"forecast_version": 1}', '{"forecast_version": "x"}', "[" * 100_000]
)
def test_a_damaged_file_is_refused_with_the_cure(tmp_path: Path, content: str) -> None:
    (tmp_path / "forecast.json").write_text(content)
    with pytest.raises(StoreError, match=r"forecast\.json is not what a dry run writes.*delete it"):
        read_forecast(tmp_path)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    write_forecast(tmp_path, FORECAST)
    path = tmp_path / "forecast.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "forecast_version": 99}))
    with pytest.raises(StoreError, match="upgrade"):
        read_forecast(tmp_path)


def test_only_runs_that_ended_well_and_were_foretold_are_compared() -> None:
    found = compared(
        FORECAST,
        _runs(
            ("a-0", "a", "ok", 50.0, 500.0, 1),
            ("a-1", "a", "ok", 200.0, 1600.0, 1),
            ("b-0", "b", "timeout", 9.0, 9000.0, 1),  # broken off
            ("c-0", "c", "ok", 70.0, 700.0, 1),  # nothing was foretold
            ("d-0", "d", "ok", 70.0, 700.0, 1),  # added since
        ),
    )
    assert found is not None
    assert (found.runs, found.predicted_s, found.real_s, found.ratio) == (2, 200.0, 250.0, 0.8)
    assert (found.predicted_peak_rss_mib, found.real_peak_rss_mib) == (1000.0, 1600.0)
    assert found.memory_ratio == 1000 / 1600
    assert list(found.frame["run_id"]) == ["a-0", "a-1"]
    assert list(found.frame["ratio"]) == [2.0, 0.5]
    assert list(found.frame["memory_ratio"]) == [2.0, 0.625]
    assert comparison_line(found).startswith("predicted 3 min 20 s, took 4 min 10 s (0.80)")


def test_runs_measured_in_another_way_are_not_compared() -> None:
    assert compared(FORECAST, _runs(("a-0", "a", "ok", 50.0, 500.0, 2))) is None
    assert compared(FORECAST, _runs()) is None


def test_without_memory_time_is_compared_all_the_same() -> None:
    found = compared(FORECAST, _runs(("a-0", "a", "ok", 50.0, None, 1)))
    assert found is not None
    assert found.ratio == 2.0
    assert found.memory_ratio is None
    assert comparison_line(found) == "predicted 1 min 40 s, took 50.0 s (2.00)"


def test_a_table_has_a_row_a_setting() -> None:
    heads, rows = cells(FORECAST)
    assert heads == ["chunk_length_s", "runs to go", "a run takes", "Peak RAM"]
    assert rows[0] == ["10", "1 of 2", "100.0 s", "1000 MiB"]
    assert rows[2] == ["60", "1 of 2", "unknown", "–"]
    priced = dataclasses.replace(FORECAST.trials[0], predicted_cost=0.5, predicted_peak_gpu_mib=300.0)
    heads, rows = cells(dataclasses.replace(FORECAST, trials=(priced, *FORECAST.trials[1:])))
    assert heads[-2:] == ["Peak GPU memory", "a run costs"]
    assert (rows[0][-2:], rows[1][-2:]) == (["300 MiB", "0.5"], ["–", "–"])


def test_the_sum_tells_time_cost_memory_budget_and_what_is_unknown() -> None:
    said = lines(FORECAST, SearchConfig(budget_s=60))
    assert said == [
        "3 of 6 runs to go, 3 done before, 2 impossible points skipped",
        "time: 0:02:00, and 0:01:05 once for audio that was never decoded; all runs, those done before too: 0:04:00",
        "cost: 1.5",
        "highest memory: 2000 MiB",
        "1 of 3 runs fit into search.budget_s=60",
        "unknown for 1 runs, which count nothing here: a probe ended in oom: too large",
        "the probes took 12.3 s",
        "this is taken for granted",
    ]


def test_durations() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 250, 36_061)] == ["0:00:00", "0:01:00", "0:04:10", "10:01:01"]
    assert [spoken(seconds) for seconds in (4.25, 250, 7260)] == ["4.2 s", "4 min 10 s", "2 h 1 min"]
