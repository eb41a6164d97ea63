"""What is measured about a run, as typed rows. All are immutable; every field states its unit.

A value that could not be had is null; where it matters why, a field beside it says so.
"""

from dataclasses import dataclass, fields
from enum import StrEnum


@dataclass(frozen=True)
class PhaseTimes:
    """Where the time of one pass over all recordings went, in seconds.

    ``inference_s`` is the wall time of the whole pass; the phases are parts of it, and what they leave is the harness's
    own bookkeeping within the pass.

    Attributes:
        segment_s: Cutting recordings into windows; with ``decode.strategy=vad`` that is listening for silences.
        features_s: The model's inputs; where they are made while the model runs, what was waited for them.
        encode_s: The encoder.
        decode_s: The token loop, or picking each frame's class.
        align_s: Finding out when each word was said.
        merge_s: Joining windows, and token ids to text.
    """

    inference_s: float
    segment_s: float
    features_s: float
    encode_s: float
    decode_s: float
    align_s: float
    merge_s: float


PHASES = tuple(field.name for field in fields(PhaseTimes) if field.name != "inference_s")
"""Names of the phases within ``inference_s``, in their order."""


@dataclass(frozen=True)
class Lap:
    """How long one batch took from its samples to its emissions, in seconds, and how many windows it held.

    Features that were made ahead, while the model ran on a GPU, are in it only as far as they were waited for.
    """

    windows: int
    seconds: float


@dataclass(frozen=True)
class PhaseMark:
    """A phase of a run begins.

    Attributes:
        phase: start, files, load, audio, batch size, warm-up, inference, memory, single stream or score.
        t_s: Seconds since the run's process was asked for, on the clock of the timeline.
    """

    phase: str
    t_s: float


@dataclass(frozen=True)
class Footprint:
    """What an engine's memory is for, in MiB, as far as it knows; null where it does not.

    Attributes:
        weights_mib: The model's weights and buffers in their numeric type.
        features_mib: The inputs of the largest batch.
        cache_mib: Keys and values that the decoder remembered of the largest batch.
    """

    weights_mib: float | None = None
    features_mib: float | None = None
    cache_mib: float | None = None


@dataclass(frozen=True)
class MemoryUse:
    """Memory of the run's process in MiB; GPU values are null without a GPU.

    Attributes:
        rss_at_start_mib: Resident set before the model was loaded: pages shared with the process server.
        load_peak_rss_mib: Kernel's peak (VmHWM) up to the end of loading.
        rss_after_load_mib: Resident set once the model was loaded.
        peak_rss_mib: Kernel's peak from then on: audio, warm-up and inference.
        peak_rss_source: ``vmhwm`` where that is so; ``vmhwm_since_start`` where the peak could not be reset, and the
            one of loading may stand for it; ``sampled`` where the kernel tells no peak.
        pss_mib: Proportional set after inference: a page shared by n processes counts 1/n.
        uss_mib: Unique set after inference: pages of this process alone.
        anonymous_mib: Resident memory after inference that is no file's: heap and stacks.
        mapped_mib: Resident pages of files and shared memory after inference: libraries, the cache of decoded audio.
        peak_gpu_allocated_mib: Peak of torch's live tensors after loading.
        peak_gpu_reserved_mib: Peak of what torch's allocator held from the device after loading.
    """

    rss_at_start_mib: float | None = None
    load_peak_rss_mib: float | None = None
    rss_after_load_mib: float | None = None
    peak_rss_mib: float | None = None
    peak_rss_source: str | None = None
    pss_mib: float | None = None
    uss_mib: float | None = None
    anonymous_mib: float | None = None
    mapped_mib: float | None = None
    peak_gpu_allocated_mib: float | None = None
    peak_gpu_reserved_mib: float | None = None


@dataclass(frozen=True)
class Counters:
    """What happened on the machine while passes were timed: differences of counters that only grow.

    Attributes:
        wall_s: Seconds that passed.
        cpus: Logical processors the process may run on.
        quota_cpus: Processors' worth of time its container may use; null without a limit.
        process_cpu_s: CPU seconds of the process, all threads.
        waiting_s: Seconds its threads stood ready and had no processor, summed over threads.
        machine_busy_s: CPU seconds of everything that ran on those processors, the process too.
        stolen_s: Seconds in which the hypervisor ran something else on them.
        quota_throttled_s: Seconds in which the container had used up its share, summed over processors.
        swapped_mib: What the machine moved to and from swap.
        major_faults: Pages the process had to wait for a disk for.
        thermal_events: How often a core slowed down because of heat.
    """

    wall_s: float
    cpus: int
    process_cpu_s: float
    quota_cpus: float | None = None
    waiting_s: float | None = None
    machine_busy_s: float | None = None
    stolen_s: float | None = None
    quota_throttled_s: float | None = None
    swapped_mib: float | None = None
    major_faults: int | None = None
    thermal_events: int | None = None


@dataclass(frozen=True)
class Runtime:
    """The libraries in the run's process.

    Attributes:
        torch_threads: Threads torch used within an operation.
        torch_cuda: CUDA version torch was built for.
        cudnn: Version of cuDNN, as torch has it.
        engine_version: The packages that the engine consists of, with their versions.
    """

    torch_threads: int | None = None
    torch_cuda: str | None = None
    cudnn: str | None = None
    engine_version: str | None = None


