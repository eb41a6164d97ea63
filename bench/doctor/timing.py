"""What the probe means for a timing: pure functions of what was measured."""

from collections.abc import Iterator

from bench.doctor.check import Check, Fault
from bench.doctor.facts import Busy, Probe
from bench.doctor.steadiness import BLOCKS, Steadiness, replicates
from bench.measure import validity
from bench.readings import Counters, Doubt, Finding

UNSTEADY = validity.SPREAD / 2
"""Spread above which the machine is called unsteady: half of what makes a run's own timing invalid."""

DIFFERENCES = (0.05, 0.02, 0.01)
"""Differences of which the report says how many runs they need, as shares."""

_MOST_REPLICATES = 20


def load(counters: Counters, busiest: tuple[Busy, ...]) -> Check:
    """Judge what else ran during the probe, by the limits that runs are judged by."""
    available_s = counters.wall_s * counters.cpus
    others_s = None if counters.machine_busy_s is None else max(0.0, counters.machine_busy_s - counters.process_cpu_s)
    parts = [
        f"others used {_share(others_s, available_s)} of {counters.cpus:g} processors",
        f"{_share(counters.stolen_s, available_s)} stolen",
    ]
    if busiest:
        parts.append(f"most by {busiest[0].name} (pid {busiest[0].pid})")
    # Without passes and samples, what is left to judge are the counters.
    findings = validity.certify((), counters, (), on_gpu=False).findings
    return Check("load", ", ".join(parts), tuple(_disturbance(finding, counters, busiest) for finding in findings))


def _disturbance(finding: Finding, counters: Counters, busiest: tuple[Busy, ...]) -> Fault:
    # What follows a semicolon is about runs, not about the machine.
    return Fault(finding.detail.partition(";")[0], _cure(finding.doubt, counters, busiest))


def _cure(doubt: Doubt, counters: Counters, busiest: tuple[Busy, ...]) -> str:
    if doubt is Doubt.contention:
        if not busiest:
            return "they are not seen from here; use measure.rerun_invalid=2"
        top = busiest[0]
        more = f" and {len(busiest) - 1} more" if len(busiest) > 1 else ""
        return f"stop {top.name} (pid {top.pid}, {100 * top.share:.0f} % of one){more}, or wait; see them with: top"
    return {
        Doubt.steal: "use a machine of your own, or measure.rerun_invalid=2 measure.replicates=4",
        Doubt.quota: f"raise the container's limit (docker run --cpus), or use threads={max(1, int(counters.cpus))}",
        Doubt.swapping: "close other programs, then run: sudo swapoff -a",
        Doubt.disk: "close other programs that fill the memory, or use decode.batch_size=1",
        Doubt.throttled: "cool the machine, or limit its heat with threads=1",
    }.get(doubt, "measure.rerun_invalid=2")


def spread(probe: Probe, found: Steadiness) -> Check:
    """Judge how far passes of the same work lie apart."""
    value = (
        f"{100 * found.variation:.1f} % over {len(probe.passes_s)} passes of {1000 * found.pass_s:.0f} ms,"
        f" slowest tenth +{100 * found.tail:.1f} %, {100 * found.outliers:.1f} % outliers"
    )
    return Check("spread", value, tuple(_unsteady(found)))


def _unsteady(found: Steadiness) -> Iterator[Fault]:
    needed = min(_MOST_REPLICATES, replicates(found.block_variation, DIFFERENCES[0]))
    cure = f"close other programs, and use measure.repeats=5 measure.replicates={needed}"
    worst = max(found.variation, found.tail)
    if worst > UNSTEADY:
        yield Fault(f"the same work takes a time that varies by {100 * worst:.0f} %", cure)
    if found.trend is not None:
        slower = "slower" if found.trend > 0 else "faster"
        yield Fault(
            f"the machine became {abs(100 * found.trend):.0f} % {slower} during the probe",
            "wait until its clock and load have settled, or use measure.warmup=3 measure.repeats=5",
        )


def repeatability(found: Steadiness) -> Check:
    """Say how far blocks of passes agree: 1.96 standard deviations, 95 % of normal data."""
    within = 100 * 1.96 * found.block_variation
    value = f"{found.block_s:.2g} s of such work repeats within ±{within:.1f} % (95 %, {BLOCKS} blocks, one processor)"
    return Check("repeats", value)


def resolution(found: Steadiness) -> Check:
    """Say what differences can be told on this machine, so far as a probe can know."""
    needed = [replicates(found.block_variation, difference) for difference in DIFFERENCES]
    told, runs = ", ".join(f"{100 * difference:.0f}" for difference in DIFFERENCES), ", ".join(map(str, needed))
    return Check("can tell", f"{told} % apart with measure.replicates={runs} (by one core, not whole runs)")


def _share(part: float | None, whole: float) -> str:
    return "an unknown share" if part is None else f"{100 * part / whole:.1f} %"
