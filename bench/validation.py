"""Which settings make sense: what types alone cannot tell. Nothing here has an effect beyond raising."""

import math

from bench.config import (
    AUTO,
    SPLIT,
    Config,
    DataConfig,
    DataSource,
    DecodeConfig,
    Engine,
    ExecutorKind,
    FoldMethod,
    Merge,
    PriceConfig,
    Sampler,
    Strategy,
    SyntheticConfig,
    Task,
    flatten,
)
from bench.config.engines import engine_names
from bench.errors import ConfigError, ImpossiblePoint


def validate(config: Config) -> None:
    """Check what types alone cannot.

    Raises:
        ImpossiblePoint: Values that a grid may well produce but no run can honour (a stride of half the chunk).
        ConfigError: Values that are wrong in any combination (a negative batch size).
    """
    _validate_study_name(config.study)
    _validate_device(config.device)
    _validate_engine(config.engine)
    _validate_counts(config)
    _validate_executor(config)
    _validate_prices(config.measure.price_per_hour)
    _validate_search(config)
    _validate_data(config.data)
    if config.task is Task.finetune:
        _validate_finetune(config)
    _validate_windows(config)
    _validate_strategy(config.decode)


_FASTEST = 0.5  # half as fast or half again as fast: nobody speaks so


def _validate_finetune(config: Config) -> None:
    tune = config.finetune
    size = tune.memory.device_batch_size
    if isinstance(size, str) and size != AUTO:
        raise ConfigError(f"finetune.memory.device_batch_size={size} is no number; give one, or {AUTO}")
    counts: list[tuple[str, int | None, int]] = [
        ("finetune.max_steps", tune.max_steps, 1),
        ("finetune.batch_size", tune.batch_size, 1),
        ("finetune.memory.device_batch_size", None if isinstance(size, str) else size, 1),
        ("finetune.freeze.encoder_layers", tune.freeze.encoder_layers, 0),
        ("finetune.lora.rank", tune.lora.rank, 0),
        ("finetune.evaluations", tune.evaluations, 1),
        ("finetune.folds.count", tune.folds.count, 2),
        ("finetune.folds.repeats", tune.folds.repeats, 1),
        ("finetune.folds.seed", tune.folds.seed, 0),
        ("finetune.test.limit", tune.test.limit, 1),
    ]
    for name, count, least in counts:
        if count is not None and not least <= count <= _MOST:
            raise ConfigError(f"{name}={count} is out of range; give a number from {least} to {_MOST}")
    rates = [("finetune.learning_rate", tune.learning_rate), ("finetune.epochs", tune.epochs)]
    rates += [
        ("finetune.optimizer.max_grad_norm", tune.optimizer.max_grad_norm),
        ("finetune.lora.alpha", tune.lora.alpha),
    ]
    for name, value in rates:
        if not 0 < value < math.inf:
            raise ConfigError(f"{name}={value:g} must be a number above 0")
    if not 0 <= tune.optimizer.weight_decay < math.inf:
        raise ConfigError(f"finetune.optimizer.weight_decay={tune.optimizer.weight_decay:g} must be a number from 0 up")
    shares = [("finetune.optimizer.warmup", tune.optimizer.warmup), ("finetune.lora.dropout", tune.lora.dropout)]
    shares += [("finetune.test.share", tune.test.share), *flatten(tune.augment, "finetune.augment.")]
    for name, share in shares:
        most = _FASTEST if name == "finetune.augment.speed" else 1.0
        if not 0 <= share <= most:
            raise ConfigError(f"{name}={share:g} is no share that can be; give a number from 0 to {most:g}")
    _validate_sets(config)


