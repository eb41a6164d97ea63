"""When each token was spoken, read off the decoder's attention to the audio.

Some heads of Whisper's cross-attention follow the speech; checkpoints name them (``alignment_heads``). Their weights,
made comparable and averaged, give a matrix of tokens by frames, and the cheapest monotone path through it gives every
token its frames. The method is that of OpenAI's ``whisper/timing.py`` (``find_alignment``), with one change: the median
filter is applied once, after the average over heads, which is an eighth of the work.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

_FILTER_FRAMES = 7

Costs = NDArray[np.float64]
"""Shape ``(tokens, frames)``."""


def follow(attention: NDArray[np.float32]) -> NDArray[np.int64]:
    """First frame of every token.

    Args:
        attention: Weights of the heads that follow the speech, each row summing to 1; shape
            ``(heads, tokens, frames)``.

    Returns:
        Frame numbers, rising or equal; shape ``(tokens,)``.
    """
    total = np.zeros(attention.shape[1:], dtype=np.float32)
    for head in attention:  # not all at once: the text of a model that loops is long
        total += (head - head.mean(axis=0)) / np.maximum(head.std(axis=0), 1e-9)
    mean = total / len(attention)
    smooth = np.stack([median_filter(row, _FILTER_FRAMES) for row in mean])  # row by row scipy has a faster algorithm
    return first_frames(-smooth.astype(np.float64))


def first_frames(costs: Costs) -> NDArray[np.int64]:
    """Enter every row of a matrix where the cheapest monotone path does (dynamic time warping).

    The path leads from the first row and column to the last, by one row, one column, or both at a time.

    Args:
        costs: What it costs to be there.

    Returns:
        For each row the first column of the path; shape ``(tokens,)``.
    """
    rows, columns = costs.shape
    # Within a row the path walks right, so its costs up to a column are a difference of running sums, and the best
    # place to enter the row is a running minimum: no loop over columns is needed.
    entered_at = np.empty((rows, columns), dtype=np.int64)
    came_diagonally = np.zeros((rows, columns), dtype=bool)
    total = np.cumsum(costs[0])
    entered_at[0] = 0
    for row in range(1, rows):
        sums = np.cumsum(costs[row])
        diagonal = np.concatenate(([np.inf], total[:-1]))
        came_diagonally[row] = diagonal <= total
        entry = np.minimum(diagonal, total) - (sums - costs[row])
        best = np.minimum.accumulate(entry)
        entered_at[row] = np.maximum.accumulate(np.where(entry == best, np.arange(columns), 0))
        total = best + sums
    firsts = np.zeros(rows, dtype=np.int64)
    column = columns - 1
    for row in range(rows - 1, 0, -1):
        firsts[row] = column = int(entered_at[row, column])
        column -= int(came_diagonally[row, column])
    return firsts


def heads_that_follow(listed: Sequence[Sequence[int]] | None, layers: int, heads: int) -> list[tuple[int, int]]:
    """Layer and head of those that follow the speech.

    Args:
        listed: The checkpoint's own list, if it has one.
        layers: Layers of the decoder.
        heads: Heads of a layer.

    Returns:
        The list, or all heads of the upper half of the layers, OpenAI's choice where nothing is known.
    """
    if listed:
        return [(layer, head) for layer, head in listed]
    return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
