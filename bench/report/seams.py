"""How many errors there are because of seams, where windows are joined: of the recommended setting, and of others."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.reading import Reading
from bench.report.sheet import sheet
from bench.score.locations import Located
from bench.score.seam_share import SeamShare, near_s, rings, seam_share


def seams(
    label: str, readings: Sequence[Reading], elsewhere: Mapping[str, Sequence[Reading]], cures: Sequence[str]
) -> dict[str, Any] | None:
    """Say how many errors there are because of seams.

    Args:
        label: The setting's name.
        readings: What it heard.
        elsewhere: What other settings heard of the same utterances, by their names.
        cures: What may mend such errors, of what the setting leaves to be changed.

    Returns:
        ``told`` (sentences), ``table`` (a row a setting; null for one), ``rings`` (error rates by distance) and
        ``near_s``, the two null where a figure would show nothing; null where no word of the setting has a time, or
        it has no seams.
    """
    mine = _located(readings)
    if not mine:
        return None
    near, share = _shared(mine)
    rows = [_row(name, each) for name, found in elsewhere.items() if (each := _shared(_located(found))[1]) is not None]
    found = rings(mine)
    return {
        "told": _told(near, share, cures),
        "table": _table([_row(label, share), *rows]) if share is not None and rows else None,
        "rings": found if near is not None and len(found) > 1 else None,
        "near_s": near,
    }


def _located(readings: Sequence[Reading]) -> list[Located]:
    return [located for reading in readings if (located := reading.located) is not None]


def _shared(located: Sequence[Located]) -> tuple[float | None, SeamShare | None]:
    near = near_s(located)
    return near, None if near is None else seam_share(located, near)


def _told(near: float | None, share: SeamShare | None, cures: Sequence[str]) -> list[str]:
    if near is None:
        return ["Seams lie so close that no word is away from any, so that nothing can be said of what they do."]
    if share is None:
        return ["There are too few errors to say whether seams have a part in them."]
    amount, within = f"{share.errors:,} errors", f"within {_seconds(near)} of a seam"
    interval = f"{_pct(share.low)} to {_pct(share.high)}"
    near_share, expected = (_pct(count / share.errors) for count in (share.near, share.by_chance))
    about = f"{near_share} of them lie there, or may, where {expected} would if seams did nothing."
    if share.low > 0:
        may = f": {' or '.join(cures)} may mend these" if cures else ""
        told = (
            f"About {_pct(share.share)} of the {amount} ({interval}) lie {within} beyond what is usual elsewhere{may}."
        )
    elif share.high < 0:
        told = f"Of the {amount} fewer lie {within} than is usual elsewhere: seams do no harm that shows."
    else:
        told = (
            f"It cannot be told whether seams have a part in the {amount}: what lies {within} beyond what is usual"
            f" elsewhere is {_pct(share.share)} of them ({interval}), so that less harm at seams would mend"
            f" {_pct(share.high)} of them at most."
        )
    return [told, about]


def _table(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    heads = ["Setting", "Errors", "Near a seam", "Expected there", "Because of seams", "95 % interval"]
    return sheet(heads, rows)


def _row(label: str, share: SeamShare) -> list[str]:
    by_chance = f"{_pct(share.by_chance / share.errors)} within {_seconds(share.near_s)}"
    rest = [_pct(share.share), f"{_pct(share.low)} to {_pct(share.high)}"]
    return [label, f"{share.errors:,}", _pct(share.near / share.errors), by_chance, *rest]


def _pct(share: float) -> str:
    """Write a share of errors; below 0 it is chance, and there are none."""
    return f"{max(0.0, 100 * share):.0f} %"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s"
