"""Recordings with known words for the demonstration: two that people spoke, and one long lecture that is synthesised.

=================  ==========================================================  ====================================
recording          sound                                                       words
=================  ==========================================================  ====================================
`two_cities.wav`   moonshine-voice 0.1.5, `assets/two_cities.wav` (MIT)        Charles Dickens, A Tale of Two
                                                                               Cities, 1859 (public domain)
`beckett.wav`      moonshine-voice 0.1.5, `assets/beckett.wav` (MIT)           Samuel Beckett, Worstward Ho, 1983
                                                                               (a quotation)
`lecture.wav`      made here by espeak-ng 1.52; a synthesiser's licence        `lecture.txt`, written for this
                   does not reach the sound it makes                           project and under its licence
=================  ==========================================================  ====================================
"""

import csv
import hashlib
import io
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.assets.cache import cache_root, publish
from bench.assets.packages import package_folder, read_checked

RECIPE_VERSION: Final = 1
"""Part of the folder's name: raise it when the files are made in another way from the same sources."""

MANIFEST: Final = "manifest.csv"
COLUMNS: Final = ("path", "text", "speaker", "duration_s")

REQUIREMENT: Final = "moonshine-voice==0.1.5"
EXTRA: Final = "demo"


@dataclass(frozen=True, slots=True)
class PackagedRecording:
    """A WAV file that a package ships, and what is said in it.

    Attributes:
        file: Its name in the package's `assets` folder, and in the demonstration's.
        sha256: Hexadecimal SHA-256 of the file.
        speaker: Tells the voices apart in reports.
        text: The words.
    """

    file: str
    sha256: str
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Lecture:
    """How the long recording is spoken; `lecture.txt` beside this module says what.

    Attributes:
        file: Its name in the demonstration's folder.
        voice: espeak-ng's voice.
        rate_wpm: Speed in words a minute.
    """

    file: str
    voice: str
    rate_wpm: int


PACKAGED: Final = (
    PackagedRecording(
        file="two_cities.wav",
        sha256="f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
        speaker="two_cities",
        text=(
            "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
            "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, "
            "it was the season of Darkness, it was the spring of hope, it was the winter of despair, we had "
            "everything before us, we had nothing before us, we were all going direct to Heaven, we were all going "
            "direct the other way--in short, the period was so far like the present period, that some of its "
            "noisiest authorities insisted on its being received, for good or for evil, in the superlative degree "
            "of comparison only."
        ),
    ),
    PackagedRecording(
        file="beckett.wav",
        sha256="e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
        speaker="beckett",
        text="Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    ),
)

# Of the voices tried, this one leaves whisper-tiny.en enough to do that a sweep has something to find, and not so
# much that the text is lost.
LECTURE: Final = Lecture(file="lecture.wav", voice="en-us+klatt4", rate_wpm=133)


def lecture_text() -> str:
    """The words of the lecture, about five minutes of them, in paragraphs."""
    return Path(__file__).with_name("lecture.txt").read_text(encoding="utf-8")


def ensure_demo_recordings() -> Path:
    """Folder with the demonstration's recordings and their manifest, built at the first call.

    Every later call reads and checks the files, and no longer needs the packages they came from.

    Returns:
        A folder in the cache with `manifest.csv` (columns `path`, relative to the folder; `text`; `speaker`;
        `duration_s`, in seconds) and the recordings it names, all 16-bit WAV with one channel.

    Raises:
        AssetError: moonshine-voice or espeakng-loader is not installed, their files are not those expected, or the
            cache cannot be written.
    """
    return publish(demo_entry(), _build)


def demo_entry() -> Path:
    """Where the cache holds the demonstration's recordings, or would."""
    return cache_root() / "recordings" / f"demo-{_digest()}"


def _digest() -> str:
    """Names everything that the recordings are derived from; twelve hexadecimal digits."""
    from bench.assets import voices

    parts = (RECIPE_VERSION, *PACKAGED, LECTURE, lecture_text(), voices.REQUIREMENT)
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:12]


def _build(folder: Path) -> None:
    from bench.assets.voices import synthesize

    rows: list[tuple[str, str, str, str]] = []
    source = package_folder("moonshine_voice", REQUIREMENT, EXTRA) / "assets"
    for recording in PACKAGED:
        content = read_checked(source / recording.file, recording.sha256, REQUIREMENT)
        (folder / recording.file).write_bytes(content)
        with wave.open(io.BytesIO(content)) as wav:
            duration_s = wav.getnframes() / wav.getframerate()
        rows.append((recording.file, recording.text, recording.speaker, f"{duration_s:.3f}"))
    samples, rate_hz = synthesize(lecture_text(), LECTURE.voice, LECTURE.rate_wpm)
    with wave.open(str(folder / LECTURE.file), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate_hz)
        wav.writeframes(samples.astype("<i2").tobytes())
    duration_s = len(samples) / rate_hz
    rows.append((LECTURE.file, " ".join(lecture_text().split()), "espeak-ng", f"{duration_s:.3f}"))
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
