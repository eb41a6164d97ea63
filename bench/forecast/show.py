"""A forecast in words and as a table."""

from collections.abc import Mapping
from typing import Any

from bench.config import SearchConfig
from bench.forecast.probes import Probe
from bench.forecast.record import Compared, Forecast
from bench.metrics import PEAK_GPU, PEAK_RSS


def cells(forecast: Forecast) -> tuple[list[str], list[list[str]]]:
    """Return the heads and rows of a table: a row a setting, what varies in it and what a run of it takes."""
    names = list(dict.fromkeys(name for trial in forecast.trials for name in trial.settings))
    gpu = any(trial.predicted_peak_gpu_mib is not None for trial in forecast.trials)
    cost = any(trial.predicted_cost is not None for trial in forecast.trials)
    heads = [*(name.rpartition(".")[2] for name in names), "runs to go", "a run takes", PEAK_RSS.label]
    heads += [PEAK_GPU.label] * gpu + ["a run costs"] * cost
    rows = []
    for trial in forecast.trials:
        row = [*(_value(trial.settings, name) for name in names), f"{trial.to_go} of {trial.runs}"]
        row += ["unknown" if trial.predicted_s is None else f"{trial.predicted_s:.1f} s"]
        row += [PEAK_RSS.show(trial.predicted_peak_rss_mib)]
        row += [PEAK_GPU.show(trial.predicted_peak_gpu_mib)] * gpu
        row += ["–" if trial.predicted_cost is None else f"{trial.predicted_cost:.4g}"] * cost
        rows.append(row)
    return heads, rows


def lines(forecast: Forecast, search: SearchConfig) -> list[str]:
    """Sum a forecast up."""
    totals = forecast.totals
    runs = f"{totals.to_go} of {totals.runs} runs to go, {totals.done_before} done before"
    if totals.skipped:
        runs += f", {totals.skipped} impossible points skipped"
    took = f"time: {clock(totals.predicted_s)}"
    if totals.audio_decode_s >= 1:
        took += f", and {clock(totals.audio_decode_s)} once for audio that was never decoded"
    if totals.done_before:
        took += f"; all runs, those done before too: {clock(totals.predicted_all_s)}"
    said = [runs, took]
    if totals.predicted_cost is not None:
        said.append(f"cost: {totals.predicted_cost:.4g}")
    if totals.predicted_peak_rss_mib is not None:
        said.append(f"highest memory: {PEAK_RSS.show(totals.predicted_peak_rss_mib)}")
    if totals.predicted_peak_gpu_mib is not None:
        said.append(f"highest GPU memory: {PEAK_GPU.show(totals.predicted_peak_gpu_mib)}")
    if totals.within_budget is not None:
        limits = [
            f"search.{name}={value:g}"
            for name in ("budget_s", "budget_cost")
            if (value := getattr(search, name)) is not None
        ]
        said.append(f"{totals.within_budget} of {totals.to_go} runs fit into {' and '.join(limits)}")
    if totals.unknown:
        reasons = dict.fromkeys(trial.unknown for trial in forecast.trials if trial.unknown)
        said.append(f"unknown for {totals.unknown} runs, which count nothing here: {'; '.join(map(str, reasons))}")
    said.append(f"the probes took {spoken(totals.probes_s)}")
    return [*said, *forecast.notes]


def probe_line(number: int, total: int, probe: Probe) -> str:
    """Say how a probe went."""
    what = f"probe {number} of {total} ({probe.wanted.why})"
    if not probe.ended_well:
        return f"{what}: {probe.status}: {probe.reason}"
    windows = f"{probe.decoded.windows:.0f} windows"
    return f"{what}: {windows} of {probe.audio_s:.0f} s of audio, {probe.wall_s:.1f} s"


def comparison_line(found: Compared) -> str:
    """Say what was foretold and what it took, with their ratio."""
    said = f"predicted {spoken(found.predicted_s)}, took {spoken(found.real_s)} ({found.ratio:.2f})"
    if found.memory_ratio is not None:
        predicted, real = PEAK_RSS.show(found.predicted_peak_rss_mib), PEAK_RSS.show(found.real_peak_rss_mib)
        said += f"; memory: predicted {predicted}, took {real} ({found.memory_ratio:.2f})"
    return said


def spoken(seconds: float) -> str:
    """Write a duration as people say it: ``4 min 10 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def clock(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds: ``0:04:10``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _value(settings: Mapping[str, Any], name: str) -> str:
    """Write a value; what a condition leaves open at a point has none."""
    if name not in settings:
        return "–"
    value = settings[name]
    return f"{value:g}" if isinstance(value, float) else "null" if value is None else str(value)
