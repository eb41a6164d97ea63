import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from bench.config import Attention, DataSource, DType, Engine
from bench.errors import BenchError, ConfigError, ImpossiblePoint
from bench.search.compose import Composed, compose


def composed(*arguments: str) -> Composed:
    study = compose(arguments)
    assert study is not None
    return study


Preset = Callable[..., tuple[str, ...]]


@pytest.fixture
def preset(tmp_path: Path) -> Preset:
    """Make `preset(*lines)`: arguments that add an experiment of these `hydra.sweeper.params`."""

    def write(*lines: str) -> tuple[str, ...]:
        folder = tmp_path / "mine" / "experiment"
        folder.mkdir(parents=True)
        params = "".join(f"      {line}\n" for line in lines)
        text = f"# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n{params}"
        (folder / "mine.yaml").write_text(text)
        return "--config-dir", str(folder.parent), "experiment=mine"

    return write


def test_a_trial_is_one_point_without_dimensions() -> None:
    study = composed("model=fake", "engine=fake", "decode.chunk_length_s=12", "device=cuda:1", "decode.language=cy")
    assert study.space.described() == {}
    (config,) = study.grid.points
    assert config == study.config
    assert config.model.name == "fake/ok"
    assert config.engine == Engine.fake
    assert config.decode.chunk_length_s == 12.0
    assert config.device == "cuda:1"
    assert config.decode.language == "cy"
    assert config.model.dtype is DType.float32
    assert config.model.attention is Attention.sdpa


def test_a_data_source_is_a_group() -> None:
    config = composed("data=manifest", "data.path=no/such file.csv", "data.limit=3").config
    assert (config.data.source, config.data.path, config.data.limit) == (DataSource.manifest, "no/such file.csv", 3)


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_sweep_flag_may_stand_anywhere(flag: str, place: int) -> None:
    arguments = ["seed=1,2", "threads=3"]
    arguments.insert(place, flag)
    study = composed(*arguments)
    assert [(point.seed, point.threads) for point in study.grid.points] == [(1, 3), (2, 3)]
    assert study.space.described() == {"seed": [1, 2]}


def test_groups_and_values_multiply() -> None:
    study = composed("-m", "model=fake,whisper", "decode.chunk_length_s=range(20,41,10)", "decode.stride_length_s=2")
    found = [(point.model.name, point.model.max_window_s, point.decode.chunk_length_s) for point in study.grid.points]
    # Whisper sees 30 s; the fake model has no such limit.
    assert found == [
        ("fake/ok", None, 20.0), ("fake/ok", None, 30.0), ("fake/ok", None, 40.0),
        ("openai/whisper-small", 30.0, 20.0), ("openai/whisper-small", 30.0, 30.0),
    ]  # fmt: skip
    assert [point.settings for point in study.grid.skipped] == [{"model": "whisper", "decode.chunk_length_s": 40}]
    assert {point.decode.stride_length_s for point in study.grid.points} == {2.0}


def test_a_sweep_flag_without_dimensions_is_one_point() -> None:
    study = composed("-m", "seed=4")
    assert [point.seed for point in study.grid.points] == [4]
    assert study.space.described() == {}


def test_a_preset_sweeps_by_itself(preset: Preset) -> None:
    study = composed(*preset("decode.chunk_length_s: [15, 20]", "seed: 1,2"))
    assert study.space.described() == {"decode.chunk_length_s": [15, 20], "seed": [1, 2]}
    found = [(point.decode.chunk_length_s, point.seed) for point in study.grid.points]
    assert found == [(15.0, 1), (15.0, 2), (20.0, 1), (20.0, 2)]


def test_the_command_line_wins_over_a_preset(preset: Preset) -> None:
    study = composed(
        *preset("decode.chunk_length_s: [15, 20]", "seed: 1,2"), "seed=9", "decode.chunk_length_s=25,26,27"
    )
    assert [(point.decode.chunk_length_s, point.seed) for point in study.grid.points] == [
        (25.0, 9),
        (26.0, 9),
        (27.0, 9),
    ]


def test_a_preset_may_sweep_a_group(preset: Preset) -> None:
    study = composed(*preset("model: fake,whisper"))
    assert [point.model.name for point in study.grid.points] == ["fake/ok", "openai/whisper-small"]


