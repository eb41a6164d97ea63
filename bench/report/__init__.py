"""From a study's folder of parquet to a report that says which setting to pick, and at what cost.

``build`` writes the whole report; ``bench.report.figures`` draws single figures for a notebook. Results are only read,
and no model library is imported.
"""

from bench.report.page import build

__all__ = ["build"]
