"""One driver a study, on this machine and in an object store."""

import shutil
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest

from bench import claim
from bench.claim import LOCK, claimed
from bench.errors import StoreError
from bench.storage import Place, place, sizes, write_atomically


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "RENEWED_EVERY_S", 0.05)
    monkeypatch.setattr(claim, "EXPIRES_AFTER_S", 0.6)


@pytest.fixture(params=["local", "remote"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path / "mine" if request.param == "local" else place(f"memory://{uuid4().hex}/mine")


def test_a_study_is_claimed_once_at_a_time(study: Place) -> None:
    with claimed(study, "wait for it"):
        refused = pytest.raises(StoreError, match=r"another process is running the study in .*mine.*; wait for it$")
        with refused, claimed(study, "wait for it"):
            raise AssertionError("claimed twice")
        with claimed(study, "wait", name=".compact.lock", doing="merging"):  # other work is another claim
            pass
    with claimed(study, "wait for it") as again:
        again.require()


def test_whoever_lost_the_folder_is_told_so(tmp_path: Path) -> None:
    study = tmp_path / "mine"
    with claimed(study, "wait") as claim:
        claim.require()
        shutil.rmtree(study)
        with pytest.raises(StoreError, match=r"mine was deleted or moved .*; run the same command again$"):
            claim.require()
        with claimed(study, "wait"), pytest.raises(StoreError, match="was deleted or moved"):  # it is another's by now
            claim.require()


@pytest.mark.parametrize("name", ["runs", "scores", "damaged", "logs"])
def test_no_link_leads_writers_out_of_a_study(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").mkdir()
    study = tmp_path / "mine"
    study.mkdir()
    (study / name).symlink_to(tmp_path / "precious")
    refused = pytest.raises(StoreError, match=rf"mine/{name} is a link, .*; put the folder it leads to in its place$")
    with refused, claimed(study, "wait"):
        raise AssertionError("claimed")


def test_a_study_may_lie_on_another_disk(tmp_path: Path) -> None:
    (tmp_path / "disk" / "mine").mkdir(parents=True)
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    (tmp_path / "one").symlink_to(tmp_path / "disk" / "mine")
    for study in (tmp_path / "results" / "mine", tmp_path / "one"):
        with claimed(study, "wait") as claim:
            claim.require()


def test_a_claim_ends_with_an_error_too(study: Place) -> None:
    with pytest.raises(RuntimeError), claimed(study, "wait"):
        raise RuntimeError
    with claimed(study, "wait"):
        pass


def test_of_many_that_come_at_once_never_two_go_on(study: Place) -> None:
    holders, most, refused = [], [], []
    start = threading.Barrier(6)
    release = threading.Event()

    def come() -> None:
        start.wait()
        try:
            with claimed(study, "wait"):
                holders.append(1)
                most.append(len(holders))
                release.wait(0.2)
                holders.pop()
        except StoreError:
            refused.append(1)

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most, default=0) <= 1
    assert len(most) + len(refused) == 6


def test_the_lease_of_a_killed_holder_expires() -> None:
    study = place(f"memory://{uuid4().hex}/mine")
    write_atomically(study / LOCK / "dead.json", b'{"who": "on another machine", "renewals": 7}')
    told: list[str] = []
    with claimed(study, "wait", told=told.append):
        assert "dead.json" not in sizes(study / LOCK)
    assert len(told) == 1
    assert "waiting up to" in told[0]


def test_a_holder_that_lost_its_lease_is_told_so() -> None:
    study = place(f"memory://{uuid4().hex}/mine")

    def goes_on(held: claim.Claim) -> None:
        until_s = time.monotonic() + 30
        while time.monotonic() < until_s:
            for name in sizes(study / LOCK):  # another takes it for a killed one's
                (study / LOCK / name).unlink(missing_ok=True)
            time.sleep(0.02)
            held.require()

    with claimed(study, "wait") as held:
        held.require()
        with pytest.raises(StoreError, match="another one may have taken over"):
            goes_on(held)