def _validate_sets(config: Config) -> None:
    test, folds = config.finetune.test, config.finetune.folds
    if test.split is not None and test.share:
        raise ConfigError("finetune.test.split and finetune.test.share both say what is kept for the test; give one")
    if test.share == 1:
        raise ConfigError("finetune.test.share=1 leaves nothing to train on; give a smaller share")
    if folds.method is FoldMethod.none and test.split is None and not test.share:
        raise ConfigError(
            "finetune.folds.method=none divides nothing, so a test must score the outcome; add finetune.test.split=test"
            " or finetune.test.share=0.3"
        )
    if folds.method is FoldMethod.none and config.search.racing:
        raise ConfigError("search.racing ends settings after some folds, and finetune.folds.method=none makes none")
    if config.search.holdout:
        raise ConfigError(
            f"search.holdout={config.search.holdout:g} is for transcribing; a fine-tuning study keeps data aside with"
            " finetune.test.share or finetune.test.split"
        )
    if config.measure.replicates > 1:
        raise ConfigError(
            f"measure.replicates={config.measure.replicates}: the runs of a training are its folds; use"
            " finetune.folds.repeats"
        )
    if config.engine != Engine.transformers:
        raise ConfigError(f"engine={config.engine} trains nothing; use engine=transformers with task=finetune")


_MOST = 2**31 - 1
_MOST_REPLICATES = 100_000  # each is a run, and all are listed before the first
_SHORTEST_CHUNK_S = 0.1
_LONGEST_NAME = 200  # file systems allow 255 bytes, and temporary names need some of them


def _validate_study_name(study: str) -> None:
    if not study or study in {".", ".."} or any(mark in study for mark in "/\\:\0") or study != study.strip():
        raise ConfigError(f"study={study!r} cannot name a folder; use a plain name such as study=my_sweep")
    if len(study.encode()) > _LONGEST_NAME:
        raise ConfigError(f"study={study:.40}... is too long for a folder's name; use at most {_LONGEST_NAME} bytes")


def _validate_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (
        ":" in device and not (kind == "cuda" and index.isdecimal() and len(index) <= 3)
    ):
        raise ConfigError(f"device={device!r} is unknown; use cpu, cuda, cuda:1 or mps")


def _validate_engine(name: str) -> None:
    if name not in set(Engine) and name not in engine_names():  # asking packages takes a while
        raise ConfigError(
            f"engine={name} is unknown; use one of {', '.join(engine_names())}, or install the package that offers it"
        )


def _validate_counts(config: Config) -> None:
    batch_size = config.decode.batch_size
    if isinstance(batch_size, str) and batch_size != AUTO:
        raise ConfigError(f"decode.batch_size={batch_size} is no number; give one, or {AUTO}")
    bounds: list[tuple[str, int | None, int, int]] = [
        ("decode.batch_size", None if isinstance(batch_size, str) else batch_size, 1, _MOST),
        ("decode.num_beams", config.decode.num_beams, 1, _MOST),
        ("model.hop_length", config.model.hop_length, 1, _MOST),
        ("data.limit", config.data.limit, 1, _MOST),
        ("data.seed", config.data.seed, 0, 2**32 - 1),
        ("data.synthetic.sentences", config.data.synthetic.sentences, 1, _MOST),
        ("data.synthetic.per_recording", config.data.synthetic.per_recording, 1, _MOST),
        ("data.synthetic.first", config.data.synthetic.first, 0, _MOST),
        ("threads", config.threads, 1, 1024),
        ("seed", config.seed, 0, 2**32 - 1),
        ("measure.warmup", config.measure.warmup, 0, _MOST),
        ("measure.repeats", config.measure.repeats, 1, _MOST),
        ("measure.replicates", config.measure.replicates, 1, _MOST_REPLICATES),
        ("measure.single_stream", config.measure.single_stream, 0, _MOST),
        ("measure.rerun_invalid", config.measure.rerun_invalid, 0, _MOST),
        ("executor.workers", config.executor.workers, 1, 1024),
        ("executor.max_attempts", config.executor.max_attempts, 1, _MOST),
        ("search.trials", config.search.trials, 1, _MOST),
    ]
    for name, value, least, most in bounds:
        if value is not None and value < least:
            raise ConfigError(f"{name}={value} is too small; give at least {least}")
        if value is not None and value > most:
            raise ConfigError(f"{name}={value} is too large; give at most {most}")
    if not 0.01 <= config.measure.sample_hz <= 100:  # more would disturb the run, and CPU time ticks at 100 Hz
        raise ConfigError(f"measure.sample_hz={config.measure.sample_hz:g} must be between 0.01 and 100")
    for name, limit in [
        ("executor.timeout_s", config.executor.timeout_s),
        ("model.max_window_s", config.model.max_window_s),
    ]:
        if limit is not None and not 0 < limit < math.inf:
            raise ConfigError(f"{name}={limit:g} must be a number of seconds above 0, or null for no limit")
    if config.decode.task not in (None, "transcribe", "translate"):
        raise ConfigError(f"decode.task={config.decode.task} is unknown; use transcribe, translate or null")


