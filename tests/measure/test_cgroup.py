import math
import sys
from pathlib import Path

import pytest

from bench.measure import cgroup, memory

MIB = 2**20
NO_LIMIT_V1 = 2**63 - 4096  # what version 1 says where no limit is set


class Groups:
    """A machine's control groups, made in a folder."""

    def __init__(self, folder: Path) -> None:
        self.own = folder / "self_cgroup"
        self.mount = folder / "mount"
        self.mount.mkdir()
        self.own.write_text("")

    def belongs(self, *lines: str) -> None:
        """Let the process be in these groups, as ``/proc/self/cgroup`` tells them; see cgroups(7)."""
        self.own.write_text("".join(f"{line}\n" for line in lines))

    def write(self, group: str, **files: object) -> None:
        """Write a group's files; in their names ``__`` stands for a dot."""
        folder = self.mount / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    made = Groups(tmp_path)
    monkeypatch.setattr(cgroup, "_SELF", made.own)
    monkeypatch.setattr(cgroup, "_MOUNT", made.mount)
    return made


def nothing_known() -> bool:
    found = (
        cgroup.memory_limit_mib(),
        cgroup.memory_left_mib(),
        cgroup.memory_peak_mib(),
        cgroup.cpu_quota(),
        cgroup.throttled_s(),
    )
    return found == (None,) * 5


def test_without_groups_nothing_is_known(groups: Groups) -> None:
    assert nothing_known()
    groups.belongs("0::/")
    assert nothing_known()
    groups.own.unlink()  # not Linux
    assert nothing_known()


def test_version_2_tells_limits_peak_and_throttling(groups: Groups) -> None:
    groups.belongs("0::/")
    groups.write(
        "",
        memory__max=4096 * MIB,
        memory__current=1000 * MIB,
        memory__peak=1500 * MIB,
        cpu__max="150000 100000",
        cpu__stat="usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\nthrottled_usec 2500000",
    )
    assert cgroup.memory_limit_mib() == 4096
    assert cgroup.memory_left_mib() == 3096
    assert cgroup.memory_peak_mib() == 1500
    assert cgroup.cpu_quota() == 1.5
    assert cgroup.throttled_s() == pytest.approx(2.5)


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_version_1_tells_them_too_in_folders_by_controller(folder: str, groups: Groups) -> None:
    groups.belongs("11:memory:/job", "5:cpu,cpuacct:/job", "3:name=systemd:/elsewhere", "1:cpuset:/")
    groups.write(
        "memory/job",
        memory__limit_in_bytes=2048 * MIB,
        memory__usage_in_bytes=48 * MIB,
        memory__max_usage_in_bytes=777 * MIB,
    )
    groups.write(
        f"{folder}/job",
        cpu__cfs_quota_us=50_000,
        cpu__cfs_period_us=100_000,
        cpu__stat="nr_periods 3\nnr_throttled 2\nthrottled_time 1250000000",
    )
    assert cgroup.memory_limit_mib() == 2048
    assert cgroup.memory_left_mib() == 2000
    assert cgroup.memory_peak_mib() == 777
    assert cgroup.cpu_quota() == 0.5
    assert cgroup.throttled_s() == pytest.approx(1.25)


def test_version_1_beside_version_2_is_read_where_the_controller_is(groups: Groups) -> None:
    groups.belongs("4:memory:/job", "0::/user.slice")
    groups.write("memory/job", memory__limit_in_bytes=512 * MIB)
    groups.write("unified/user.slice")
    assert cgroup.memory_limit_mib() == 512


