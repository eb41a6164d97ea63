import dataclasses

import pytest

from bench.metrics import COSTS, ENERGY, METRICS, WER
from bench.schema import RUN_SCHEMA


@pytest.mark.parametrize("metric", [*METRICS, *COSTS], ids=lambda metric: metric.column)
def test_every_metric_is_a_column_of_the_runs_table(metric: object) -> None:
    assert dataclasses.asdict(metric)["column"] in RUN_SCHEMA.names  # type: ignore[call-overload]


def test_values_are_shown_in_the_unit_they_are_called_by() -> None:
    assert WER.show(0.058) == "5.8 %"
    assert ENERGY.show(7200.0) == "2.000 Wh"  # an hour at 1 W is 3600 J
    assert ENERGY.show(None) == "–"
    assert ENERGY.axis == "Energy an hour of audio [Wh], lower is better"
