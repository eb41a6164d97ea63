"""What a run's memory is made of, as a table; what could not be had is unknown, never nothing."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import pandas as pd

from bench.report.frontier import Recommendation
from bench.report.sheet import sheet
from bench.report.tables import Block

Part: TypeAlias = tuple[str, str, str]  # what it is, how much, a remark

_NEW = ("weights_mib", "features_mib", "cache_mib", "pss_mib", "uss_mib", "mapped_mib", "peak_gpu_device_mib")

_SOURCES = {
    "vmhwm": "the kernel's own peak, after loading",
    "vmhwm_since_start": "the kernel's own peak, loading included",
    "sampled": "the highest sample, a lower bound",
}
_DRIVER = {
    "process": "as the driver ascribes to the run's process",
    "device_difference": "the device's peak beyond what was in use before the run: what others took meanwhile is in it",
}


def footprint(block: Block, recommendation: Recommendation) -> dict[str, Any]:
    """Gather what the memory of the recommended setting's typical run is made of.

    Returns:
        A :func:`sheet` of part, remark and amount with a ``title``; no rows where nothing but the peak was recorded, as
        in runs of an earlier version.
    """
    if recommendation.picks is None:
        return sheet([], [], title="")
    row = block.row(recommendation.picks.recommended)
    run = block.runs[block.runs["run_id"] == row["typical_run"]].iloc[0]
    if run[list(_NEW)].isna().all():
        return sheet([], [], title="")
    on_gpu = not str(block.factors["device"]).startswith("cpu")
    rows = [*_host(run, on_gpu), *(_gpu(run) if on_gpu else ())]
    title = f"What its memory is made of: {row['label']}, run {run['run_id']}"
    ordered = [(part, remark, amount) for part, amount, remark in rows]
    return sheet(["Part", "", "Amount"], ordered, words=2, title=title)


def _host(run: "pd.Series[Any]", on_gpu: bool) -> Iterator[Part]:
    source = _SOURCES.get(str(run["peak_rss_source"]), "")
    yield "Peak RAM", _mib(run["peak_rss_mib"]), source
    yield "\N{EN DASH} before the model was loaded", _mib(run["rss_at_start_mib"]), "shared with the process server"
    if not on_gpu:
        yield from _model(run)
    yield "RAM after inference, shared pages in part (PSS)", _mib(run["pss_mib"]), ""
    yield "RAM after inference, of this process alone (USS)", _mib(run["uss_mib"]), ""
    yield "RAM after inference, heap and stacks", _mib(run["anonymous_mib"]), ""
    yield "RAM after inference, mapped files", _mib(run["mapped_mib"]), "libraries, and the cache of decoded audio"
    if run["peak_descendants_rss_mib"] > 0:
        yield "Peak RAM of processes it started", _mib(run["peak_descendants_rss_mib"]), "not in the peak above"
    if pd.notna(run["cgroup_peak_mib"]):
        yield "Peak of the container", _mib(run["cgroup_peak_mib"]), "page cache too"


def _gpu(run: "pd.Series[Any]") -> Iterator[Part]:
    yield "Peak GPU memory, torch's live tensors", _mib(run["peak_gpu_allocated_mib"]), ""
    yield from _model(run)
    yield "Peak GPU memory, held by torch's allocator", _mib(run["peak_gpu_reserved_mib"]), ""
    source = str(run["gpu_memory_source"])
    known = run["peak_gpu_process_mib" if source == "process" else "peak_gpu_device_mib"]
    yield "Peak GPU memory, by the driver", _mib(known), _DRIVER.get(source, "")
    rest = "the CUDA context, libraries' workspaces, and what was sampled at another moment"
    yield "\N{EN DASH} not explained by torch", _mib(run["gpu_unexplained_mib"]), rest


def _model(run: "pd.Series[Any]") -> Iterator[Part]:
    yield "\N{EN DASH} weights", _mib(run["weights_mib"]), ""
    yield "\N{EN DASH} features", _mib(run["features_mib"]), "of the largest batch"
    yield "\N{EN DASH} decoder cache", _mib(run["cache_mib"]), "keys and values of the largest batch"
    yield "\N{EN DASH} activations and the rest", _mib(run["activations_mib"]), "what the parts above leave of the peak"


def _mib(value: float | None) -> str:
    return (
        "unknown" if value is None or pd.isna(value) else f"{value:.0f} MiB" if abs(value) >= 10 else f"{value:.1f} MiB"
    )
