import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import NormalizerName
from bench.records import Degeneracy, Samples, Transcript, Window, Word
from bench.score.degenerate import compression_ratio, is_silent, judge, repeated_words, split_words
from bench.score.normalize import normalizer

RATE_HZ = 16_000
ENGLISH = normalizer(NormalizerName.whisper_english)
BASIC = normalizer(NormalizerName.whisper_basic)

# Ordinary text of scripts with one, two and three bytes a sign.
ORDINARY = {
    "Russian": "Россия является самой большой страной мира по площади. Её столица Москва расположена в европейской"
    " части страны. Здесь живут люди многих национальностей, которые говорят на разных языках. Зимой здесь холодно,"
    " лето может быть жарким даже на севере. Многие писатели и композиторы родились в этой стране.",
    "Hindi": "भारत एक विशाल देश है जहाँ अनेक भाषाएँ बोली जाती हैं। यहाँ के लोग अलग अलग धर्मों को मानते हैं और अपने"
    " त्योहार मिलजुल कर मनाते हैं। उत्तर में हिमालय पर्वत खड़ा है और दक्षिण में हिंद महासागर फैला हुआ है। गंगा नदी को"
    " यहाँ बहुत पवित्र माना जाता है। किसान खेतों में दिन भर मेहनत करते हैं और शहरों में लोग दफ्तरों में काम करते हैं।",
    "Thai": "ประเทศไทยตั้งอยู่ในเอเชียตะวันออกเฉียงใต้ มีกรุงเทพมหานครเป็นเมืองหลวง ประชาชนส่วนใหญ่นับถือศาสนาพุทธและประกอบอาชีพเกษตรกรรม"
    " อาหารไทยมีชื่อเสียงไปทั่วโลก นักท่องเที่ยวจำนวนมากเดินทางมาเยี่ยมชมวัดวาอารามและชายหาดที่สวยงามทุกปี",
    "Chinese": "中国是世界上历史最悠久的国家之一。各族人民共同创造了光辉灿烂的文化。北京是首都,也是政治和文化的中心。"
    "长江和黄河是中国最长的两条河流。每年春节,人们都会回家与亲人团聚,吃饺子,放鞭炮,给孩子们压岁钱。",
}


