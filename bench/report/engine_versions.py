"""Runs whose engine has been replaced by another version of itself since: a part of a block's checked environment.

Engines are compared within a block, so what they consist of differs there by nature. What must not be pooled are two
versions of the *same* engine.
"""

from collections.abc import Mapping

import pandas as pd

from bench.report.labels import plain

VERSION = "env.engine_version"
"""Column of the packages that a run's engine consists of; null in runs that failed, or of an earlier schema."""

EARLIER_ENGINE = "env.earlier_engine"
"""Column that :func:`with_earlier_engines` adds."""


def with_earlier_engines(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the version of a run's engine where runs that began later had another one, and null elsewhere.

    Args:
        runs: Rows of the runs table.
    """
    latest = latest_versions(runs)
    earlier = [
        version if version is not None and version != latest.get(str(engine)) else None
        for engine, version in zip(runs["engine"], map(plain, runs[VERSION]), strict=True)
    ]
    return runs.assign(**{EARLIER_ENGINE: pd.Series(earlier, index=runs.index, dtype=object)})


def latest_versions(runs: pd.DataFrame) -> Mapping[str, str]:
    """Tell the version of each engine in its latest run, by the engine's name."""
    known = (
        runs.dropna(subset=[VERSION]).sort_values("started_at", kind="stable").drop_duplicates("engine", keep="last")
    )
    return {str(engine): str(version) for engine, version in zip(known["engine"], known[VERSION], strict=True)}


def engine_versions(runs: pd.DataFrame) -> str | None:
    """Name the packages of all engines of some runs, with their versions; null where none is known."""
    return "; ".join(version for _, version in sorted(latest_versions(runs).items())) or None
