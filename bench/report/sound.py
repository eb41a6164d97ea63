"""What no run writes and others may have sent, refused by name before anything is computed with it."""

import numpy as np
import pandas as pd

from bench.config import NormalizerName
from bench.errors import StoreError

_NORMALIZER = "score.normalizer"


def require_sound(runs: pd.DataFrame) -> None:
    """Refuse runs that nothing can be told of.

    Args:
        runs: Rows of the runs table.

    Raises:
        StoreError: A run belongs to no trial, was scored by what is no normaliser, or holds a number that is infinite.
    """
    numbers = [name for name in runs.columns if runs[name].dtype.kind == "f"]
    checks = {
        "trial_id": (runs["trial_id"].isna(), "null"),
        _NORMALIZER: (~runs[_NORMALIZER].isin([*NormalizerName, None]), "no normaliser"),
        "inference_s": (runs["inference_s"].map(_any_infinite), "infinite"),
        **{name: (runs[name].abs() == np.inf, "infinite") for name in numbers},
    }
    for name, (wrong, what) in checks.items():
        if wrong.any():
            run = runs.loc[wrong, "run_id"].iloc[0]
            raise StoreError(
                f"run {run}: {name} is {what}, which no run writes; move its files out of the study's folder and start"
                " the study again, which makes anew what is missing"
            )


def _any_infinite(values: object) -> bool:
    return isinstance(values, np.ndarray) and bool(np.isinf(values.astype(float)).any())