def tone(seconds: float, rms: float = 0.1) -> Samples:
    """A sine of 440 Hz with the given root mean square, which is its amplitude by the square root of 2."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(rms * np.sqrt(2) * np.sin(2 * np.pi * 440 * at), dtype=np.float32)


def transcript(*windows: str, seconds: float = 10.0) -> Transcript:
    """Make a transcript of windows that stand side by side, each with its text."""
    length = round(seconds * RATE_HZ)
    cuts = tuple(Window(at * length, (at + 1) * length, 0, 0) for at in range(len(windows)))
    words = tuple(Word(word, at) for at, text in enumerate(windows) for word in text.split())
    return Transcript(" ".join(word.text for word in words), words, cuts)


def judged(reference: str, *windows: str, samples: Samples | None = None) -> Degeneracy:
    found = transcript(*windows)
    return judge(reference, found, tone(10.0 * len(windows)) if samples is None else samples, ENGLISH)


def test_the_ratio_is_that_of_whisper_for_a_window_of_speech() -> None:
    text = "there's iron they say in all our blood and a grain or two perhaps is good " * 3
    encoded = text.encode()
    assert compression_ratio([text]) == len(encoded) / len(zlib.compress(encoded))
    # Two of these bytes are the header and four the checksum (RFC 1950): nothing so short can be made shorter.
    assert compression_ratio(["ok"]) == pytest.approx(2 / (2 + 2 + 2 + 4), rel=0.3)


def test_a_long_ordinary_text_is_taken_span_by_span() -> None:
    text = (Path(__file__).parents[2] / "LICENSE").read_text()
    encoded = text.encode()
    assert len(encoded) / len(zlib.compress(encoded)) > 2.4
    prose = " ".join(text.split())  # without the blanks that indent it
    assert 1.5 < (compression_ratio([prose]) or 0) < 2.4


@pytest.mark.parametrize("language", ORDINARY)
def test_ordinary_text_of_any_script_stays_below_whispers_threshold(language: str) -> None:
    assert (compression_ratio([ORDINARY[language]]) or 0) < 2.4


def test_the_most_repetitive_span_counts_wherever_it_stands() -> None:
    loop = "thank you. " * 60
    calm = ORDINARY["Russian"]
    alone = compression_ratio([loop])
    assert alone is not None
    assert alone > 10
    assert compression_ratio([calm, loop, calm]) == alone
    inside = compression_ratio([3 * calm + 2 * loop + calm])
    assert inside is not None
    assert inside > 10


def test_no_text_has_no_ratio() -> None:
    assert compression_ratio([]) is None
    assert compression_ratio(["", ""]) is None
    assert compression_ratio(["\ud800"]) is not None  # a lone surrogate, which UTF-8 cannot write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two words", ["two", "words"]),
        ("我们去 Paris 吧", ["我", "们", "去", "Paris", "吧"]),
        ("ありがとう", ["あ", "り", "が", "と", "う"]),
        ("대한민국 만세", ["대한민국", "만세"]),  # Korean has blanks
        ("well ... 3 - no", ["well", "3", "no"]),
        ("  ", []),
    ],
)
def test_words_are_what_blanks_separate_or_else_signs(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "twice", "thrice"),
    [
        ("a b c d", 0, 0),
        ("no no no no", 3, 3),
        ("fail again fail better", 0, 0),
        ("a b a b", 2, 0),
        ("a b a b a b", 4, 4),
        ("a b a b a b a", 5, 5),  # the last saying is cut short
        ("x a b a b a y", 3, 0),
        ("a a b b c c", 3, 0),
        ("no no no yes no no no yes", 4 + 2, 2 + 2),  # twice: "no no no yes" repeats whole, the first two "no" as well
        ("", 0, 0),
    ],
)
def test_repeated_words_by_hand(text: str, twice: int, thrice: int) -> None:
    assert (repeated_words(text.split(), 2), repeated_words(text.split(), 3)) == (twice, thrice)


@given(words=st.lists(st.sampled_from("ab"), max_size=14) | st.lists(st.sampled_from("abc"), max_size=14))
def test_repeated_words_are_those_of_every_phrase_said_in_a_row(words: list[str]) -> None:
    for times in (2, 3):
        marked: set[int] = set()
        for length in range(1, len(words) + 1):
            for start in range(len(words) - times * length + 1):
                phrase = words[start : start + length]
                if all(words[start + k * length : start + (k + 1) * length] == phrase for k in range(times)):
                    marked |= set(range(start + length, start + times * length))
        assert repeated_words(words, times) == len(marked)


@given(length=st.integers(1, 30), times=st.integers(3, 6))
def test_a_phrase_said_again_and_again_counts_but_for_its_first_saying(length: int, times: int) -> None:
    phrase = [f"w{at}" for at in range(length)]
    assert repeated_words(["before", *(times * phrase), "after"], 3) == (times - 1) * length


@pytest.mark.parametrize(
    ("reference", "heard", "looped", "looping"),
    [
        ("ha ha ha ha ha ha ha", "ha ha ha ha ha ha ha", 0, False),  # people do repeat themselves
        ("ha ha ha", "huh huh huh", 0, False),
        ("no no no no", "no no no no no", 1, False),
        ("no no", "no no no", 1, False),  # what the reference says twice is no loop in the hypothesis either
        ("try again fail again fail better", "try again fail again fail better", 0, False),
        ("we went home", "we went we went home", 0, False),  # an echo, as at a seam
        ("we went home", "we went we went we went we went home", 6, True),
        ("thank you", "thank you. " * 50, 98, True),
    ],
)
def test_only_what_repeats_beyond_the_reference_is_a_loop(
    reference: str, heard: str, looped: int, looping: bool
) -> None:
    found = judged(reference, heard)
    assert (found.looped_words, found.looping) == (looped, looping)


def test_a_loop_within_one_word_is_found_by_its_compression() -> None:
    found = judged("he laughed", "he " + "ha" * 100)
    assert (found.looped_words, found.looping) == (0, True)
    assert found.compression_ratio is not None
    assert found.compression_ratio > 2.4


def test_a_reference_that_compresses_as_well_is_no_loop() -> None:
    chant = "hey " * 100
    found = judged(chant, chant)
    assert (found.looped_words, found.looping) == (0, False)
    assert found.compression_ratio is not None
    assert found.compression_ratio > 10


def test_a_loop_of_a_language_without_blanks() -> None:
    thanks = "ご視聴ありがとうございました"  # 14 signs
    text = "今日は" + 4 * thanks
    words = tuple(Word(sign, 0) for sign in text)
    found = judge("今日は", Transcript(text, words, (Window(0, RATE_HZ, 0, 0),)), tone(1.0), BASIC)
    assert (found.looped_words, found.looping) == (3 * 14, True)
    # As one text, with no blanks between its signs.
    assert found.compression_ratio == compression_ratio([text])


def test_a_loop_in_one_window_is_not_thinned_out_by_the_others() -> None:
    calm = "we sailed on through the night with nothing but the stars above us and a cold wind from the north"
    found = judged(f"{calm} {calm.upper()}", calm, "you " * 120, calm)
    assert found.compression_ratio == compression_ratio([("you " * 120).strip()])


@pytest.mark.parametrize(
    ("samples", "silent"),
    [
        (np.zeros(100, np.float32), True),
        (np.empty(0, np.float32), True),
        (tone(1.0, rms=0.00099), True),  # -60.09 dBFS
        (tone(1.0, rms=0.00101), False),  # -59.91 dBFS
        (np.concatenate([np.zeros(RATE_HZ, np.float32), tone(1.0, rms=0.1)]), False),
    ],
)
def test_silence_is_at_most_60_db_below_full_scale(samples: Samples, silent: bool) -> None:
    assert is_silent(samples) is silent


@pytest.mark.parametrize(
    ("reference", "windows", "loud", "silent_words"),
    [
        ("one two three", ("one two", "three"), (True, True), 0),
        ("one two", ("one two", "thank you."), (True, False), 2),
        ("one two", ("one two", ""), (True, False), 0),
        ("one two", ("one two", "... [Music]"), (True, False), 0),  # no words once normalised
        ("", ("thanks for", "watching"), (True, True), 3),
        ("[noise]", ("thanks for", "watching"), (False, False), 3),  # counted once
        ("", (" . ",), (True,), 0),
    ],
)
def test_words_where_nothing_is_said(
    reference: str, windows: tuple[str, ...], loud: tuple[bool, ...], silent_words: int
) -> None:
    samples = np.concatenate([tone(10.0) if one else np.zeros(10 * RATE_HZ, np.float32) for one in loud])
    assert judged(reference, *windows, samples=samples).silent_words == silent_words


def test_the_level_is_that_of_the_window_the_word_was_read_in() -> None:
    # Of 30 s only the last 5 s are loud; the second window reaches into them, the first does not.
    samples = np.concatenate([np.zeros(25 * RATE_HZ, np.float32), tone(5.0)])
    windows = (Window(0, 20 * RATE_HZ, 0, 5 * RATE_HZ), Window(10 * RATE_HZ, 30 * RATE_HZ, 5 * RATE_HZ, 0))
    words = (Word("you", 0), Word("hello", 1))
    assert judge("hello", Transcript("you hello", words, windows), samples, ENGLISH).silent_words == 1


WELSH = "mae'r tywydd yn braf heddiw ond bydd hi'n bwrw glaw yfory"
SPOKEN = "the weather is fine today but it will rain tomorrow"


@pytest.mark.parametrize(
    ("reference", "heard", "languages", "wrong"),
    [
        (SPOKEN, SPOKEN, ("en", "en"), False),
        (SPOKEN, WELSH, ("cy", "en"), True),
        (WELSH, SPOKEN, ("en", "cy"), True),
        (SPOKEN, "ie", (None, "en"), None),
        ("", SPOKEN, ("en", None), None),
    ],
)
def test_the_wrong_language(
    reference: str, heard: str, languages: tuple[str | None, str | None], wrong: bool | None
) -> None:
    found = judged(reference, heard)
    assert (found.hypothesis_language, found.reference_language) == languages
    assert found.wrong_language is wrong
