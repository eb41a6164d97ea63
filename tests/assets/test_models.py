from pathlib import Path

import pytest

from bench.assets.models import locate, own_hop_length
from bench.errors import ModelError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_folder_is_known_by_what_it_holds(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = locate(str(model))
    assert found.folder == model
    monkeypatch.chdir(model.parent)
    assert locate("./model") == found
    assert locate("model") == found
    moved = model.rename(model.with_name("moved"))
    assert locate(str(moved)).fingerprint == found.fingerprint


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_retrained_model_is_another(model: Path, file: str) -> None:
    before = locate(str(model)).fingerprint
    (model / file).write_bytes(b"{} ")
    assert locate(str(model)).fingerprint != before


def test_what_no_run_reads_does_not_count(model: Path) -> None:
    before = locate(str(model)).fingerprint
    (model / "pytorch_model.bin").write_bytes(b"pickled")
    (model / "README.md").write_text("trained by hand")
    assert locate(str(model)).fingerprint == before


def test_weights_must_be_safetensors(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no safetensors weights; convert them"):
        locate(str(model))


@pytest.mark.parametrize("name", ["./absent", "/absent/model", "../absent", "~/absent/model"])
def test_a_missing_folder_is_not_looked_for_on_a_hub(name: str) -> None:
    with pytest.raises(ModelError, match="is no folder"):
        locate(name)


@pytest.mark.parametrize("name", ["no/such/model", "-", "a b"])
def test_what_cannot_be_a_hub_id_is_refused_at_once(name: str) -> None:
    with pytest.raises(ModelError, match="check name and network"):
        locate(name)


@pytest.mark.parametrize(
    ("files", "hop_length"),
    [
        ({"preprocessor_config.json": '{"hop_length": 200}'}, 200),
        ({"processor_config.json": '{"feature_extractor": {"hop_length": 160}, "processor_class": "X"}'}, 160),
        ({"preprocessor_config.json": '{"do_normalize": true}'}, None),
        ({}, None),
    ],
)
def test_the_hop_length_is_read_from_wherever_it_is_kept(
    tmp_path: Path, files: dict[str, str], hop_length: int | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert own_hop_length(tmp_path) == hop_length


def test_a_processor_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"preprocessor_config\.json cannot be read .*; fetch the model anew"):
        own_hop_length(tmp_path)
