import pytest

from bench.score.precision import Precision
from bench.score.testset import clusters_of, counted, doubt, growth, points, scope


def test_speakers_group_utterances_only_if_all_are_named() -> None:
    named = clusters_of(["b", "a", "b"], ["1.wav", "2.wav", "3.wav"])
    assert (named.by_speaker, named.numbers.tolist(), named.origin) == (True, [0, 1, 0], "by 2 speakers")
    for unnamed in (None, ""):
        found = clusters_of(["b", unnamed, "b"], ["1.wav", "1.wav", "3.wav"])
        assert (found.by_speaker, found.numbers.tolist(), found.origin) == (False, [0, 0, 1], "from 2 recordings")
    assert clusters_of([None], ["1.wav"]).origin == "from 1 recording"


def test_few_speakers_are_said_to_speak_for_themselves() -> None:
    alone = Precision(0.2, 0.03, 40, by_cluster=False, freedom=40 - 1)
    one, three = (clusters_of(["abc"[at % kinds] for at in range(40)], [""] * 40) for kinds in (1, 3))
    assert scope(alone, one) == " for this speaker alone"
    assert scope(alone, three) == " for these 3 speakers alone"
    assert doubt(alone, three) is None
    assert "speakers" not in str(growth(alone, three))  # more of them would be another question


@pytest.mark.parametrize(
    ("speakers", "said"),
    [
        (["s"] * 5, "it is wider if some speakers, whom the data do not name, speak often"),
        (["a", "b", "c", "d", "e"], "fewer than 10 speakers make even that doubtful"),
        ([str(at) for at in range(10)], None),
    ],
)
def test_what_remains_in_doubt(speakers: list[str], said: str | None) -> None:
    unnamed = len(set(speakers)) == 1
    count = 10 if said is None or unnamed else 5
    names = [None if unnamed else speakers[at % len(speakers)] for at in range(count)]
    clusters = clusters_of(names, [str(at) for at in range(count)])
    assert doubt(Precision(0.2, 0.03, count, by_cluster=True, freedom=count - 1), clusters) == said


def test_more_speakers_are_asked_for_where_they_are_what_is_short() -> None:
    # (1.96 x 3)^2 is 34.57 times as much: 1,728.7 utterances, 345.7 speakers.
    precision = Precision(0.2, 0.03, 10, by_cluster=True, freedom=10 - 1)
    clusters = clusters_of([str(at % 10) for at in range(50)], [""] * 50)
    assert growth(precision, clusters) == "±1 point would take about 1,800 such utterances by 350 speakers"
    each_another = clusters_of([str(at) for at in range(50)], [""] * 50)
    assert growth(precision, each_another) == "±1 point would take about 1,800 such utterances"


def test_nothing_more_is_asked_for_where_there_is_enough() -> None:
    clusters = clusters_of([str(at) for at in range(50)], [""] * 50)
    assert growth(Precision(0.2, 0.004, 50, by_cluster=True, freedom=50 - 1), clusters) is None


@pytest.mark.parametrize(
    ("rate", "said"), [(0.2345, "23"), (0.0996, "10"), (0.0994, "9.9"), (0.0101, "1.0"), (0.0094, "0.94"), (1.2, "120")]
)
def test_points_have_two_digits(rate: float, said: str) -> None:
    assert points(rate) == said


def test_counts_are_spoken() -> None:
    assert [counted(number, "word") for number in (0, 1, 1012)] == ["0 words", "1 word", "1,012 words"]