# Arguments, and what the message must say: what is wrong, and the cure.
WRONG = [
    (["decode.chunk_length=3"], "decode.chunk_length is no setting", "did you mean decode.chunk_length_s?"),
    (["-m", "decode.batch_siz=1,2"], "decode.batch_siz is no setting", "did you mean decode.batch_size?"),
    (["nonsense.key=1"], "nonsense", "'asr-sweep run --cfg job' lists them all"),
    (["+decode.extra=1"], "extra", "'asr-sweep run --cfg job'"),
    (["decode.num_beams=many"], "decode.num_beams: Value 'many'", "Integer"),
    (["-m", "decode.num_beams=1,many"], "decode.num_beams: Value 'many'", "Integer"),
    (["decode.batch_size=many"], "decode.batch_size=many is no number", "give one, or auto"),
    (["decode.batch_size=1.5"], "decode.batch_size: Value '1.5'", "int"),
    (["-m", "decode.batch_size=1,many"], "decode.batch_size=many is no number", "give one, or auto"),
    (["decode.chunk_length_s=long"], "decode.chunk_length_s: Value 'long'", "Float"),
    (["decode.timestamps=maybe"], "decode.timestamps: Value 'maybe'", "bool"),
    (["decode.chunk_length_s=null"], "decode.chunk_length_s", "not Optional"),
    (["engine=imaginary"], "engine=imaginary is unknown", "transformers"),
    (["model.dtype=float8"], "model.dtype: Invalid value 'float8'", "float32, bfloat16, float16"),
    (["experiment=dmo"], "experiment=dmo is unknown", "demo"),
    (["model=whsper"], "model=whsper is unknown", "whisper"),
    (["-m", "model=fake,fak"], "model=fak is unknown", "use one of: fake"),
    (["decode.chunk_length_s=10,20"], "decode.chunk_length_s=10,20 lists several values", "add -m"),
    (["-m", "decode.chunk_length_s=interval(5,30)"], "no finite set of values", "search=tpe"),
    (["-m", "search=tpe", "decode.batch_size=interval(0,8)"], "decode.batch_size=0 is too small", "at least 1"),
    (["-m", "search=tpe", "decode.batch_siz=interval(1,8)"], "decode.batch_siz is no setting", "did you mean"),
    (["-m", "search=tpe", "measure.repeats=interval(1,8)"], "holds for a study as a whole", "give it one value"),
    (["-m", "search=tpe"], "search=tpe has nothing to search", "name a setting with several values"),
    (["search=tpe"], "search=tpe chooses among values", "add -m"),
    (["-m", "search=tpee", "seed=1,2"], "search=tpee is unknown", "gp grid nsga2 random tpe"),
    (["-m", "seed=1,2", "search.objectives=[]"], "search.objectives is empty", "search.objectives=[wer]"),
    (["-m", "seed=1,2", "search.objectives=[wer,wer]"], "names a metric twice", "name each once"),
    (["-m", "seed=1,2", "search.objectives=[wre]"], "wre is no metric", "did you mean wer?"),
    (["-m", "seed=1,2", 'search.constraints=["wer<0.1"]'], "'wer<0.1' is no bound", "METRIC<=NUMBER"),
    (["-m", "seed=1,2", 'search.constraints=["wr<=0.1"]'], "wr is no metric", "use any of: wer"),
    (["-m", "seed=1,2", "search.enqueue=[{seed:3}]"], "{'seed': 3} is no point of this grid", "values that it lists"),
    (
        ["-m", "search=tpe", "seed=1,2", "search.enqueue=[{seed:1,threads:1}]"],
        "threads does not vary",
        "name only seed",
    ),
    (["-m", "search=tpe", "seed=1,2", "search.dry_run=true"], "search.dry_run predicts a grid", "search.budget_s"),
    (["-m", "search=tpe", "model=fake,whisper", "search.enqueue=[{model:fak}]"], "needs model", "fake, whisper"),
    (
        ["-m", "search=tpe", "seed=1,2", "threads=1,2", "search.space.when=['threads if seed=1 else many']"],
        "threads: Value 'many'",
        "mend the value",
    ),
    (["seed=1", "search.budget_cost=3"], "needs the price of what runs", "measure.price_per_hour.cpu=NUMBER"),
    (["seed=1", "search.budget_s=0"], "search.budget_s=0 must be a number above 0", "null for no limit"),
    (["seed=1", "search.holdout=1"], "search.holdout=1 is no share", "from 0 to below 1"),
    (["seed=1", "search.racing_level=0"], "is no probability", "between 0 and 1"),
    (["seed=1", "search.racing_margin=1"], "search.racing_margin=1 is no share", "from 0 to below 1"),
    (["-m", "study=a,b"], "study holds for a study as a whole", "give it one value"),
    (["-m", "measure.repeats=1,2"], "measure.repeats holds for a study as a whole", "give it one value"),
    (["-m", "experiment=demo,chunk_stride"], "experiment holds for a study as a whole", "give it one value"),
    (["just_a_word"], "just_a_word", "'asr-sweep run --help'"),
    (["experiment=null"], "must be a string", "'asr-sweep run --help'"),
    (["model=3"], "must be a string", "'asr-sweep run --help'"),
    (["seed=${oc.env:ASR_SWEEP_NO_SUCH_VARIABLE}"], "ASR_SWEEP_NO_SUCH_VARIABLE", "'asr-sweep run --cfg job'"),
    (["data=manifest"], "data=manifest needs a path", "data.path=FILE"),
    (["-m", "decode.chunk_length_s=1,2"], "no point of this grid can run; the first of 2", "use a stride below 0.5"),
]


