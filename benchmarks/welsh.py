"""The story this project began with: a multilingual Whisper fine-tuned on a few dozen Welsh clips, told honestly.

    python -m benchmarks.welsh FOLDER

writes a small Common Voice folder to FOLDER/cy, Welsh sentences spoken by espeak-ng (voices of the training data are
not those of the test data), tunes the learning rate of whisper-base on it by cross-validation, and judges the outcome:
base WER, fine-tuned WER, interval. About half an hour on two idle processors.
"""

import argparse
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from bench.__main__ import main as asr_sweep
from bench.assets.voices import synthesize

_WHO = (
    *("y gath", "y ci", "yr athro", "y ferch", "y bachgen", "fy mrawd", "fy chwaer", "y ffermwr", "y plant"),
    *("y meddyg", "ei mam hi", "y dyn tal", "y gweithwyr", "y cymdogion", "y canwr", "y bobl ifanc"),
)
_DOING = (
    *("yn cerdded", "yn rhedeg", "yn canu", "yn darllen", "yn gweithio", "yn chwarae", "yn siarad", "yn eistedd"),
    *("yn cysgu", "yn bwyta", "yn dysgu", "yn aros", "yn chwerthin", "yn nofio", "yn coginio", "yn ysgrifennu"),
)
_WHERE = (
    *("yn yr ardd", "wrth y môr", "ar y bryn", "yn y tŷ", "yn y gegin", "ar y stryd", "yn yr ysgol", "ger yr afon"),
    *("yn y pentref", "ar y traeth", "yn y dref", "o dan y goeden", "yn y llyfrgell", "ar y mynydd", "yn y siop"),
)
_WHEN = (
    *("heddiw", "bob dydd", "yn y bore", "gyda'r nos", "bob haf", "yn y gaeaf", "ar ddydd Sul", "drwy'r dydd"),
    *("bob wythnos", "ar ôl cinio", "cyn brecwast", "unwaith eto", "yn y gwanwyn", "ar ddydd Gwener"),
)
_TRAINING = ("cy", "cy+f2", "cy+m3", "cy+f5", "cy+m7")
_TEST = ("cy+m1", "cy+f4", "cy+Annie")
_COLUMNS = ("client_id", "path", "sentence_id", "sentence", "up_votes", "down_votes", "locale")


def sentences(seed: int) -> Iterator[str]:
    """Make sentences up without end; each has words that others have, and none comes twice."""
    generator = random.Random(seed)  # noqa: S311 - not for secrets
    seen: set[str] = set()
    while True:
        who, doing, where, when = (generator.choice(words) for words in (_WHO, _DOING, _WHERE, _WHEN))
        sentence = f"Mae {who} {doing} {where} {when}."
        if sentence not in seen:
            seen.add(sentence)
            yield sentence.replace("Mae y ", "Mae'r ").replace("Mae yr ", "Mae'r ")


def write_corpus(folder: Path, training: int, test: int) -> None:
    """Write the folder as Common Voice ships one: a table a split, and MP3 clips."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    made = sentences(seed=1)
    for split, voices, count in (("train", _TRAINING, training), ("test", _TEST, test)):
        rows = [_row(folder, split, number, voices[number % len(voices)], next(made)) for number in range(count)]
        table = "\n".join("\t".join(row) for row in (_COLUMNS, *rows))
        (folder / f"{split}.tsv").write_text(table + "\n", encoding="utf-8")


def _row(folder: Path, split: str, number: int, voice: str, sentence: str) -> Sequence[str]:
    name = f"common_voice_cy_{split}{number:04}.mp3"
    if not (folder / "clips" / name).exists():
        _write_mp3(folder / "clips" / name, *synthesize(sentence, voice, 150))
    return voice, name, f"{split}{number}", sentence, "2", "0", "cy"


def _write_mp3(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.int16]], rate_hz: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=rate_hz)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16p", layout="mono")
        frame.sample_rate = rate_hz
        for packet in itertools.chain(stream.encode(frame), stream.encode(None)):
            container.mux(packet)


def main() -> int:
    """Make the corpus, run the study, judge it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--training", type=int, default=45, help="training clips (default: %(default)s)")
    parser.add_argument("--test", type=int, default=100, help="test clips (default: %(default)s)")
    parser.add_argument("settings", nargs="*", help="further settings, as asr-sweep run takes them")
    options = parser.parse_args()
    write_corpus(options.folder / "cy", options.training, options.test)
    settings = [
        *("experiment=finetune_lr_cv", "study=welsh", "model=whisper_base", "data=common_voice"),
        *(f"data.path={options.folder / 'cy'}", "data.split=train", "data.allow_leaks=[]", "finetune.test.limit=null"),
        *("decode.language=cy", "score.normalizer=multilingual", "finetune.learning_rate=1e-5,1e-4,3e-4"),
    ]
    done = asr_sweep(["run", *settings, *options.settings])
    return done or asr_sweep(["finetune-final", "welsh"])


if __name__ == "__main__":
    raise SystemExit(main())
