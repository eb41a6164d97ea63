"""Which utterances of a corpus are used, chosen in the same way on every machine."""

import hashlib
from collections.abc import Sequence

from bench.config import Choice
from bench.errors import DataError
from bench.records import Utterance


def choose(utterances: Sequence[Utterance], limit: int | None, choice: Choice, seed: int) -> list[Utterance]:
    """Choose utterances, and keep their order.

    An order by hashes of their names decides, not a generator of random numbers: whatever is added to a corpus, those
    already chosen mostly stay, and every machine, version and data layout chooses alike.

    Args:
        utterances: The corpus.
        limit: How many to take of those that can be used; null takes all, and those that cannot as well.
        choice: Whether to take the first, any, or equally many of every speaker.
        seed: Another seed makes another choice.

    Raises:
        DataError: Speakers are to be treated alike and an utterance has none.
    """
    if limit is None:
        return list(utterances)
    usable = [number for number, item in enumerate(utterances) if item.error is None]
    match choice:
        case Choice.first:
            order = usable
        case Choice.random:
            order = sorted(usable, key=lambda number: _rank(seed, utterances[number].utterance_id))
        case Choice.speakers:
            order = _by_turns(utterances, usable, seed)
    chosen = set(order[:limit])
    return [item for number, item in enumerate(utterances) if number in chosen]


def _by_turns(utterances: Sequence[Utterance], usable: Sequence[int], seed: int) -> list[int]:
    """Order utterances so that every speaker has a turn before any has the next."""
    nameless = [number for number in usable if not utterances[number].speaker]
    if nameless:
        raise DataError(
            f"data.choice=speakers needs the speaker of every utterance, and {len(nameless)} have none, the first"
            f" {utterances[nameless[0]].utterance_id}; name them, or use data.choice=random"
        )
    turns: dict[str, int] = {}
    keyed = []
    for number in sorted(usable, key=lambda number: _rank(seed, utterances[number].utterance_id)):
        speaker = str(utterances[number].speaker)
        turns[speaker] = turns.get(speaker, 0) + 1
        keyed.append((turns[speaker], _rank(seed, speaker), number))
    return [number for _, _, number in sorted(keyed)]


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
