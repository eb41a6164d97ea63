"""PocketSphinx as an engine of asr-sweep: a recogniser of hidden Markov models, whose package brings its own model."""

from typing import ClassVar

import numpy as np

from bench.errors import ModelError
from bench.inference.aligned import join_aligned
from bench.inference.pieces import Piece
from bench.inference.seams import placed
from bench.readings import Footprint
from bench.records import Transcript, Word

MODEL = "pocketsphinx/en-us"
FAST = {"ds": 2, "topn": 2, "maxwpf": 10, "maxhmmpf": 3000}  # four times as fast, for more errors


class PocketSphinx:
    """The recogniser, on one thread of the CPU."""

    honours: ClassVar = {"decode.strategy": {"chunked", "vad"}}
    own_models = True
    packages = ("pocketsphinx",)
    rate_hz, align, max_window_s, mixes_lengths = 16_000, 160, None, True  # align: samples a frame

    def __init__(self, config, _):
        if config.model.name != MODEL:
            raise ModelError(f"model.name={config.model.name} is unknown to engine=pocketsphinx; use {MODEL}")
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise ModelError(f"engine=pocketsphinx needs its package ({error}); pip install pocketsphinx") from error
        self._decoder, self.footprint = Decoder(samprate=self.rate_hz, loglevel="FATAL", **FAST), Footprint()

    def features(self, batch):
        """Write each window as 16-bit samples."""
        return [(np.clip(window, -1, 1) * 32767).astype(np.int16).tobytes() for window in batch]

    def decode(self, inputs, clock):
        """List the words of each window, with start and end in seconds."""
        with clock.phase("decode"):
            return [self._words(window) for window in inputs]

    def _words(self, window):
        self._decoder.reinit_feat()  # it would adapt to what it heard before, and a text depend on its neighbours
        self._decoder.start_utt()
        self._decoder.process_raw(window, full_utt=True)
        self._decoder.end_utt()
        frame_s, heard = 1 / self._decoder.config["frate"], self._decoder.seg()
        spoken = [one for one in heard if one.word[0] not in "<["]  # silence and noise
        return [(one.word.split("(")[0], one.start_frame * frame_s, (one.end_frame + 1) * frame_s) for one in spoken]

    def join(self, emissions, windows):
        """Join windows where both read the same, and keep the times of words."""
        at_s = [window.start / self.rate_hz for window in windows]
        read = [[(text, at + a, at + b) for text, a, b in words] for words, at in zip(emissions, at_s, strict=True)]
        pieces = [[Piece(text, number, a, b) for text, a, b in words] for number, words in enumerate(read)]
        words = [Word(p.text, p.window, p.start_s, p.end_s) for p in join_aligned(pieces, windows, self.rate_hz)]
        return Transcript(" ".join(word.text for word in words), placed(words, windows, self.rate_hz), tuple(windows))
