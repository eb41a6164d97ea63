"""What a study's data will tell of a WER, foretold before anything runs: how wide its interval will be."""

from collections.abc import Iterable, Sequence

import numpy as np

from bench.config import Config, Weights
from bench.data.dataset import DataSet
from bench.data.holdout import Part
from bench.jobs import JobMaker
from bench.records import Utterance
from bench.score.precision import FEWEST_UNITS, expected
from bench.score.testset import clusters_of, counted, doubt, growth, points, scope

_WER = 0.2  # between what a good model makes of clean reading, 5 %, and the widest case
_WIDEST_WER = 0.5


def precision_lines(configs: Iterable[Config], maker: JobMaker) -> list[str]:
    """Say how surely each data set will tell a WER, a line each; nothing for models that have none.

    Args:
        configs: What will be run.
        maker: Has their data at hand.

    Raises:
        DataError: Data cannot be used, or holds too little to keep a part of it aside.
        AssetError: Packaged recordings cannot be had.
    """
    found: dict[str, DataSet] = {}
    for config in configs:
        if config.model.weights is not Weights.random:
            parts = (Part.search, Part.holdout) if config.search.holdout else (Part.search,)
            found |= {data.fingerprint: data for data in (maker.data(config, part) for part in parts)}
    told = [(data.name, precision_line(data.utterances)) for data in found.values()]
    return [line if len(told) == 1 else f"{name}: {line}" for name, line in told if line]


def precision_line(utterances: Sequence[Utterance]) -> str | None:
    """Say how surely utterances will tell a WER; null where they have no transcripts.

    Words are counted as the transcripts have them: to normalise 100,000 transcripts takes half a minute, and hardly
    changes their number.
    """
    spoken = [item for item in utterances if item.error is None and item.text.split()]
    if not spoken:
        return None
    words = np.array([len(item.text.split()) for item in spoken], dtype=np.int64)
    clusters = clusters_of([item.speaker for item in spoken], [str(item.path) for item in spoken])
    lead = f"{counted(len(spoken), 'utterance')}, {counted(int(words.sum()), 'word')} {clusters.origin}"
    usual = expected(words, clusters.numbers, _WER)
    widest = expected(words, clusters.numbers, _WIDEST_WER)
    if usual is None or widest is None:
        return f"{lead}: too little for an interval of the WER, which takes {FEWEST_UNITS} utterances"
    width = (
        f"expect a 95 % interval of about ±{points(usual.half_width)} points at a WER of {100 * _WER:.0f} %"
        f" (±{points(widest.half_width)} at {100 * _WIDEST_WER:.0f} %){scope(usual, clusters)}"
    )
    said = [width, growth(usual, clusters), doubt(usual, clusters)]
    return f"{lead}: {'; '.join(part for part in said if part)}"
