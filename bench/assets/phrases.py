"""Made-up English sentences without number, for speech that a model can be trained on.

About two in three follow a small grammar. The others are words in no order: whoever learns from them must listen, since
nothing can be guessed from what stands around a word.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LOOSE = 0.35  # the share of sentences that are words in no order
_VOWEL = re.compile(r"\ba (?=(?!one|uni|use|usual)[aeiou]|hour|honest)")


def phrase(number: int) -> str:
    """Make up a sentence: lower-case English words, without punctuation other than apostrophes.

    Args:
        number: Which one. Equal numbers are equal sentences, on every machine and in every version of Python.
    """
    draw = _Draw(number)
    if draw.chance(_LOOSE):
        return " ".join(draw.one(vocabulary()) for _ in range(4 + draw.below(6)))
    if draw.chance(0.15):
        words = _question(draw)
    else:
        words = _statement(draw)
        if draw.chance(0.22):
            words = f"{words} {draw.word('and')} {_statement(draw)}"
    return _VOWEL.sub("an ", words)


@cache
def vocabulary() -> tuple[str, ...]:
    """All words that stand in the lists, and those of the demonstration's lecture, in alphabetical order."""
    listed = " ".join(form for forms in _lexicon().values() for form in forms).replace("/", " ")
    lecture = Path(__file__).with_name("lecture.txt").read_text(encoding="utf-8").lower()
    return tuple(sorted({*listed.split(), *re.findall("[a-z']+", lecture)}))


@cache
def _lexicon() -> dict[str, tuple[str, ...]]:
    text = Path(__file__).with_name("phrases.txt").read_text(encoding="utf-8")
    _, *sections = re.split(r"^\[(\w+)\]$", text, flags=re.MULTILINE)
    return {
        name: tuple(" ".join(form.split()) for form in forms.split(","))
        for name, forms in zip(sections[::2], sections[1::2], strict=True)
    }


class _Draw:
    """Chance that depends on a number alone.

    Of Python's generators, `random()` is the one method whose values are promised to stay, so all goes through it.
    """

    def __init__(self, number: int) -> None:
        self._random = random.Random(f"phrase {number}").random  # noqa: S311 - nothing secret

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def below(self, count: int) -> int:
        return int(self._random() * count)

    def one(self, choices: Sequence[str]) -> str:
        return choices[self.below(len(choices))]

    def word(self, category: str) -> str:
        return self.one(_lexicon()[category])


@dataclass(frozen=True)
class _Subject:
    """Who or what a sentence is about.

    Attributes:
        words: How it is called.
        singular: Whether verbs agree with one: "she goes", but "they go", and for this purpose "I go".
        mood: Category of the adjectives that fit.
    """

    words: str
    singular: bool
    mood: str

    @property
    def be(self) -> tuple[str, str]:
        """Present and past."""
        if self.words == "i":
            return "am", "was"
        return ("is", "was") if self.singular else ("are", "were")


def _statement(draw: _Draw) -> str:
    subject = _subject(draw)
    return f"{subject.words} {_predicate(draw, subject)}{_circumstance(draw)}"


def _question(draw: _Draw) -> str:
    if draw.chance(0.2):
        return f"who {_past(draw.word('act'))} {_object(draw)}{_circumstance(draw)}"
    subject = _subject(draw, thing=0.0)
    helper = draw.one(["did", "does" if subject.singular else "do", "will", "can", "should", "would"])
    if draw.chance(0.3):
        return f"what {helper} {subject.words} {_base(draw.word('act'))}{_circumstance(draw)}"
    action = f"{_base(draw.word('act'))} {_object(draw)}" if draw.chance(0.7) else _base(draw.word("motion"))
    return f"{draw.word('how')} {helper} {subject.words} {action}"


def _subject(draw: _Draw, thing: float = 0.35) -> _Subject:
    if draw.chance(thing):
        words, singular = _things(draw)
        return _Subject(words, singular, "quality")
    if draw.chance(0.45):
        category = "they" if draw.chance(0.45) else "she"
        return _Subject(draw.word(category), category == "she", "mood")
    words, singular = _named(draw, "person", "mood")
    return _Subject(words, singular, "mood")


def _predicate(draw: _Draw, subject: _Subject) -> str:
    if draw.chance(0.3):
        degree = draw.one(["", "", "very ", "too ", "not ", "so ", "quite "])
        return f"{draw.one([*subject.be, _present('seem', subject), 'became'])} {degree}{draw.word(subject.mood)}"
    if subject.mood == "mood" and draw.chance(0.8):  # who acts is a person; things go, come and fall
        return f"{_verb(draw, draw.word('act'), subject)} {_object(draw)}"
    return _verb(draw, draw.word("motion"), subject)


def _verb(draw: _Draw, verb: str, subject: _Subject) -> str:
    if draw.chance(0.5):
        return _past(verb)
    if draw.chance(0.4):
        return _present(_base(verb), subject)
    helpers = (draw.word("can"), draw.word("can"), "did not", "does not" if subject.singular else "do not")
    return f"{draw.one(helpers)} {_base(verb)}"


def _object(draw: _Draw) -> str:
    return draw.word("them") if draw.chance(0.1) else _things(draw)[0]


def _things(draw: _Draw) -> tuple[str, bool]:
    """Name things, and say whether verbs agree with one."""
    if draw.chance(0.15):
        substance = draw.word("substance")
        return f"{draw.one(['', '', 'the ', 'some ', 'more ', 'this ', 'our '])}{substance}", True
    return _named(draw, "thing", "quality")


def _named(draw: _Draw, category: str, adjectives: str) -> tuple[str, bool]:
    singular, _, plural = draw.word(category).partition("/")
    adjective = f"{draw.word(adjectives)} " if draw.chance(0.4) else ""
    if draw.chance(0.2):
        return f"{draw.word('several')} {adjective}{plural or _with_s(singular)}", False
    return f"{draw.word('owner')} {adjective}{singular}", True


def _circumstance(draw: _Draw) -> str:
    place = f" {draw.word('where')} {_things(draw)[0]}" if draw.chance(0.45) else ""
    return place + (f" {draw.word('when')}" if draw.chance(0.3) else "")


def _base(verb: str) -> str:
    return verb.partition("/")[0]


def _past(verb: str) -> str:
    base, _, past = verb.partition("/")
    if past:
        return past
    if re.search("[^aeiou]y$", base):
        return f"{base[:-1]}ied"
    return f"{base}d" if base.endswith("e") else f"{base}ed"


def _present(base: str, subject: _Subject) -> str:
    if not subject.singular:
        return base
    return {"have": "has", "go": "goes"}.get(base) or _with_s(base)


def _with_s(word: str) -> str:
    """Add the ending that nouns have in the plural, and verbs in the third person."""
    if re.search("[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search("(s|x|z|ch|sh)$", word) else f"{word}s"
