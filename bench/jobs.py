"""From a configuration to a run that can be executed: its data, its model, and its name."""

import hashlib
import json
from collections.abc import Iterable

from bench.assets.models import LocalModel, locate
from bench.config import Config, DataConfig, Engine, flatten
from bench.data.dataset import DataSet, load_dataset
from bench.data.holdout import Part, part_of
from bench.records import Job
from bench.search.points import Candidate, name_of

# Data and models are identified by what they hold, not by where they lie; max_window_s only guards impossible points.
_IDENTITY_PREFIXES = ("model.", "decode.")
_IDENTITY_NAMES = ("device", "engine", "threads", "seed")
_NOT_IDENTITY = {"model.name", "model.max_window_s"}


def trial_id(config: Config, model: str, data: str) -> str:
    """Name a trial by what determines its result.

    Args:
        config: The settings.
        model: Fingerprint of the model's files; its name where it has none.
        data: Fingerprint of the data.
    """
    identity = {
        name: value
        for name, value in flatten(config)
        if (name in _IDENTITY_NAMES or name.startswith(_IDENTITY_PREFIXES)) and name not in _NOT_IDENTITY
    }
    canonical = json.dumps({**identity, "model": model, "data": data}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class JobMaker:
    """Makes candidates into runs, with the data and models of each at hand.

    Args:
        configs: Configurations whose data and models are looked up at once, so that what is wrong with them shows
            before anything runs.

    Raises:
        DataError: A manifest cannot be used, or holds too little to keep a part of it aside.
        ModelError: A model's files cannot be had.
        AssetError: A packaged model or recording cannot be had.
    """

    def __init__(self, configs: Iterable[Config]) -> None:
        self._datasets: dict[tuple[DataConfig, Part, float], DataSet] = {}
        self._models: dict[tuple[str, str], LocalModel] = {}
        for config in configs:
            self._data(config, Part.search)
            self._model(config)

    def jobs(self, candidate: Candidate, part: Part = Part.search) -> list[Job]:
        """Make the runs of a trial, one a replicate."""
        config = candidate.config
        data, model = self._data(config, part), self._model(config)
        return [
            Job(
                study=config.study,
                trial_id=trial_id(config, model.fingerprint if model else config.model.name, data.fingerprint),
                replicate=replicate,
                attempt=0,
                config=config,
                model_path=str(model.folder) if model else "",
                model_fingerprint=model.fingerprint if model else None,
                utterances=data.utterances,
                data_name=data.name,
                data_fingerprint=data.fingerprint,
                point=name_of(candidate.point),
                part=part.value,
            )
            for replicate in range(config.measure.replicates)
        ]

    def _data(self, config: Config, part: Part) -> DataSet:
        key = config.data, part, config.search.holdout
        if key not in self._datasets:
            self._datasets[key] = part_of(load_dataset(config.data), part, config.search.holdout)
        return self._datasets[key]

    def _model(self, config: Config) -> LocalModel | None:
        if config.engine is Engine.fake:
            return None
        key = config.model.name, config.model.weights.value
        if key not in self._models:
            self._models[key] = locate(config.model.name, config.model.weights)
        return self._models[key]
