"""From an engine's name to what executes a model: a function of the harness, or one that another package offers.

What a package offers is called with a configuration and the folder of the model's files, and returns a
:class:`bench.inference.engine.Engine`; a class whose instances are engines will do. It may say more of itself by three
attributes, all optional:

``honours``
    A mapping of settings (``decode.language``) to the values that it honours, null for any. What is not in it is the
    core's own business (how recordings are cut, how many windows go together) or must be left at its default.
``own_models``
    True where it finds ``model.name`` by itself, so that the harness looks for no files of that name.
``packages``
    Names of further packages whose versions are stored with its results, beside that of its own package.

Its module is imported in the driver as well as in every run, so it imports whatever is heavy only when it is called.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any, TypeAlias

from bench.config import Config
from bench.config import Engine as Name
from bench.config.engines import GROUP, engine_names, offered
from bench.errors import ConfigError, ImpossiblePoint
from bench.inference.engine import Engine
from bench.measure.environment import version

Load: TypeAlias = Callable[[Config, str], Engine]
"""Loads the model of a configuration from the folder of its files, which is empty where the harness knows of none."""

Honoured: TypeAlias = Mapping[str, Collection[object] | None]
"""Settings and the values of each that an engine honours; null is any value."""

# Where each engine of the harness is loaded, and the packages that it consists of.
_BUILT_IN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    Name.transformers: ("bench.inference.models:load", ("transformers", "torch")),
    Name.faster_whisper: ("bench.inference.faster_whisper:load", ("faster-whisper", "ctranslate2")),
    Name.onnxruntime: ("bench.inference.onnx_runtime:load", ("onnxruntime", "onnx", "onnxscript")),
    Name.fake: ("bench.inference.fake:load", ("asr-sweep",)),
}
_EXTRAS: Mapping[str, str] = {Name.faster_whisper: "faster-whisper", Name.onnxruntime: "onnx"}


def load_engine(config: Config, model_path: str) -> Engine:
    """Load the model of a configuration with its engine.

    Args:
        config: The trial's configuration.
        model_path: Folder of the model's files, or a model-hub id; empty for an engine that finds its own.

    Raises:
        ConfigError: There is no such engine, or it cannot honour a setting.
        ModelError: The model cannot be loaded, or its family is not supported.
        ImpossiblePoint: The engine's package cannot be imported, or it cannot honour a combination of settings.
    """
    return _loader(config.engine)(config, model_path)


def honoured(name: str) -> Honoured:
    """Say what an engine of another package honours; nothing where it does not say.

    Raises:
        ConfigError: There is no such engine, or what it says is no mapping.
        ImpossiblePoint: Its package cannot be imported.
    """
    told = getattr(_loader(name), "honours", {})
    if not isinstance(told, Mapping):
        raise ConfigError(
            f"engine={name}: its attribute honours is of type {type(told).__name__}; it must map settings to values"
        )
    return told


def finds_own_models(name: str) -> bool:
    """Tell whether an engine finds ``model.name`` by itself, so that the harness looks for no files.

    Raises:
        ConfigError: There is no such engine.
        ImpossiblePoint: Its package cannot be imported.
    """
    return name == Name.fake or (name not in _BUILT_IN and bool(getattr(_loader(name), "own_models", False)))


def engine_version(name: str) -> str | None:
    """Name the packages that an engine consists of, with their versions: "faster-whisper 1.2.1, ctranslate2 4.8.5".

    Null where none of them is installed.

    Raises:
        ConfigError: There is no such engine.
        ImpossiblePoint: Its package cannot be imported.
    """
    if name in _BUILT_IN:
        packages = _BUILT_IN[name][1]
    else:
        own = _entry_point(name).dist
        packages = (*([own.name] if own else []), *getattr(_loader(name), "packages", ()))
    found = [(package, version(package)) for package in dict.fromkeys(packages)]
    return ", ".join(f"{package} {its}" for package, its in found if its) or None


@cache  # every point of a grid asks
def why_absent(name: str) -> str | None:
    """Say which package of an engine of the harness is not installed, and how to install it; null where all are.

    Args:
        name: The engine; of another package's nothing is known here, for who imports it finds out.
    """
    missing = [package for package in _BUILT_IN.get(name, ("", ()))[1] if version(package) is None]
    if not missing or name not in _EXTRAS:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return f"{' and '.join(missing)} {verb} not installed; run: pip install 'asr-sweep[{_EXTRAS[name]}]'"


@cache
def _loader(name: str) -> Load:
    if name in _BUILT_IN:
        module, _, function = _BUILT_IN[name][0].partition(":")
        load: Load = getattr(import_module(module), function)
        return load
    entry_point = _entry_point(name)
    try:
        found: Any = entry_point.load()
    except Exception as error:  # whatever the import of another package may raise
        reason = " ".join(str(error).split()) or "no reason given"
        raise ImpossiblePoint(
            f"engine={name} cannot be imported from {entry_point.value} ({type(error).__name__}: {reason}); mend or"
            f" install what{_of(entry_point)} needs"
        ) from error
    if not callable(found):
        raise ConfigError(
            f"engine={name}: {entry_point.value}{_of(entry_point)} is of type {type(found).__name__};"
            " it must be a class or function of a configuration and a folder"
        )
    offered_load: Load = found
    return offered_load


def _entry_point(name: str) -> EntryPoint:
    found = offered().get(name, ())
    if not found:
        raise ConfigError(f"engine={name} is unknown; use one of {', '.join(engine_names())}")
    if len(found) > 1:
        told = " and ".join(f"{one.value}{_of(one)}" for one in found)
        raise ConfigError(f"engine={name} is offered by {told} (entry points {GROUP}); uninstall all but one")
    return found[0]


def _of(entry_point: EntryPoint) -> str:
    return f" of {entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else ""
