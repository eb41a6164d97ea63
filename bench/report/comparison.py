"""One setting's values against each other, all else being equal: how much faster, and whether that can be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.errors import ConfigError, StoreError
from bench.metrics import RTFX
from bench.report.labels import describe, name_of, value_of
from bench.report.pairs import DEVICE, Pair, pairs
from bench.report.tables import blocks, levels, searched, varied_settings
from bench.report.timings import is_shared, without_invalid, without_shared
from bench.report.validity import count_invalid
from bench.storage import Place
from bench.store import load_runs

_USUAL: Mapping[str, object] = {DEVICE: "cpu", "engine": "transformers", "model.dtype": "float32"}


@dataclass(frozen=True, eq=False)
class StudyComparison:
    """A study's comparison by one setting.

    Attributes:
        setting: The setting.
        baseline: The value others are compared with.
        pairs: The pairs.
        left_out: Runs whose timing was left out because it is not valid.
        doubted: Timings among those compared that are not valid.
        unjudged: Timings among them without a certificate.
    """

    setting: str
    baseline: object
    pairs: list[Pair]
    left_out: int
    doubted: int = 0
    unjudged: int = 0

    def frame(self) -> pd.DataFrame:
        """Write it as a table."""
        return comparison_frame(self.setting, self.baseline, self.pairs)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Write it for people: the heads of a table, and a row a pair."""
        others = list(self.pairs[0].shared) if self.pairs else []
        against = f"against {value_of(self.baseline, self.setting)}"
        heads = [name_of(self.setting), *map(name_of, others), "runs", "RTFx", against]
        rows = [
            [
                value_of(pair.changed[self.setting], self.setting),
                *(value_of(pair.shared[name], name) for name in others),
                f"{len(pair.side.seconds)} and {len(pair.base.seconds) if pair.base else 0}",
                RTFX.show(pair.side.rtfx),
                pair.verdict + (" (!)" if pair.warnings else ""),
            ]
            for pair in self.pairs
        ]
        return heads, rows

    def notes(self, valid_only: bool) -> list[str]:
        """Say what was left out, how the verdicts were reached, and which of them to take with care."""
        told = [f"{self.left_out} runs without a valid timing were left out."] if valid_only else []
        if self.doubted:
            told.append(f"Warning: {self.doubted} timings are not valid (column doubts); --valid-only leaves them out.")
        if self.unjudged:
            told.append(f"{self.unjudged} timings carry no certificate: an earlier version took them.")
        return [*told, *notes(self.pairs)]


def compare_study(
    study_dir: Place, setting: str, baseline: str | None = None, valid_only: bool = False
) -> StudyComparison:
    """Compare the values of one setting of a study.

    Raises:
        StoreError: There is no such study, or none of its runs has a timing to compare.
        ConfigError: The setting does not vary within the study, or never has that value.
    """
    runs = without_shared(searched(load_runs(study_dir)))
    left_out = count_invalid(runs) if valid_only else 0
    runs = without_invalid(runs) if valid_only else runs
    chosen, found = compare_setting(runs, setting, baseline)
    if runs[RTFX.column].isna().all():
        why = (
            "no run has a valid timing; run the study again with measure.rerun_invalid=2, or leave out --valid-only"
            if left_out
            else "its runs shared their machine; run it again with executor.workers=1 measure.rerun_invalid=1"
            if is_shared(runs).any()
            else "no run has a timing; the column status_reason says why they failed"
        )
        raise StoreError(f"nothing of {study_dir} can be compared: {why}")
    unjudged = int((runs[RTFX.column].notna() & runs["valid"].isna()).sum())
    return StudyComparison(setting, chosen[setting], found, left_out, count_invalid(runs), unjudged)


def compare_setting(
    runs: pd.DataFrame, setting: str, baseline: str | None = None
) -> tuple[dict[str, object], list[Pair]]:
    """Compare the values of one setting with one of them.

    Args:
        runs: Rows of the runs table.
        setting: Its name, dotted as in the configuration.
        baseline: The value to compare with; null takes ``cpu``, ``transformers``, ``float32`` or the least.

    Returns:
        The baseline, and the pairs.

    Raises:
        ConfigError: The setting does not vary within the study, or never has that value.
    """
    runs = searched(runs)
    value = choose_baseline(runs, setting, baseline)
    return {setting: value}, pairs(blocks(runs), {setting: value})


