"""From a study's folder of parquet to a report that says which setting to pick, and at what cost.

``build`` writes the whole report; ``bench.report.figures`` draws single figures for a notebook. Results are only read,
and no model library is imported.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.storage import Place

__all__ = ["build"]


def build(study_dir: "Place", reports_root: Path, valid_only: bool = False) -> Path:
    """Write the report of a study, as :func:`bench.report.page.build` does; returns its folder."""
    # Drawing takes a second to import, which commands that only print need not pay.
    from bench.report import page

    return page.build(study_dir, reports_root, valid_only)
