"""From a configuration to a run that can be executed: its data, its model, and its name."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.assets.models import LocalModel, is_multilingual, own_hop_length
from bench.config import (
    Config,
    DataConfig,
    FinetuneTestConfig,
    FoldMethod,
    FoldsConfig,
    Parity,
    Task,
    flatten,
    left_to_engine,
)
from bench.data.dataset import DataSet, load_dataset
from bench.data.holdout import Part, part_of
from bench.errors import ConfigError
from bench.inference.model_files import model_files
from bench.records import Job
from bench.search.points import Candidate, name_of
from bench.storage import place, workspace

if TYPE_CHECKING:
    from bench.finetune.folds import Folds
    from bench.finetune.sets import Sets

# Data and models are identified by what they hold, not by where they lie; the other two only guard against what cannot
# be: a window that the model cannot see, and a hop length that is not its own.
_IDENTITY_PREFIXES = ("model.", "decode.")
_IDENTITY_NAMES = ("device", "engine", "threads", "seed")
_NOT_IDENTITY = {"model.name", "model.max_window_s", "model.hop_length"}
# How often a training is looked at changes nothing of it, nor does what its outcome is judged on later.
_NOT_OF_TRAINING = ("finetune.evaluations", "finetune.save", "finetune.test.", "finetune.memory.device_batch_size")


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
        if (name in _IDENTITY_NAMES or name.startswith(_IDENTITY_PREFIXES))
        and name not in _NOT_IDENTITY
        and not left_to_engine(config.decode, name)
    }
    if config.decode.parity is Parity.locked:
        del identity["decode.parity"]  # trials had no other before there was a choice, and keep their names
    if config.task is Task.finetune:
        identity["task"] = config.task
        identity |= {
            name: value
            for name, value in flatten(config)
            if name.startswith("finetune.") and not name.startswith(_NOT_OF_TRAINING)
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
        ConfigError: A configuration asks for a hop length that is not its model's own, or trains a multilingual model
            on a language that it does not name.
    """

    def __init__(self, configs: Iterable[Config]) -> None:
        self._datasets: dict[tuple[DataConfig, Part, float], DataSet] = {}
        self._models: dict[tuple[str, ...], LocalModel | None] = {}
        self._sets: dict[tuple[DataConfig, FinetuneTestConfig], Sets] = {}
        self._folds: dict[tuple[DataConfig, FinetuneTestConfig, FoldsConfig], Folds] = {}
        for config in configs:
            self.data(config, Part.search)
            model = self._model(config)
            if config.task is Task.finetune:
                refuse_unknown_language(config, model)
            if config.task is Task.finetune and config.finetune.folds.method is not FoldMethod.none:
                self.folds(config)

    def jobs(self, candidate: Candidate, part: Part = Part.search) -> list[Job]:
        """Make the runs of a trial, one a replicate, or one a fold."""
        config = candidate.config
        if config.task is Task.finetune:
            return self._training_jobs(candidate)
        job = self._job(candidate, self.data(config, part), self._model(config))
        return [
            dataclasses.replace(job, replicate=replicate, part=part.value)
            for replicate in range(config.measure.replicates)
        ]

    def test_jobs(self, candidate: Candidate, trained_model: Path) -> tuple[Job, Job]:
        """Make the two runs that judge a training on the test data: the model as it was, and trained on all there is.

        Args:
            candidate: The chosen setting.
            trained_model: Folder for the trained model.
        """
        config = candidate.config
        sets, model = self.sets(config), self._model(config)
        assert sets.test is not None  # whoever asks for these runs has made sure of it
        as_it_was = dataclasses.replace(config, task=Task.transcribe)
        before = self._job(dataclasses.replace(candidate, config=as_it_was), sets.test, model)
        kept = dataclasses.replace(config, finetune=dataclasses.replace(config.finetune, save=True))
        after = self._job(dataclasses.replace(candidate, config=kept), sets.test, model, sets.training)
        return before, dataclasses.replace(after, trained_model=str(trained_model))

    def _training_jobs(self, candidate: Candidate) -> list[Job]:
        """Make the runs of a training: one a fold, or one that is judged on the test data."""
        config = candidate.config
        sets, model = self.sets(config), self._model(config)
        folder = workspace(place(config.results.root) / config.study) / "models"
        if config.finetune.folds.method is FoldMethod.none:
            assert sets.test is not None
            whole = self._job(candidate, sets.test, model, sets.training)
            return [dataclasses.replace(whole, trained_model=str(folder / whole.run_id))]
        job = self._job(candidate, sets.training, model)
        everything = sets.training.utterances
        made = []
        for replicate, fold in enumerate(self.folds(config).folds):
            one = dataclasses.replace(
                job,
                replicate=replicate,
                fold=fold.number,
                repeat=fold.repeat,
                training=tuple(everything[place] for place in fold.training),
                utterances=tuple(everything[place] for place in fold.validation),
            )
            made.append(dataclasses.replace(one, trained_model=str(folder / one.run_id)))
        return made

    def _job(
        self, candidate: Candidate, data: DataSet, model: LocalModel | None, training: DataSet | None = None
    ) -> Job:
        """Make a run that transcribes data, of a model that is trained on other data first where that is given."""
        config = candidate.config
        known_by = data.fingerprint if training is None else f"{data.fingerprint} after {training.fingerprint}"
        return Job(
            study=config.study,
            trial_id=trial_id(config, model.fingerprint if model else config.model.name, known_by),
            replicate=0,
            attempt=0,
            config=config,
            model_path=str(model.folder) if model else "",
            model_fingerprint=model.fingerprint if model else None,
            utterances=data.utterances,
            data_name=data.name,
            data_fingerprint=data.fingerprint,
            point=name_of(candidate.point),
            training=() if training is None else training.utterances,
        )

    def data(self, config: Config, part: Part = Part.search) -> DataSet:
        """Look up a configuration's data, or the part of it that is for the search or kept aside."""
        if config.task is Task.finetune:
            return self.sets(config).training
        key = config.data, part, config.search.holdout
        if key not in self._datasets:
            self._datasets[key] = part_of(load_dataset(config.data), part, config.search.holdout)
        return self._datasets[key]

    def sets(self, config: Config) -> "Sets":
        """Look up what a configuration trains on, and what its outcome is judged on."""
        key = config.data, config.finetune.test
        if key not in self._sets:
            from bench.finetune.sets import sets_of  # listening takes torch, which other drivers never import

            self._sets[key] = sets_of(config)
        return self._sets[key]

    def folds(self, config: Config) -> "Folds":
        """Look up how a configuration's training data is divided."""
        key = config.data, config.finetune.test, config.finetune.folds
        if key not in self._folds:
            from bench.finetune.folds import divide

            utterances = self.sets(config).training.utterances
            self._folds[key] = divide(utterances, config.finetune.folds, max_duration_s=config.data.max_duration_s)
        return self._folds[key]

    def _model(self, config: Config) -> LocalModel | None:
        key = config.engine, config.model.name, config.model.weights.value, config.model.dtype.value
        if key not in self._models:
            self._models[key] = model_files(config)
        refuse_other_hop_length(config, self._models[key])
        return self._models[key]


def refuse_unknown_language(config: Config, model: LocalModel | None) -> None:
    """Let no multilingual model be trained without the language that it is to learn: each fold would fail by itself.

    Raises:
        ConfigError: ``decode.language`` is null, and the model is multilingual.
    """
    if config.decode.language is None and model is not None and is_multilingual(model.folder):
        raise ConfigError(
            f"{config.model.name} is multilingual, and must be told what it is trained on; add decode.language=CODE"
        )


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
