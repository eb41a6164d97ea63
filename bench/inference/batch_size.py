"""The largest batch that fits (``decode.batch_size=auto``)."""

from collections.abc import Callable

_SHARE = 0.8
"""Part of what is free that a batch may take: other work on the machine comes and goes."""


def largest(
    attempt: Callable[[int], None], most: int, free_mib: Callable[[], float], used_mib: Callable[[], float]
) -> int:
    """Find the largest batch that fits, to a quarter.

    Sizes double until one fails or the next would, as far as the growth so far tells; the gap is then halved twice. On
    a GPU a batch that does not fit raises; in main memory the kernel would end the process instead, so there it is
    never tried.

    Args:
        attempt: Runs a batch of a given size; raises ``MemoryError`` where it does not fit.
        most: Largest size that makes sense.
        free_mib: Memory that is free now, in MiB; infinite where failing is harmless.
        used_mib: Peak memory in use so far, in MiB.

    Returns:
        The size, at least 1.

    Raises:
        MemoryError: Not even one window fits.
    """
    limit_mib = used_mib() + _SHARE * free_mib()
    attempt(1)
    fits, per_window_mib = 1, 0.0
    too_many = most + 1

    def try_size(size: int) -> bool:
        nonlocal fits, per_window_mib
        before_mib = used_mib()
        if before_mib + per_window_mib * (size - fits) > limit_mib:
            return False
        try:
            attempt(size)
        except MemoryError:
            return False
        per_window_mib = max(per_window_mib, (used_mib() - before_mib) / (size - fits))
        fits = size
        return True

    while fits < most:
        size = min(2 * fits, most)
        if not try_size(size):
            too_many = size
            break
    for _ in range(2):
        if too_many - fits > 1 and too_many <= most:
            size = (fits + too_many) // 2
            if not try_size(size):
                too_many = size
    return fits
