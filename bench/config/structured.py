"""The configuration as OmegaConf's typed schema, which values are laid over."""

from omegaconf import DictConfig, OmegaConf

from bench.config import Config


def schema() -> DictConfig:
    """Make the schema of a whole configuration.

    OmegaConf makes a frozen dataclass read-only, and nothing could then be laid over it.
    """
    made = OmegaConf.structured(Config)
    _make_writable(made)
    assert isinstance(made, DictConfig)
    return made


def _make_writable(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _make_writable(child)
