"""Command lines that chance makes up: each is understood, or refused in one line."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench.forecast.plan
import bench.sweep
import bench.training_plan
from bench.config import Config, flatten

pytestmark = pytest.mark.faults

_UNDERSTOOD, _ASKED, _REFUSED = 130, 0, 2

_GROUPS = ["model", "data", "decode", "search", "finetune", "experiment", "executor"]
_KEYS = [
    *(name for name, _ in flatten(Config())),
    *_GROUPS,
    "search.space.when",
    "search.space.combine",
    "search.enqueue",
]
_NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["1e309", "-0", "0x10", "1_000", "9" * 400, "1e-320", "inf", "-inf", "nan", "٣"]),
)
_WORDS = st.sampled_from(
    [
        "null", "true", "auto", "cpu", "cuda:1", "fake", "demo", "tpe", "grid", "vad", "''", '""', "[]", "{}",
        "[wer,rtfx]", "{a: 1}", "[{decode.batch_size: 1}]", "${seed}", "${oc.env:HOME}", "${no.such}", "${", "$",
        "['seed if threads=1']", "['seed if threads={']", "['seed if threads=1 else [']", '["wer<=1"]', "['x<=']",
        "../../etc/passwd", "/dev/null", "a\nb", "\0", "\ud800", "مرحبا", "🎙", "<b>", "'", '"', "\\", "(", ")", "%",
    ]
)  # fmt: skip
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
_PLAIN = st.one_of(_NUMBERS, _WORDS, _TEXTS)
_SWEEPS = st.one_of(
    st.lists(_PLAIN, min_size=1, max_size=4).map(",".join),
    st.tuples(st.sampled_from(["choice", "range", "interval", "glob", "shuffle", "sort", "int", "float", "str"]),
              st.lists(_PLAIN, max_size=3).map(",".join)).map(lambda pair: f"{pair[0]}({pair[1]})"),
    st.lists(_NUMBERS, min_size=2, max_size=3).map(lambda numbers: f"range({','.join(numbers)})"),
    st.lists(_NUMBERS, min_size=2, max_size=2).map(lambda numbers: f"tag(log,interval({','.join(numbers)}))"),
)  # fmt: skip
_OVERRIDES = st.one_of(
    st.builds(
        "{}{}={}".format,
        st.sampled_from(["", "", "", "+", "++", "~"]),
        st.sampled_from(_KEYS),
        st.one_of(_PLAIN, _SWEEPS),
    ),
    st.builds("{}={}".format, _TEXTS.filter(lambda text: not text.startswith("-")), _PLAIN),  # flags are Hydra's
    st.builds("~{}".format, st.sampled_from(_KEYS)),
    _TEXTS.filter(lambda text: not text.startswith(("-", "hydra"))),
)
_COMMAND_LINES = st.tuples(st.booleans(), st.lists(_OVERRIDES, max_size=4))


def _stopped(*arguments: Any) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "examples", [30, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(4 * 3600)])]
)
def test_every_command_line_is_understood_or_refused(
    answer: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    """All is done but to run: composing, checking, enumerating the points."""
    monkeypatch.setattr(bench.sweep, "run_study", _stopped)
    monkeypatch.setattr(bench.forecast.plan, "forecast_study", _stopped)
    monkeypatch.setattr(bench.training_plan, "plan_study", _stopped)

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(_COMMAND_LINES)
    def check(line: tuple[bool, list[str]]) -> None:
        sweeps, overrides = line
        code, _ = answer("run", *(["-m"] if sweeps else []), "engine=fake", "model=fake", *overrides)
        assert code in (_UNDERSTOOD, _ASKED, _REFUSED)

    check()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "seed=range(0,1000000000)"],
        ["-m", f"seed=range(0,{'9' * 400})"],
        ["-m", "seed=range(0,2000)", "threads=range(1,1001)", "decode.batch_size=range(1,1000)"],
        ["-m", "decode.chunk_length_s=range(1,2,0.000000001)"],
        ["-m", "seed=range(0,10,0)"],
        ["measure.replicates=2000000000"],
    ],
)
def test_more_points_than_anyone_can_run_are_refused_at_once(
    answer: Callable[..., tuple[int, str]], arguments: list[str]
) -> None:
    code, said = answer("run", "engine=fake", "model=fake", *arguments)
    assert code == _REFUSED
    assert arguments[-1].partition("=")[0] in said


@pytest.mark.parametrize("sweep", [[], ["-m"], ["-m", "search=tpe", "search.trials=2"]])
def test_a_number_too_large_for_its_setting_is_refused(
    answer: Callable[..., tuple[int, str]], sweep: list[str]
) -> None:
    values = ",".join(["10"] * bool(sweep) + ["9" * 400])
    code, said = answer("run", *sweep, "engine=fake", "model=fake", f"decode.chunk_length_s={values}")
    assert code == _REFUSED
    assert "decode.chunk_length_s: int too large" in said


@pytest.mark.parametrize("text", ["['seed if threads={']", "['seed if threads=1 else [']"])
def test_a_condition_that_is_no_yaml_is_refused(answer: Callable[..., tuple[int, str]], text: str) -> None:
    code, said = answer("run", "-m", "engine=fake", "model=fake", "seed=1,2", f"search.space.when={text}")
    assert code == _REFUSED
    assert "search.space.when" in said


@pytest.mark.parametrize(
    "varied", ["seed=choice({a: 1})", "data.synthetic.voices=[a],[b]", "search.space.combine=[{seed: [1], threads: 1}]"]
)
def test_lists_and_mappings_do_not_vary(answer: Callable[..., tuple[int, str]], varied: str) -> None:
    code, said = answer("run", "-m", "engine=fake", "model=fake", varied)
    assert code == _REFUSED
    assert varied.partition("=")[0] in said