@dataclass(frozen=True)
class Sample:
    """One look at the run's process, and at the machine, from outside.

    Attributes:
        t_s: Seconds since the process was asked for.
        phase: What the process was doing.
        cpu_pct: CPU use since the sample before; 100 is one core.
        rss_mib: Resident set.
        descendants: Processes it has started, theirs included; looked at once a second, as the next two.
        descendants_rss_mib: Their resident sets together; pages they share count more than once.
        cpu_mhz: Clock of the processors, their mean.
        machine_cpu_pct: CPU use of all processes, on the processors that the driver may use, since the sample before.
        stolen_pct: Time that the hypervisor gave to others since the sample before; 100 is one core.
        cpu_energy_j: Energy of the processor packages since the run began.
        gpu_util_pct: Share of time in which the GPU executed anything, all processes.
        gpu_memory_mib: Memory in use on the device, all processes.
        gpu_process_mib: Memory the driver ascribes to this process.
        gpu_processes: Processes that compute on the device.
        gpu_power_w: Power draw of the board.
        gpu_energy_j: Energy of the board since the run began.
        gpu_temperature_c: Temperature of the GPU.
        gpu_clock_mhz: Clock of its multiprocessors.
        gpu_memory_clock_mhz: Clock of its memory.
        gpu_slowdown: Why its clocks are held down (``hw_thermal``, ``power_cap``, ...), joined by ``+``; empty for no
            reason.
    """

    t_s: float
    phase: str
    cpu_pct: float | None = None
    rss_mib: float | None = None
    descendants: int | None = None
    descendants_rss_mib: float | None = None
    cpu_mhz: float | None = None
    machine_cpu_pct: float | None = None
    stolen_pct: float | None = None
    cpu_energy_j: float | None = None
    gpu_util_pct: float | None = None
    gpu_memory_mib: float | None = None
    gpu_process_mib: float | None = None
    gpu_processes: int | None = None
    gpu_power_w: float | None = None
    gpu_energy_j: float | None = None
    gpu_temperature_c: float | None = None
    gpu_clock_mhz: float | None = None
    gpu_memory_clock_mhz: float | None = None
    gpu_slowdown: str | None = None


@dataclass(frozen=True)
class EnergyUse:
    """Energy of the timed passes in joules, of everything that ran on the device meanwhile.

    Attributes:
        cpu_j: The processor packages.
        gpu_j: The GPU's board.
        missing: Why a value is null, as a sentence; null where none is missing.
    """

    cpu_j: float | None = None
    gpu_j: float | None = None
    missing: str | None = None


class Doubt(StrEnum):
    """A kind of reason to distrust a timing."""

    warm_up = "warm_up"  # the passes were still getting faster or slower
    spread = "spread"
    outlier = "outlier"
    contention = "contention"  # other processes used the processors
    steal = "steal"  # the hypervisor ran something else
    quota = "quota"  # the container's share of CPU was used up
    throttled = "throttled"  # heat or power slowed the device down
    clock = "clock"  # the device's clock changed
    swapping = "swapping"
    disk = "disk"  # pages had to be read from disk
    gpu_shared = "gpu_shared"  # other processes computed on the GPU
    shared = "shared"  # other runs of the harness were executed beside it


@dataclass(frozen=True)
class Finding:
    """One doubt, and what was seen, as a sentence with figures."""

    doubt: Doubt
    detail: str


@dataclass(frozen=True)
class Certificate:
    """Whether a run's timing can be trusted.

    Attributes:
        findings: What speaks against it.
        unchecked: What could not be looked at, with one pass only, say.
    """

    findings: tuple[Finding, ...] = ()
    unchecked: tuple[Doubt, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.findings


@dataclass(frozen=True)
class Environment:
    """Where a run took place. What is null could not be found out.

    Attributes:
        cpu_model: Name of the processor.
        cpu_flags: Those of its instruction sets that matter here, joined by blanks.
        cpu_cores: Logical processors of the machine.
        cpu_usable: Logical processors this process may use.
        cpu_affinity: Their numbers, as ranges (``0-3,8``).
        cpu_quota: Processors' worth of time the container may use.
        cpu_governor: What sets the processors' clock.
        ram_mib: Memory of the machine.
        memory_limit_mib: Memory the container may use.
        swap_mib: Swap of the machine.
        thread_settings: Environment variables that set thread counts, joined by blanks.
        gpu: Name of the GPU, if the run used one.
        gpu_driver: Version of its driver.
        gpu_cuda: Highest CUDA version the driver knows.
        os: System and release.
        python: Version of the interpreter.
        torch_threads: Threads torch used within an operation.
        torch_cuda: CUDA version torch was built for.
        cudnn: Version of cuDNN.
        engine_version: The packages that the run's engine consists of, with their versions.
        harness: Version of asr-sweep.
        commit: Commit of the harness where it runs from a checkout, with ``-dirty`` if files were changed.
    """

    cpu_model: str | None = None
    cpu_flags: str | None = None
    cpu_cores: int | None = None
    cpu_usable: int | None = None
    cpu_affinity: str | None = None
    cpu_quota: float | None = None
    cpu_governor: str | None = None
    ram_mib: float | None = None
    memory_limit_mib: float | None = None
    swap_mib: float | None = None
    thread_settings: str | None = None
    gpu: str | None = None
    gpu_driver: str | None = None
    gpu_cuda: str | None = None
    os: str | None = None
    python: str | None = None
    torch: str | None = None
    transformers: str | None = None
    harness: str | None = None
    commit: str | None = None
    torch_threads: int | None = None
    torch_cuda: str | None = None
    cudnn: str | None = None
    engine_version: str | None = None