def test_unlimited_groups_have_no_limits(groups: Groups) -> None:
    groups.belongs("0::/", "3:memory:/", "2:cpu:/")
    groups.write("", memory__max="max", memory__current=5 * MIB, cpu__max="max 100000")
    groups.write("memory", memory__limit_in_bytes=NO_LIMIT_V1, memory__usage_in_bytes=5 * MIB)
    groups.write("cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    assert cgroup.memory_limit_mib() is None
    assert cgroup.memory_left_mib() is None
    assert cgroup.cpu_quota() is None


@pytest.mark.parametrize(
    ("limits_mib", "quotas", "least_mib", "least_quota"),
    [
        ((8000, 4000, 6000), ("400000 100000", "300000 100000", "600000 100000"), 4000, 3),
        ((8000, "max", 6000), ("400000 100000", "max 100000", "50000 200000"), 6000, 0.25),
        (("max", "max", 7000), ("max 100000", "max 100000", "700000 100000"), 7000, 7),
        ((5000, "max", "max"), ("200000 100000", "max 100000", "max 100000"), 5000, 2),
    ],
)
def test_of_nested_groups_the_least_limit_binds(
    limits_mib: tuple[int | str, ...],
    quotas: tuple[str, ...],
    least_mib: float,
    least_quota: float,
    groups: Groups,
) -> None:
    groups.belongs("0::/pod/box/job")
    for group, limit, quota in zip(("pod", "pod/box", "pod/box/job"), limits_mib, quotas, strict=True):
        groups.write(group, memory__max=limit if isinstance(limit, str) else limit * MIB, cpu__max=quota)
    groups.write("other", memory__max=MIB, cpu__max="1000 100000")  # a neighbour's
    assert cgroup.memory_limit_mib() == least_mib
    assert cgroup.cpu_quota() == pytest.approx(least_quota)


def test_memory_is_left_only_as_far_as_the_neighbours_leave_it(groups: Groups) -> None:
    groups.belongs("0::/pod/job")
    groups.write("pod", memory__max=4000 * MIB, memory__current=3900 * MIB)
    groups.write("pod/job", memory__max=1000 * MIB, memory__current=200 * MIB)
    assert cgroup.memory_left_mib() == 100
    groups.write("pod", memory__current=1000 * MIB)
    assert cgroup.memory_left_mib() == 800
    assert memory.available_mib() <= 800


def test_the_peak_is_the_processs_own_groups(groups: Groups) -> None:
    groups.belongs("0::/pod/job")
    groups.write("pod", memory__peak=9000 * MIB)
    groups.write("pod/job", memory__peak=300 * MIB)
    assert cgroup.memory_peak_mib() == 300


def test_time_held_back_by_a_group_above_counts(groups: Groups) -> None:
    # A group counts what its own quota held back; see cpu_cfs_stat_show and throttle_cfs_rq in the kernel.
    groups.belongs("0::/pod/job")
    groups.write("pod", cpu__stat="nr_throttled 7\nthrottled_usec 3000000")
    groups.write("pod/job", cpu__stat="nr_throttled 0\nthrottled_usec 0")
    assert cgroup.throttled_s() == pytest.approx(3)
    groups.write("pod/job", cpu__stat="nr_throttled 4\nthrottled_usec 500000")
    assert cgroup.throttled_s() == pytest.approx(3.5)


def test_a_group_without_the_cpu_controller_tells_nothing_of_throttling(groups: Groups) -> None:
    groups.belongs("0::/")
    groups.write("", cpu__stat="usage_usec 9\nuser_usec 5\nsystem_usec 4")
    assert cgroup.throttled_s() is None


@pytest.mark.parametrize("path", ["/docker/0123456789ab", "/../../kubepods/pod1", "/"])
def test_a_path_of_the_host_stands_for_the_mounts_root_in_a_container(path: str, groups: Groups) -> None:
    groups.belongs(f"9:memory:{path}", f"8:cpu,cpuacct:{path}")
    groups.write("memory", memory__limit_in_bytes=256 * MIB, memory__max_usage_in_bytes=99 * MIB)
    groups.write("cpu,cpuacct", cpu__cfs_quota_us=300_000, cpu__cfs_period_us=200_000)
    assert cgroup.memory_limit_mib() == 256
    assert cgroup.memory_peak_mib() == 99
    assert cgroup.cpu_quota() == 1.5
    groups.belongs(f"0::{path}")
    groups.write("", memory__max=128 * MIB)
    assert cgroup.memory_limit_mib() == 128


def test_files_that_hold_no_numbers_are_no_limits(groups: Groups) -> None:
    groups.belongs("0::/")
    groups.write("", memory__max="", memory__peak="?", cpu__max="100000", cpu__stat="throttled_usec")
    assert nothing_known()


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are part of Linux")
def test_this_machines_own_groups_can_be_read() -> None:
    # The least limit of all levels is at most that of the process's own group, as its file says it.
    named = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    files = [
        Path("/sys/fs/cgroup", controllers, path.lstrip("/"), file)
        for _, controllers, path in named
        for file in (["memory.max"] if controllers == "" else ["memory.limit_in_bytes"])
        if controllers in ("", "memory")
    ]
    told = [file.read_text().strip() for file in files if file.exists()]
    own_mib = min((int(number) / MIB for number in told if number.isdecimal()), default=math.inf)
    assert (cgroup.memory_limit_mib() or math.inf) <= (own_mib if own_mib < 2**40 else math.inf)
    assert (cgroup.cpu_quota() or math.inf) > 0
    assert (cgroup.throttled_s() or 0.0) >= 0
    peak_mib = cgroup.memory_peak_mib()
    assert peak_mib is None or peak_mib >= 0
