"""Clients that do harm: limits with clear errors, memory that stays bounded, and others who are served meanwhile."""

import re
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mailsync_grpc.server import api
from mailsync_grpc.v1 import system_service_pb2
from tests.support import attacks
from tests.support.attacks import MANY, Attack, Outcome
from tests.support.callers import Metadata
from tests.support.cli import mailsync
from tests.support.service import Service, Stubs, running

pytestmark = pytest.mark.timeout(600)

STREAMS = 100
MAX_MEMORY = 900 << 10  # KiB
INFO = system_service_pb2.GetServerInfoRequest()


class Site(NamedTuple):
    """A service, one who does harm, and one who does not."""

    service: Service
    hostile: Metadata
    other: Metadata


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One service for all attacks, as one that stays up must be."""
    directory = tmp_path_factory.mktemp("service")
    callers: list[Metadata] = []
    for _ in range(2):
        made = mailsync("token", "create", "--data-dir", str(directory / "data"))
        callers.append((("authorization", f"Bearer {made.stdout.strip()}"),))
    settings = {"MAILSYNC_QUOTA__STREAMS": str(STREAMS), "MAILSYNC_QUOTA__BURST": "1000"}
    with running(Service(directory, settings)) as service:
        yield Site(service, *callers)


def memory(service: Service) -> int:
    """The most memory that the process ever had, in KiB."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text("ascii")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1])


def refused_beyond(limit: int) -> dict[str, tuple[int, int]]:
    return {"OK": (limit, MANY - 1), "RESOURCE_EXHAUSTED": (1, MANY - limit)}


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (attacks.oversized, {"RESOURCE_EXHAUSTED": (5, 5)}),
        (attacks.junk, {"closed": (40, 40)}),
        (attacks.rapid_reset, {"sent": (MANY, MANY)}),
        (attacks.slow_loris, {"closed": (300, 300)}),
        (attacks.many_calls, refused_beyond(1_000)),
        (attacks.many_streams, refused_beyond(STREAMS)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_hostile_client(site: Site, attack: Attack, expected: dict[str, tuple[int, int]]) -> None:
    outcomes: list[Outcome] = []
    attacker = threading.Thread(target=lambda: outcomes.append(attack(site.service.address, site.hostile)))
    with Stubs(site.service.address) as stubs:
        attacker.start()
        served = 0
        while attacker.is_alive() or not served:
            stubs.system.GetServerInfo(INFO, metadata=site.other, timeout=60)
            served += 1
            attacker.join(0.05)
    (outcome,) = outcomes
    assert set(outcome) == set(expected)
    for what, (least, most) in expected.items():
        assert least <= outcome[what] <= most, outcome
    assert site.service.process is not None
    assert site.service.process.poll() is None
    assert memory(site.service) < MAX_MEMORY


def test_what_was_refused_to_one_is_served_to_it_again_later(site: Site) -> None:
    """Nothing that an attack used up stays so: neither calls nor streams."""
    with Stubs(site.service.address) as stubs:
        for metadata in (site.hostile, site.other):
            stubs.system.GetServerInfo(INFO, metadata=metadata, timeout=60)


def test_connections_leave_descriptors_for_the_store_and_for_mail_servers() -> None:
    name, most = api._connections()
    assert name == "grpc.max_allowed_incoming_connections"
    assert most <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
