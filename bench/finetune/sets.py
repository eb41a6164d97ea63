"""What a model is trained on, and what it is judged on: two sets of utterances that share nothing."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bench.config import Config, DataConfig, DataSource
from bench.data.dataset import DataSet, load_dataset, subset
from bench.data.leaks import refuse_leaks
from bench.errors import ConfigError, DataError
from bench.finetune.groups import group
from bench.records import Utterance

_MADE_UP_TESTS = 200


@dataclass(frozen=True)
class Sets:
    """The data of a fine-tuning study.

    Attributes:
        training: What is trained on, and divided for cross-validation.
        test: What the outcome is judged on, once; null where none was asked for.
        told: What the user should know of them, a line each.
    """

    training: DataSet
    test: DataSet | None
    told: tuple[str, ...] = ()


def sets_of(config: Config) -> Sets:
    """Load the data of a configuration, and make sure that its two parts share nothing but what is allowed.

    Raises:
        DataError: They do, or the data cannot be read.
        AssetError: Recordings cannot be made, or the cache cannot be written.
    """
    test = config.finetune.test
    if test.share:
        return _shared_out(load_dataset(config.data), config)
    training = load_dataset(config.data)
    if test.split is None:
        return Sets(training, None)
    judged_on = load_dataset(test_data(config))
    found = refuse_leaks(
        {"training data": training.utterances, "test data": judged_on.utterances},
        config.data.allow_leaks,
        max_duration_s=config.data.max_duration_s,
    )
    unchecked = [f"{len(found.unchecked)} utterances could not be compared by their sound"] if found.unchecked else []
    return Sets(training, judged_on, tuple(unchecked))


def test_data(config: Config) -> DataConfig:
    """Name the data that ``finetune.test.split`` stands for.

    Of sentences that are made up, it is those that follow the training data's.
    """
    data, test = config.data, config.finetune.test
    synthetic = dataclasses.replace(data.synthetic, voices=test.voices or data.synthetic.voices)
    if data.source is DataSource.synthetic and data.path is None:
        synthetic = dataclasses.replace(
            synthetic,
            first=synthetic.first + synthetic.sentences,
            sentences=test.limit or _MADE_UP_TESTS,
        )
        return dataclasses.replace(data, synthetic=synthetic, limit=None)
    return dataclasses.replace(data, split=test.split, synthetic=synthetic, limit=test.limit)


def _shared_out(data: DataSet, config: Config) -> Sets:
    """Keep a share of the data aside, by groups, in an order that depends on what is in them alone."""
    share = config.finetune.test.share
    speakers = {item.speaker for item in data.utterances}
    apart = len(speakers) > 1 and None not in speakers
    groups: dict[int, list[Utterance]] = {}
    numbers = group(data.utterances, speakers=apart, max_duration_s=config.data.max_duration_s)
    for item, number in zip(data.utterances, numbers, strict=True):
        groups.setdefault(number, []).append(item)
    aside: list[Utterance] = []
    rest: list[Utterance] = []
    for items in sorted(groups.values(), key=_name):
        wanted = len(aside) < share * len(data.utterances)
        (aside if wanted else rest).extend(items)
    if not rest or not aside:
        raise DataError(
            f"finetune.test.share={share:g} of {data.name} leaves nothing to train on: its {len(data.utterances)}"
            f" utterances are {len(groups)} groups of the same speaker, sentence or sound; give another split with"
            " finetune.test.split, or more data"
        )
    same = "" if apart else "; its speakers are those of the training data, so it says nothing of other speakers"
    told = f"{len(aside)} of {len(data.utterances)} utterances are kept aside for the test{same}"
    return Sets(subset(data, "training", rest), subset(data, "test", aside), (told,))


def _name(items: Sequence[Utterance]) -> str:
    texts = sorted(f"{item.speaker}\0{item.text}" for item in items)
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def require_test(config: Config) -> None:
    """Make sure that a configuration says what its outcome is judged on.

    Raises:
        ConfigError: It does not.
    """
    if config.finetune.test.split is None and not config.finetune.test.share:
        raise ConfigError(
            "nothing says what the fine-tuned model is judged on; add finetune.test.split=test, another split of the"
            " same data, or finetune.test.share=0.3, a part of it"
        )
