"""Everything the harness raises on purpose.

    BenchError                  what is wrong, where, and the cure, in one message
    ├── ConfigError             a setting is unknown, of the wrong type, or contradicts another
    │   └── ImpossiblePoint     settings that no run can honour; a sweep skips and counts such a point
    ├── DataError               a manifest cannot be read; nothing of it would be trustworthy
    ├── AudioError              one recording cannot be decoded; the others still run
    ├── AssetError              a packaged model or recording is missing or damaged
    ├── ModelError              a model cannot be loaded, or belongs to a family that is not supported
    ├── TrainingError           a training went astray; another setting is needed
    ├── ExecutorError           what is to execute the runs cannot be had
    └── StoreError              results on disk contradict what was asked, or cannot be read

A :class:`BenchError` is deterministic: the same input raises it again, so a run that ends with one is not retried
within a sweep. The command line prints its message on one line and exits with status 2.
"""


class BenchError(Exception):
    """Base of all errors the harness raises on purpose; ``str(error)`` is a complete message for the user."""


class ConfigError(BenchError):
    """A setting is unknown, has the wrong type, or contradicts another setting."""


class ImpossiblePoint(ConfigError):  # noqa: N818 - a point of a grid, met as often as a fault
    """A combination of settings that no run can honour; skipped and counted in a sweep, an error for one trial."""


class DataError(BenchError):
    """A manifest is missing, malformed or unsafe."""


class AudioError(BenchError):
    """One recording is missing or cannot be decoded."""


class AssetError(BenchError):
    """A packaged model or recording is missing or damaged."""


class ModelError(BenchError):
    """A model cannot be loaded or is of a family that is not supported."""


class TrainingError(BenchError):
    """A training went astray: its loss or its weights are no numbers any more."""


class ExecutorError(BenchError):
    """What is to execute the runs cannot be had: a Ray cluster does not answer, or has no room for them."""


class StoreError(BenchError):
    """Results on disk contradict what was asked, or cannot be read."""