def choose_baseline(runs: pd.DataFrame, setting: str, asked: str | None = None) -> object:
    """Find the value others are compared with.

    Raises:
        ConfigError: The setting does not vary within the study, or never has that value.
    """
    known = comparable_settings(runs)
    if setting not in known:
        names = f"those that do: {', '.join(known)}" if known else "no setting does, so there is nothing to compare"
        raise ConfigError(f"{setting} does not vary within this study; {names}")
    values = levels(runs[setting])
    if asked is None:
        timed = runs.dropna(subset=[RTFX.column])
        values = levels(timed[setting]) if len(timed) else values
        usual = _USUAL.get(setting)
        return usual if usual is not None and usual in values else values[0]
    for value in values:
        if asked in _spellings(value, setting):
            return value
    there = ", ".join(str(_spellings(value, setting)[0]) for value in values)
    raise ConfigError(f"no run of this study has {setting}={asked}; use --baseline with one of: {there}")


def comparable_settings(runs: pd.DataFrame) -> tuple[str, ...]:
    """Name the settings that vary and can be compared, the device first."""
    device = (DEVICE,) if runs[DEVICE].nunique() > 1 else ()
    return (*device, *varied_settings(runs))


def comparison_frame(setting: str, baseline: object, found: Sequence[Pair]) -> pd.DataFrame:
    """Write pairs as a table, a row a pair.

    Returns:
        A frame with the other varied settings, the setting's value (``value``) and the ``baseline``, ``runs`` and
        ``baseline_runs`` with a timing, ``rtfx`` and ``baseline_rtfx``, ``speed_up`` with the ends ``low`` and ``high``
        of its 95 % interval, ``p_value`` and ``p_adjusted`` (Holm's), ``different``, ``verdict`` and ``warning``.
    """
    rows = []
    for pair in found:
        seen, base = pair.comparison, pair.base
        rows.append(
            {
                **pair.shared,
                "value": pair.changed[setting],
                "baseline": baseline,
                "runs": len(pair.side.seconds),
                "baseline_runs": len(base.seconds) if base else 0,
                "rtfx": pair.side.rtfx,
                "baseline_rtfx": base.rtfx if base else None,
                "speed_up": seen and seen.ratio,
                "low": seen and seen.low,
                "high": seen and seen.high,
                "p_value": seen and seen.p_value,
                "p_adjusted": pair.p_adjusted,
                "different": pair.different,
                "verdict": pair.verdict,
                "warning": "; ".join(pair.warnings) or None,
            }
        )
    frame = pd.DataFrame(rows)
    numbers = ("rtfx", "baseline_rtfx", "speed_up", "low", "high", "p_value", "p_adjusted")
    return frame.astype({name: float for name in numbers if name in frame})


def notes(*columns: Sequence[Pair]) -> list[str]:
    """Say how the verdicts were reached, and which comparisons to take with care.

    Args:
        *columns: Pairs, those that were judged together in one.
    """
    judged = [str(most) for found in columns if (most := max((pair.judged for pair in found), default=0)) > 1]
    told = []
    if judged:
        which = f"{judged[0]} pairs" if len(judged) == 1 else f"The pairs of each column ({' and '.join(judged)})"
        told.append(
            f"{which} are judged together: which of them differ is told after Holm's correction, at the 5 % level; each"
            " 95 % interval is of its pair alone."
        )
    found = [pair for column in columns for pair in column]
    warned: dict[str, list[str]] = {}
    for pair in found:
        for warning in pair.warnings:
            warned.setdefault(warning, []).append(describe({**pair.changed, **pair.shared}))
    told += [f"Warning: {', and '.join(names[:3])}{_more(names)}: {warning}." for warning, names in warned.items()]
    return told


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 3} more" if len(names) > 3 else ""


def _spellings(value: object, setting: str) -> list[str]:
    """List how a value may be written on the command line, the usual way first."""
    if value is None:
        return [value_of(value, setting), "null", "None"]
    plainly = str(value).lower() if isinstance(value, bool) else str(value)
    exact = [repr(float(value))] if isinstance(value, int | float) and not isinstance(value, bool) else []
    return [plainly, *exact, value_of(value, setting)]
