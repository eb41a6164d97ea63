"""Speech made from text, by espeak-ng through ctypes.

The library and its data come from the package espeakng-loader. espeak-ng is free software under the GPL, version 3 or
later, so that package is an extra that the user chooses to install, and nothing here loads it before it is asked to.
Function names and constants: espeak-ng 1.52, `speak_lib.h` and `espeak_ng.h`.
"""

import _ctypes
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.assets.packages import package_folder
from bench.errors import AssetError

REQUIREMENT: Final = "espeakng-loader==0.2.4"
EXTRA: Final = "demo"

SLOWEST_WPM: Final = 80
FASTEST_WPM: Final = 450
"""Words a minute that espeak-ng accepts as they are; beyond, it clips or changes its method."""

_LIBRARY: Final = {"win32": "espeak-ng.dll", "darwin": "libespeak-ng.dylib"}.get(sys.platform, "libespeak-ng.so")
_SYNCHRONOUS: Final = 0x0002
_DO_NOT_EXIT: Final = 0x8000  # without it, a missing data file ends the whole process
_RATE: Final = 1
_BY_CHARACTER: Final = 1
_UTF8: Final = 1
_OK: Final = 0
_SEED: Final = 1  # of the noise in breathy sounds; any constant serves
_LONGEST_PATH: Final = 150  # bytes; espeak-ng cuts longer ones (N_PATH_HOME in its speech.h), less a margin

_OnSamples = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def synthesize(text: str, voice: str = "en-us", rate_wpm: int = 160) -> tuple[NDArray[np.int16], int]:
    """Speak a text.

    The same arguments give the same samples, whatever was spoken before. Not safe to call from two threads at once.

    Args:
        text: What to say; blank lines and punctuation become pauses.
        voice: Language, and after a plus sign a variant of its voice: `en-us`, `en-gb-x-rp`, `en-us+f3`.
        rate_wpm: Speed in words a minute, 80 to 450.

    Returns:
        The samples of one channel, shape (samples,), and their rate in Hz (22,050).

    Raises:
        AssetError: The package is not installed or its library does not load, the voice or the rate is unknown to
            it, or there is nothing to say.
    """
    if not SLOWEST_WPM <= rate_wpm <= FASTEST_WPM:
        raise AssetError(f"cannot speak at {rate_wpm} words a minute; choose {SLOWEST_WPM} to {FASTEST_WPM}")
    folder = package_folder("espeakng_loader", REQUIREMENT, EXTRA)
    _check_variant(folder, voice)
    blocks: list[bytes] = []

    def collect(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            blocks.append(ctypes.string_at(samples, count * 2))
        return 0  # go on

    callback = _OnSamples(collect)  # held by this name, since the library's reference does not keep it alive
    with _library(folder / _LIBRARY) as library:
        rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(folder), _DO_NOT_EXIT)
        if rate_hz <= 0:
            raise AssetError(
                f"espeak-ng cannot read its data in {folder}; run: pip install --force-reinstall --no-deps "
                f"'{REQUIREMENT}'"
            )
        try:
            library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
            library.espeak_SetSynthCallback(callback)
            if library.espeak_SetVoiceByName(voice.encode()) != _OK:
                raise AssetError(f"espeak-ng has no voice {voice!r}; use one such as en-us, en-gb-x-rp or en-us+f3")
            library.espeak_SetParameter(_RATE, rate_wpm, 0)
            _speak(library, text)
        finally:
            library.espeak_Terminate()
    samples = np.frombuffer(b"".join(blocks), dtype=np.int16)
    if not samples.any():
        raise AssetError(f"espeak-ng found nothing to say in {text[:40]!r}; give it a text with words")
    return samples, rate_hz


def _speak(library: ctypes.CDLL, text: str) -> None:
    encoded = text.replace("\0", " ").encode()
    size = ctypes.c_size_t(len(encoded) + 1)
    status = library.espeak_Synth(encoded, size, 0, _BY_CHARACTER, 0, _UTF8, None, None)
    if status != _OK or library.espeak_Synchronize() != _OK:
        raise AssetError(f"espeak-ng failed on the text {text[:40]!r} (status {status}); give it a shorter text")


def _check_variant(folder: Path, voice: str) -> None:
    """Refuse a variant that is not there: espeak-ng would speak with the plain voice, and say nothing about it."""
    variant = voice.partition("+")[2]
    variants = folder / "espeak-ng-data" / "voices" / "!v"
    if variant and variant not in {path.name for path in variants.glob("*")}:
        raise AssetError(f"espeak-ng has no variant {variant!r} of a voice; use one of the files in {variants}")


@contextmanager
def _library(path: Path) -> Iterator[ctypes.CDLL]:
    """The library loaded afresh, and unloaded after.

    espeak-ng keeps the phase of its pitch flutter in static variables that no call resets, not even terminating and
    initialising it. A fresh copy of them is what makes one call independent of those before it.
    """
    if len(os.fsencode(path.parent)) > _LONGEST_PATH:
        raise AssetError(
            f"espeak-ng cannot open its data under a path of more than {_LONGEST_PATH} bytes: {path.parent}; install "
            f"{REQUIREMENT} in an environment with a shorter path"
        )
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise AssetError(
            f"cannot load {path}: {error}; run: pip install --force-reinstall --no-deps '{REQUIREMENT}'"
        ) from error
    try:
        yield library
    finally:
        unload: Any = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary", None)
        unload(library._handle)
