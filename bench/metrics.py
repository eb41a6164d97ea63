"""What is measured about a run, as data: label, unit, and which direction is better.

Tables, figures and the progress line read this table, so none of them knows a metric by heart.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A column of the runs table that settings are compared by.

    Attributes:
        column: Name in the runs table.
        label: Name for people.
        unit: Unit of ``column * scale``; empty for a pure number.
        smaller_is_better: Direction.
        scale: Factor from the stored value to the shown one (a stored WER of 0.058 is shown as 5.8 %).
        decimals: Decimals shown.
    """

    column: str
    label: str
    unit: str
    smaller_is_better: bool
    scale: float = 1.0
    decimals: int = 1

    def show(self, value: float | None) -> str:
        """Format a stored value with its unit; a null or NaN is an en dash."""
        if value is None or value != value:
            return "–"
        return f"{value * self.scale:.{self.decimals}f}{f' {self.unit}' if self.unit else ''}"

    @property
    def axis(self) -> str:
        """Axis label: name, unit and direction."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.label}{unit}, {'lower' if self.smaller_is_better else 'higher'} is better"


WER = Metric("wer", "WER", "%", smaller_is_better=True, scale=100.0)
RTFX = Metric("rtfx", "RTFx", "", smaller_is_better=False)
PEAK_RSS = Metric("peak_rss_mib", "Peak RAM", "MiB", smaller_is_better=True, decimals=0)
PEAK_GPU = Metric("peak_gpu_reserved_mib", "Peak GPU memory", "MiB", smaller_is_better=True, decimals=0)
METRICS = (WER, RTFX, PEAK_RSS, PEAK_GPU)

WINDOW_LATENCIES = tuple(
    Metric(f"window_latency_{rank}_s", f"Window {rank}", "s", smaller_is_better=True, decimals=3)
    for rank in ("p50", "p90", "p99")
)
UTTERANCE_LATENCIES = tuple(
    Metric(f"utterance_latency_{rank}_s", f"Utterance {rank}", "s", smaller_is_better=True, decimals=3)
    for rank in ("p50", "p90", "p99")
)
COLD = Metric("cold_s", "Cold first call", "s", smaller_is_better=True, decimals=2)
ENERGY = Metric(
    "energy_j_per_audio_h", "Energy an hour of audio", "Wh", smaller_is_better=True, scale=1 / 3600, decimals=3
)
COST = Metric("cost_per_audio_h", "Cost an hour of audio", "", smaller_is_better=True, decimals=4)
COSTS = (*WINDOW_LATENCIES, *UTTERANCE_LATENCIES, COLD, ENERGY, COST)
"""What a setting takes besides its time and memory. Energies compare only where ``energy_scope`` is the same."""

ALL = {
    metric.column: metric
    for metric in (
        *METRICS,
        Metric("rtf", "RTF", "", smaller_is_better=True, decimals=4),
        Metric("energy_j", "Energy", "J", smaller_is_better=True),
        *COSTS,
        Metric("load_s", "Loading", "s", smaller_is_better=True, decimals=2),
        Metric("weights_mib", "Weights", "MiB", smaller_is_better=True, decimals=0),
        Metric("features_mib", "Features", "MiB", smaller_is_better=True, decimals=0),
        Metric("cache_mib", "Cache", "MiB", smaller_is_better=True, decimals=0),
        Metric("peak_gpu_allocated_mib", "Peak GPU tensors", "MiB", smaller_is_better=True, decimals=0),
        Metric("peak_gpu_process_mib", "Peak GPU memory of the process", "MiB", smaller_is_better=True, decimals=0),
    )
}
"""Every metric that a search may take for its objectives and constraints, by its column."""

TIMED = frozenset(("rtf", "rtfx", "energy_j", "load_s", *(metric.column for metric in COSTS)))
"""Columns of those that follow from time, and mean nothing of runs that disturbed each other."""
