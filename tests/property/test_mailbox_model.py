"""Whatever happens to a mailbox, and whenever: once it is left alone, the log, the store and the server agree.

The rules are in `tests.support.model`; here they run against a server in memory, and fewer of them against Dovecot.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.dovecot_config import PLAIN_CAPABILITY, DovecotOptions
from tests.support.fault_proxy import FaultProxy, ProxiedMailbox
from tests.support.hostile import HostileServer
from tests.support.hostile_session import CONDSTORE, FULL, PLAIN
from tests.support.mail import Mailbox
from tests.support.model import MailboxModel, Stage

PROFILE = settings()
FEWER = settings(max_examples=max(10, PROFILE.max_examples // 4), stateful_step_count=20)
# A failure is made small before it is told, which takes longer than any run without one.
pytestmark = pytest.mark.timeout(900)
USERS = tuple(f"model{number:05}" for number in range(20_000))


@pytest.mark.parametrize(
    "capabilities", [FULL, CONDSTORE, PLAIN], ids=["extended", "without_qresync", "plain"]
)
def test_a_mailbox_in_memory_is_mirrored_whatever_happens_to_it(capabilities: str) -> None:
    class InMemory(MailboxModel):
        @contextmanager
        def stage(self) -> Iterator[Stage]:
            with HostileServer(capabilities) as server:
                yield Stage(server.mailbox, server)

    run_state_machine_as_test(InMemory, settings=settings(stateful_step_count=40))


@pytest.mark.parametrize("capability", [None, PLAIN_CAPABILITY], ids=["extended", "plain"])
def test_a_mailbox_on_dovecot_is_mirrored_whatever_happens_to_it(
    capability: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = iter(USERS)
    monkeypatch.setenv("TZ", "UTC")  # in which the model's windows begin
    with DovecotServer(USERS, DovecotOptions(capability=capability)) as dovecot:

        class OnDovecot(MailboxModel):
            @contextmanager
            def stage(self) -> Iterator[Stage]:
                mailbox = Mailbox(dovecot, next(users))
                with FaultProxy(mailbox) as proxy:
                    yield Stage(ProxiedMailbox(dovecot, mailbox.user, proxy=proxy), proxy)

        run_state_machine_as_test(OnDovecot, settings=FEWER)
