"""What a check is, and how sizes are written."""

from dataclasses import dataclass

_MIB_A_GIB = 1024


@dataclass(frozen=True)
class Fault:
    """Something that spoils timings, or will end a run.

    Attributes:
        what: What is wrong, with figures.
        cure: Ends with the command or setting that mends it.
    """

    what: str
    cure: str


@dataclass(frozen=True)
class Check:
    """A line of the report.

    Attributes:
        name: What was looked at.
        value: What was found.
        faults: What is wrong with it.
    """

    name: str
    value: str
    faults: tuple[Fault, ...] = ()


def gib(mib: float | None) -> str:
    """Write a size."""
    return "unknown" if mib is None else f"{mib / _MIB_A_GIB:.1f} GiB"
