"""From readings to the report, in text."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.doctor import devices, hardware, probes, software, steadiness, timing
from bench.doctor.check import Check, Fault
from bench.errors import ConfigError
from bench.measure import environment

SHORTEST_PROBE_S = 1.0
LONGEST_PROBE_S = 600.0
MOST_LINES = 40

_LIBRARIES = ("hydra-core", "av")  # av brings FFmpeg along
_NAME_WIDTH = 13


def examine(seconds: float, results: Path) -> Iterator[Check]:
    """Look at everything, and yield each line as soon as it is known.

    Args:
        seconds: How long to look at the machine's steadiness.
        results: The folder that holds the studies.

    Raises:
        ConfigError: That is too short or too long.
    """
    if not SHORTEST_PROBE_S <= seconds <= LONGEST_PROBE_S:
        raise ConfigError(
            f"--seconds {seconds:g} is no length for a probe; give {SHORTEST_PROBE_S:g} to {LONGEST_PROBE_S:g}"
        )
    here = environment.describe()
    found = probes.machine(results)
    yield Check(
        "harness", f"asr-sweep {here.harness or 'not installed'}{f', commit {here.commit}' * bool(here.commit)}"
    )
    yield Check("system", here.os or "unknown")
    yield software.libraries(here, found.torch, {name: environment.version(name) for name in _LIBRARIES})
    yield hardware.processor(here)
    yield hardware.instructions(here)
    yield hardware.threads(here, found.torch)
    yield hardware.clock(here)
    yield hardware.memory(here, found.memory)
    yield hardware.memory_peak(found.memory)
    yield devices.devices(found.gpus, found.torch)
    yield hardware.energy(found.rapl)
    yield software.cache_folder(found.cache)
    yield software.results_folder(found.results)
    yield software.asset("model", found.model)
    yield software.asset("recordings", found.recordings)
    yield software.model_hub(found.hub)
    probe = steadiness.probe(seconds)
    judged = steadiness.judge(probe.passes_s)
    yield timing.load(probe.counters, probe.busiest)
    yield timing.spread(probe, judged)
    yield timing.repeatability(judged)
    yield timing.resolution(judged)


def lines(examined: Iterable[Check]) -> Iterator[str]:
    """Write checks as text, at most 40 lines: a line each, then each warning on a line of its own, with its cure last.

    A warning reads ``! what is wrong: how to mend it``.
    """
    written = 0
    faults: list[Fault] = []
    for check in examined:
        yield f"{check.name:<{_NAME_WIDTH}}{check.value}"
        written += 1
        faults += check.faults
    yield ""
    if not faults:
        yield "Nothing speaks against timings on this machine. Whole runs vary more than the probe: repeat them."
        return
    yield f"{len(faults)} warning{'s' * (len(faults) > 1)}, each with what mends it:"
    room = MOST_LINES - written - 2
    shown = faults if len(faults) <= room else faults[: room - 1]
    for fault in shown:
        yield f"! {fault.what}: {fault.cure}"
    if len(shown) < len(faults):
        yield f"! {len(faults) - len(shown)} more are not shown; mend these and run: asr-sweep doctor"