def _validate_executor(config: Config) -> None:
    executor = config.executor
    if executor.memory_gib is not None and not 0 < executor.memory_gib < math.inf:
        raise ConfigError(f"executor.memory_gib={executor.memory_gib:g} must be a number above 0, or null for any node")
    if executor.kind is ExecutorKind.ray:
        if ":" in config.device:
            raise ConfigError(f"device={config.device}: Ray chooses which GPU a run gets; use device=cuda")
        if config.device == "mps":
            raise ConfigError("device=mps is known to no Ray cluster; use executor=local")
        return
    for name, value in (("address", executor.address), ("memory_gib", executor.memory_gib)):
        if value is not None:
            raise ConfigError(f"executor.{name}={value} is for a Ray cluster; add executor=ray, or leave it out")
    if executor.workers is None:
        raise ConfigError("executor.workers=null leaves the number of runs at a time to Ray; give one, or executor=ray")
    if executor.workers > 1 and config.measure.rerun_invalid:
        raise ConfigError(
            f"measure.rerun_invalid={config.measure.rerun_invalid} is for timings, and of runs that share a machine"
            f" (executor.workers={executor.workers}) none is valid; use executor.workers=1, or leave it out"
        )


def _validate_prices(prices: PriceConfig) -> None:
    for device, price in flatten(prices):
        if price is not None and not 0 <= price < math.inf:
            raise ConfigError(
                f"measure.price_per_hour.{device}={price:g} is no price; give a number from 0 up, or null"
            )


def _validate_search(config: Config) -> None:
    search = config.search
    if not 0 < search.racing_level < 1:
        raise ConfigError(f"search.racing_level={search.racing_level:g} is no probability; give one between 0 and 1")
    if not 0 <= search.racing_margin < 1:
        raise ConfigError(f"search.racing_margin={search.racing_margin:g} is no share; give one from 0 to below 1")
    if not 0 <= search.holdout < 1:
        raise ConfigError(f"search.holdout={search.holdout:g} is no share of the data; give one from 0 to below 1")
    for name, limit in [("search.budget_s", search.budget_s), ("search.budget_cost", search.budget_cost)]:
        if limit is not None and not 0 < limit < math.inf:
            raise ConfigError(f"{name}={limit:g} must be a number above 0, or null for no limit")
    price = getattr(config.measure.price_per_hour, config.device.partition(":")[0])
    if search.budget_cost is not None and price is None:
        kind = config.device.partition(":")[0]
        raise ConfigError(f"search.budget_cost needs the price of what runs; add measure.price_per_hour.{kind}=NUMBER")
    if search.dry_run and search.sampler is not Sampler.grid:
        raise ConfigError(
            f"search.dry_run predicts a grid, and search={search.sampler} decides on the way; bound it with"
            " search.trials, search.budget_s or search.budget_cost"
        )


