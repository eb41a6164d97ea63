"""From a configuration to a run that can be executed: its data, its model, and its name."""

import hashlib
import json
from collections.abc import Iterable

from bench.assets.models import LocalModel, locate, own_hop_length
from bench.config import Config, DataConfig, Engine, flatten
from bench.data.dataset import DataSet, load_dataset
from bench.data.holdout import Part, part_of
from bench.errors import ConfigError
from bench.records import Job
from bench.search.points import Candidate, name_of

# Data and models are identified by what they hold, not by where they lie; the other two only guard against what cannot
# be: a window that the model cannot see, and a hop length that is not its own.
_IDENTITY_PREFIXES = ("model.", "decode.")
_IDENTITY_NAMES = ("device", "engine", "threads", "seed")
_NOT_IDENTITY = {"model.name", "model.max_window_s", "model.hop_length"}


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
        ConfigError: A configuration asks for a hop length that is not its model's own.
    """

    def __init__(self, configs: Iterable[Config]) -> None:
        self._datasets: dict[tuple[DataConfig, Part, float], DataSet] = {}
        self._models: dict[tuple[str, str], LocalModel] = {}
        for config in configs:
            self.data(config, Part.search)
            self._model(config)

    def jobs(self, candidate: Candidate, part: Part = Part.search) -> list[Job]:
        """Make the runs of a trial, one a replicate."""
        config = candidate.config
        data, model = self.data(config, part), self._model(config)
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

    def data(self, config: Config, part: Part = Part.search) -> DataSet:
        """Look up a configuration's data, or the part of it that is for the search or kept aside."""
        key = config.data, part, config.search.holdout
        if key not in self._datasets:
            self._datasets[key] = part_of(load_dataset(config.data), part, config.search.holdout)
        return self._datasets[key]

    def _model(self, config: Config) -> LocalModel | None:
        if config.engine is Engine.fake:
            refuse_other_hop_length(config, None)
            return None
        key = config.model.name, config.model.weights.value
        if key not in self._models:
            self._models[key] = locate(config.model.name, config.model.weights)
        refuse_other_hop_length(config, self._models[key])
        return self._models[key]


def refuse_other_hop_length(config: Config, model: LocalModel | None) -> None:
    """Let nothing be scored on features that the weights were not trained on: the text would say nothing of the model.

    Raises:
        ConfigError: ``model.hop_length`` is neither null nor the model's own.
    """
    asked, name = config.model.hop_length, config.model.name
    if asked is None:
        return
    own = own_hop_length(model.folder) if model else None
    if own is None:
        raise ConfigError(
            f"model.hop_length={asked}: the files of {name} name no hop length, as those of a model that reads the"
            " waveform itself; leave model.hop_length=null"
        )
    if asked != own:
        raise ConfigError(
            f"model.hop_length={asked}: {name} was trained on frames {own} samples apart, and a score at another hop"
            " would measure that mismatch; use model.hop_length=null, or look at it with: asr-sweep features AUDIO"
            f" --model {name} --hop-length {asked}"
        )
