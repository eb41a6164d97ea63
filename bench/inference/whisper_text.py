"""From what Whisper said in each window to the text of a recording."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config import DecodeConfig, Merge
from bench.inference.aligned import join_aligned
from bench.inference.merge import Part, TimedTokens, TimestampJoiner, join_parts
from bench.inference.pieces import Piece, group, spread
from bench.inference.seams import placed
from bench.records import Transcript, Window, Word


@dataclass(frozen=True)
class Said:
    """What the model said in one window.

    Attributes:
        tokens: Token ids, without special ones; segment times among them where the model was asked for any.
        starts_s: Start of each token that is no segment time, and the end of the last, in seconds from the start of
            the window; null where nobody looked.
        spaced: Whether its language puts blanks between words.
    """

    tokens: list[int]
    starts_s: NDArray[np.float64] | None
    spaced: bool


class Writer:
    """Joins windows and writes their tokens as text.

    Args:
        tokenizer: The model's tokenizer.
        decode: How windows are joined, and whether segment times are among the tokens.
        rate_hz: Sampling rate that windows are counted in.
        first_time_token: Id of ``<|0.00|>``; all ids from there on are segment times.
        time_step_s: Seconds between neighbouring ones.
        segment_s: Length of the model's own input in seconds.
    """

    def __init__(
        self,
        tokenizer: Any,
        decode: DecodeConfig,
        rate_hz: int,
        first_time_token: int,
        time_step_s: float,
        segment_s: float,
    ) -> None:
        self._tokenizer = tokenizer
        self._decode = decode
        self._rate_hz = rate_hz
        self._first_time_token = first_time_token
        self._time_step_s = time_step_s
        self._segment_s = segment_s

    def join(self, emissions: Sequence[Said], windows: Sequence[Window]) -> Transcript:
        """Join the windows of one recording, in order."""
        if self._decode.merge is Merge.aligned:
            return self._join_aligned(emissions, windows)
        return self._join_as_pipeline(emissions, windows)

    def _join_aligned(self, emissions: Sequence[Said], windows: Sequence[Window]) -> Transcript:
        pieces = [
            self._pieces(said, number, window)
            for number, (said, window) in enumerate(zip(emissions, windows, strict=True))
        ]
        joined = join_aligned(pieces, windows, self._rate_hz)
        text = "".join(piece.text for piece in joined).strip()
        words = [
            Word(
                piece.text.strip(),
                piece.window,
                piece.start_s if piece.timed else None,
                piece.end_s if piece.timed else None,
            )
            for piece in joined
        ]
        return Transcript(text, placed(words, windows, self._rate_hz), tuple(windows))

    def _pieces(self, said: Said, number: int, window: Window) -> list[Piece]:
        tokens = [token for token in said.tokens if token < self._first_time_token]
        spans = self._grouped(tokens, said.spaced)
        texts = [self._text(tokens[first:stop]) for first, stop in spans]
        begin_s = window.start / self._rate_hz
        if said.starts_s is None:
            return spread(texts, number, begin_s, window.stop / self._rate_hz)
        at = begin_s + said.starts_s
        return [
            Piece(text, number, float(at[first]), float(at[stop]))
            for text, (first, stop) in zip(texts, spans, strict=True)
        ]

    def _join_as_pipeline(self, emissions: Sequence[Said], windows: Sequence[Window]) -> Transcript:
        if self._decode.timestamps:
            timed = [
                TimedTokens(
                    said.tokens,
                    (window.stop - window.start) / self._rate_hz,
                    window.left / self._rate_hz,
                    window.right / self._rate_hz,
                )
                for said, window in zip(emissions, windows, strict=True)
            ]
            segments = TimestampJoiner(self._first_time_token, self._time_step_s, self._segment_s).join(timed)
        else:
            segments = [join_parts([Part(number, said.tokens) for number, said in enumerate(emissions)])]
        text = "".join(self._text([token for part in segment for token in part.tokens]) for segment in segments)
        words = [word for segment in segments for word in self._words(segment, emissions)]
        return Transcript(text.strip(), tuple(words), tuple(windows))

    def _words(self, segment: Sequence[Part], emissions: Sequence[Said]) -> Iterator[Word]:
        """Find the words of joined windows; one whose tokens come from two windows is the first one's."""
        for spaced, parts in groupby(segment, key=lambda part: emissions[part.window].spaced):
            placed_tokens = [(token, part.window) for part in parts for token in part.tokens]
            tokens = [token for token, _ in placed_tokens]
            for first, stop in self._grouped(tokens, spaced):
                if word := self._text(tokens[first:stop]).strip():
                    yield Word(word, placed_tokens[first][1])

    def _grouped(self, tokens: Sequence[int], spaced: bool) -> list[tuple[int, int]]:
        return group(tokens, self._tokenizer.convert_ids_to_tokens(tokens), self._text, spaced)

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens)
        return text