def _validate_data(data: DataConfig) -> None:
    if data.path is None and data.source not in (DataSource.demo, DataSource.synthetic):
        raise ConfigError(f"data={data.source} needs a path; add data.path={_DATA_PATHS[data.source]}")
    if data.source is DataSource.demo and data.path is not None:
        raise ConfigError(f"data.path={data.path} is not used by the demo recordings; add data=manifest")
    if data.root is not None and data.source is not DataSource.manifest:
        raise ConfigError(f"data.root={data.root} is for manifests, and data={data.source} reads none; leave it out")
    if data.split is None and data.source in (DataSource.common_voice, DataSource.hub):
        raise ConfigError(f"data={data.source} has splits, and which of them is used must be said; add data.split=test")
    if data.split is not None and (not data.split.strip() or ".." in data.split or data.split[0] in "/\\"):
        raise ConfigError(f"data.split={data.split!r} names no part of a corpus; give one such as data.split=test")
    templates = (DataSource.manifest, DataSource.folder, DataSource.synthetic)
    if data.split is not None and data.source in templates and SPLIT not in (data.path or ""):
        raise ConfigError(
            f"data.split={data.split} is not used by data.path={data.path}; write {SPLIT} where it belongs in the path,"
            f" such as lists/{SPLIT}.csv, or leave data.split out"
        )
    if data.max_duration_s is not None and not 0 < data.max_duration_s < math.inf:
        raise ConfigError(
            f"data.max_duration_s={data.max_duration_s:g} must be a number of seconds above 0, or null for no limit"
        )
    _validate_synthetic(data.synthetic)


_LARGEST_SPREAD = 0.5


def _validate_synthetic(synthetic: SyntheticConfig) -> None:
    if not synthetic.voices:
        raise ConfigError("data.synthetic.voices is empty; name a voice at least, such as en-us")
    if not 0 <= synthetic.rate_spread <= _LARGEST_SPREAD:
        raise ConfigError(
            f"data.synthetic.rate_spread={synthetic.rate_spread:g} is no share of the speed that can be; give one from"
            f" 0 to {_LARGEST_SPREAD:g}"
        )


_DATA_PATHS = {
    DataSource.manifest: "FILE.csv (columns path,text), FILE.tsv or FILE.jsonl",
    DataSource.folder: "FOLDER, with audio files and a .txt beside each, or metadata.csv",
    DataSource.common_voice: "the folder of one language, with train.tsv and clips/",
    DataSource.librispeech: "the folder LibriSpeech was unpacked to",
    DataSource.hub: "NAME, such as google/fleurs",
}


def _validate_strategy(decode: DecodeConfig) -> None:
    if decode.strategy is Strategy.chunked:
        return
    if decode.stride_length_s:
        raise ImpossiblePoint(
            f"decode.strategy={decode.strategy} has no strides, but decode.stride_length_s={decode.stride_length_s:g};"
            f" use decode={decode.strategy}, or decode.stride_length_s=0"
        )
    if decode.merge is Merge.pipeline:
        raise ImpossiblePoint(
            f"decode.merge=pipeline searches overlapping windows, and decode.strategy={decode.strategy} has none;"
            " use decode.merge=aligned"
        )


def _validate_windows(config: Config) -> None:
    chunk, stride = config.decode.chunk_length_s, config.decode.stride_length_s
    if not _SHORTEST_CHUNK_S <= chunk < math.inf:
        raise ConfigError(f"decode.chunk_length_s={chunk:g} must be a number of seconds from {_SHORTEST_CHUNK_S:g} up")
    if not (math.isfinite(stride) and stride >= 0):
        raise ConfigError(f"decode.stride_length_s={stride:g} must be zero or a positive number of seconds")
    if 2 * stride >= chunk:
        raise ImpossiblePoint(
            f"decode.stride_length_s={stride:g} (each side) is not smaller than half of"
            f" decode.chunk_length_s={chunk:g}; use a stride below {chunk / 2:g} or a longer chunk"
        )
    longest = config.model.max_window_s
    if longest is not None and chunk > longest:
        raise ImpossiblePoint(
            f"decode.chunk_length_s={chunk:g} is longer than model.max_window_s={longest:g}, all that"
            f" {config.model.name} can see; use at most {longest:g}"
        )
    if longest is not None and config.decode.strategy is Strategy.sequential and chunk != longest:
        raise ImpossiblePoint(
            f"decode.strategy=sequential walks in windows of model.max_window_s={longest:g}, but"
            f" decode.chunk_length_s={chunk:g}; use decode.chunk_length_s={longest:g}"
        )
