import dataclasses
from pathlib import Path

import pytest

from bench.readings import Footprint, Sample
from bench.report import build
from bench.report.footprint import footprint
from bench.report.frontier import recommend
from tests.report.builder import MACHINE, config, run, study
from tests.report.conftest import text_of
from tests.report.test_tables import Split

GPU = dataclasses.replace(MACHINE, gpu="Test GPU")


def amounts(blocks_of: Split, *runs: object) -> dict[str, str]:
    (block,) = blocks_of(*runs)
    return {part.removeprefix("– "): amount for part, _, amount in footprint(block, recommend(block))["rows"]}


def test_the_parts_of_the_peak_add_up(blocks_of: Split) -> None:
    told = amounts(
        blocks_of,
        run("a", peak_mib=800.0, footprint=Footprint(150.0, 20.0, 30.0), memory={"pss_mib": 610.0, "uss_mib": 8.26}),
    )
    assert told["Peak RAM"] == "800 MiB"
    parts = ("before the model was loaded", "weights", "features", "decoder cache", "activations and the rest")
    assert [told[part] for part in parts] == ["300 MiB", "150 MiB", "20 MiB", "30 MiB", "300 MiB"]
    assert told["RAM after inference, of this process alone (USS)"] == "8.3 MiB"
    assert told["RAM after inference, mapped files"] == "unknown"
    assert not any("GPU" in part for part in told)


def test_what_is_unknown_is_not_nothing(blocks_of: Split) -> None:
    told = amounts(blocks_of, run("a", footprint=Footprint(150.0)))
    assert [told[part] for part in ("features", "decoder cache", "activations and the rest")] == ["unknown"] * 3


@pytest.mark.parametrize(
    ("of_process_mib", "driver", "rest", "remark"),
    [
        (None, "2900 MiB", "700 MiB", "the device's peak beyond what was in use before"),
        (2500.0, "2500 MiB", "300 MiB", "as the driver ascribes to the run's process"),
    ],
)
def test_on_a_gpu_the_drivers_view_is_flagged_by_its_source(
    blocks_of: Split, of_process_mib: float | None, driver: str, rest: str, remark: str
) -> None:
    seen = [
        Sample(float(at), "inference", gpu_memory_mib=mib, gpu_process_mib=of_process_mib)
        for at, mib in enumerate((700.0, 3500.0))
    ]
    held = Footprint(1000.0, 100.0, 200.0)
    settings = config(device="cuda")
    (block,) = blocks_of(
        run("a", settings, gpu_mib=2200.0, footprint=held, timeline=seen, gpu_before_mib=600.0, machine=GPU)
    )
    rows = {part.removeprefix("– "): (why, amount) for part, why, amount in footprint(block, recommend(block))["rows"]}
    assert rows["activations and the rest"][1] == "800 MiB"  # of 2100 MiB allocated
    assert rows["Peak GPU memory, by the driver"][1] == driver
    assert rows["Peak GPU memory, by the driver"][0].startswith(remark)
    assert rows["not explained by torch"][1] == rest


def test_the_report_says_it_of_the_recommended_setting_only(tmp_path: Path) -> None:
    runs = [
        run("a", config(10), errors=9, footprint=Footprint(111.0, 1.0, 1.0)),
        run("b", config(20), errors=3, footprint=Footprint(222.0, 1.0, 1.0)),
    ]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "What its memory is made of: chunk 20 s, run b-0" in text
        assert "222 MiB" in text
        assert "111 MiB" not in text