@pytest.mark.parametrize(
    ("arguments", "fault", "cure"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_wrong_request_is_one_line_with_the_cure(arguments: list[str], fault: str, cure: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(arguments)
    message = str(caught.value)
    assert fault in message
    assert cure in message
    assert len(message.splitlines()) == 1


def test_one_impossible_trial_is_an_error() -> None:
    with pytest.raises(ImpossiblePoint, match=re.escape("use a stride below 5")):
        compose(["decode.chunk_length_s=10", "decode.stride_length_s=5"])


def test_asking_hydra_for_information_gives_no_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert compose(["--cfg", "job", "seed=77"]) is None
    assert "seed: 77" in capsys.readouterr().out


def test_composing_does_not_remember_what_was_composed_before() -> None:
    before = composed("-m", "seed=1,2", "model=fake")
    with pytest.raises(ConfigError):
        compose(["model=whsper"])
    assert composed("seed=5").grid.points[0].model.name == "packaged/whisper-tiny.en"
    assert composed("-m", "seed=1,2", "model=fake") == before


@pytest.mark.parametrize("full_error", [None, "0"])
@pytest.mark.parametrize("arguments", [["seed=1"], ["-m", "seed=1,2"], ["no.such=1"]])
def test_the_process_is_left_as_it_was_found(
    arguments: list[str], full_error: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["something", "else"])
    if full_error is None:
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    else:
        monkeypatch.setenv("HYDRA_FULL_ERROR", full_error)
    environment = dict(os.environ)
    try:
        compose(arguments)
    except ConfigError:
        assert arguments == ["no.such=1"]
    assert dict(os.environ) == environment
    assert sys.argv == ["something", "else"]
    assert Path.cwd() == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_threads_compose_one_after_the_other() -> None:
    found: dict[int, int | str] = {}

    def compose_one(seed: int) -> None:
        try:
            found[seed] = composed(f"seed={seed}").grid.points[0].seed
        except (BenchError, SystemExit) as error:
            found[seed] = str(error)

    threads = [threading.Thread(target=compose_one, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: seed for seed in range(1, 5)}


def test_a_caller_within_hydra_of_its_own_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("a: 1", encoding="utf-8")
    with initialize_config_dir(str(tmp_path), version_base=None):
        assert composed("-m", "seed=7,8").grid.points[0].seed in (7, 8)
        assert hydra_compose("own") == {"a": 1}


@pytest.mark.parametrize("argument", [5, None, ["-m"], b"seed=1"])
def test_what_is_no_text_is_refused(argument: Any) -> None:
    with pytest.raises(ConfigError, match=r"is no text; give each argument as a string, such as 'study=mine'$"):
        compose([argument])
