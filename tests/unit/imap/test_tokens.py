"""Access tokens shared by processes: renewed once, kept before they are used, and never overwritten by older ones."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.errors import CredentialsNeededError, ImapAuthError, ImapError, ImapUnreachableError
from mailsync_grpc.imap.grants import CLAIM, FRESH, MARGIN, Step, Tokens, another_helps, next_step
from mailsync_grpc.imap.oauth import Granted
from mailsync_grpc.imap.tokens import MemoryShelf, Sight, TokenSource

HOUR = 3_600_000
NOW = 1_700_000_000_000


@dataclass
class Provider:
    """Takes each refresh token once; one that is shown again revokes everything, as strict providers have it."""

    refresh: str = "r0"
    granted: int = 0
    revoked: bool = False
    rotates: bool = True
    meanwhile: Callable[[], object] = lambda: None
    fault: ImapError | None = None

    def __call__(self, shown: str) -> Granted:
        if self.fault is not None:
            raise self.fault
        if self.revoked or shown != self.refresh:
            self.revoked = True
            raise ImapAuthError("invalid_grant")
        self.granted += 1
        if self.rotates:
            self.refresh = f"r{self.granted}"
        self.meanwhile()
        return Granted(f"a{self.granted}", 3_600.0, self.refresh if self.rotates else "")


@dataclass
class Clock:
    """Both clocks of a process; the monotonic one counts what was skipped."""

    skipped: float = 0.0
    set_ahead: float = 0.0

    def mono(self) -> float:
        return self.skipped

    def wall(self) -> float:
        return NOW / 1_000 + self.skipped + self.set_ahead


@dataclass
class Shelf(MemoryShelf):
    """A shelf of several processes that notes what was put, and loses what comes once it is `dying`."""

    put_before: list[str] = field(default_factory=list)
    dying: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, tokens: Tokens) -> bool:
        if self.dying:
            raise SystemExit
        with self.lock:
            self.put_before.append(tokens.access_token)
            return MemoryShelf.put(self, tokens)


@dataclass
class Rig:
    provider: Provider = field(default_factory=Provider)
    shelf: Shelf = field(default_factory=lambda: Shelf(Tokens("id", "r0")))
    clock: Clock = field(default_factory=Clock)

    def process(self, provider: Callable[[str], Granted] | None = None) -> TokenSource:
        """A process of its own, which shares the shelf and the provider; it waits by letting time pass."""
        sight = Sight(self.clock.mono, self.clock.wall)
        return TokenSource(self.shelf, provider or self.provider, sight, self._pause)

    def _pause(self, seconds: float) -> None:
        self.clock.skipped += seconds


def test_a_second_process_uses_what_the_first_one_was_granted() -> None:
    rig = Rig()
    assert [rig.process().token() for _ in range(3)] == ["a1"] * 3
    assert rig.provider.granted == 1


def test_a_token_is_kept_with_its_refresh_token_before_anybody_uses_it() -> None:
    rig = Rig()
    token = rig.process().token()
    assert rig.shelf.put_before == ["", token]
    assert (rig.shelf.tokens.refresh_token, rig.shelf.tokens.claimed) == ("r1", 0)


def test_processes_that_find_a_token_ended_at_once_show_its_refresh_token_once() -> None:
    rig = Rig()
    began = threading.Barrier(8)
    rig.provider.meanwhile = lambda: threading.Event().wait(0.05)

    def ask(source: TokenSource) -> str:
        began.wait()
        return source.token()

    # Real pauses here: the others wait for the one that renews, and no time passes that would end its claim.
    sources = [
        TokenSource(rig.shelf, rig.provider, Sight(rig.clock.mono, rig.clock.wall), lambda _: threading.Event().wait(0.01))
        for _ in range(8)
    ]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, sources)) == {"a1"}
    assert (rig.provider.granted, rig.provider.revoked) == (1, False)


def test_while_one_process_renews_another_uses_the_token_that_still_lasts() -> None:
    rig = Rig()
    first, second = rig.process(), rig.process()
    assert (first.token(), second.token()) == ("a1", "a1")
    rig.clock.skipped += 3_600 - MARGIN / 1_000 + 1
    seen: list[str] = []
    rig.provider.meanwhile = lambda: seen.append(second.token())
    assert first.token() == "a2"
    assert seen == ["a1"]
    assert second.token() == "a2"


def test_a_claim_of_a_process_that_died_ends_by_itself() -> None:
    rig = Rig()
    rig.shelf.tokens = rig.shelf.tokens.claim(NOW)
    assert rig.process().token() == "a1"
    assert rig.clock.skipped * 1_000 >= CLAIM


@pytest.mark.parametrize("rotates", [False, True])
def test_a_death_between_answer_and_shelf_costs_what_the_provider_makes_of_it(rotates: bool) -> None:
    """A provider that takes a refresh token again has lost nothing; one that does not wants a new consent."""
    rig = Rig(Provider(rotates=rotates))
    rig.provider.meanwhile = lambda: setattr(rig.shelf, "dying", True)
    with pytest.raises(SystemExit):
        rig.process().token()
    rig.shelf.dying, rig.provider.meanwhile = False, lambda: None
    if not rotates:
        assert rig.process().token() == "a2"
        return
    with pytest.raises(ImapAuthError, match="invalid_grant"):
        rig.process().token()


def test_a_claim_of_another_process_does_not_cost_what_a_slow_answer_brings() -> None:
    rig = Rig()
    rig.provider.meanwhile = lambda: rig.shelf.put(rig.shelf.tokens.claim(NOW + 2 * CLAIM))
    assert rig.process().token() == "a1"
    assert rig.shelf.tokens.refresh_token == "r1"


def test_a_spent_refresh_token_is_followed_by_the_newer_one_on_the_shelf() -> None:
    """Its process was held up for longer than its claim: the other one's answer is there by now."""
    rig = Rig()
    other = rig.process()

    def late(shown: str) -> Granted:
        rig.clock.skipped += CLAIM / 1_000 + 1
        assert other.token() == "a1"
        raise ImapAuthError(f"{shown} was spent")

    assert rig.process(late).token() == "a1"


def test_an_edit_meanwhile_is_not_overwritten() -> None:
    rig = Rig()
    edited = Tokens("other", "e0", "pushed", NOW, NOW + HOUR)

    def edit() -> None:
        rig.shelf.tokens = replace(edited, version=rig.shelf.tokens.version + 1)

    rig.provider.meanwhile = edit
    assert rig.process().token() == "pushed"
    assert rig.shelf.tokens.refresh_token == "e0"


def test_an_endpoint_that_is_away_matters_only_once_the_token_has_ended() -> None:
    rig = Rig()
    source = rig.process()
    source.token()
    rig.provider.fault = ImapUnreachableError("away")
    rig.clock.skipped += 3_600 - 10
    assert source.token() == "a1"
    rig.clock.skipped += 11
    with pytest.raises(ImapUnreachableError):
        source.token()
    rig.provider.fault = None
    assert source.token() == "a2"


def test_a_stale_token_that_is_refused_is_renewed_and_a_new_one_is_not() -> None:
    rig = Rig()
    source = rig.process()
    refused = source.token()
    assert not source.another_helps(refused)
    rig.clock.skipped += FRESH / 1_000
    assert source.another_helps(refused)
    assert source.token(refused) == "a2"
    assert source.another_helps(refused)


def test_setting_the_clock_ends_no_token() -> None:
    rig = Rig()
    source = rig.process()
    source.token()
    rig.clock.set_ahead = 86_400
    assert source.token() == "a1"


def test_a_pushed_token_lasts_until_it_ends_and_then_asks_for_another() -> None:
    rig = Rig(shelf=Shelf(Tokens("id", access_token="pushed", ends=NOW + HOUR)))
    source = rig.process()
    assert source.token() == "pushed"
    assert not source.another_helps("pushed")
    rig.clock.skipped += 3_600
    with pytest.raises(CredentialsNeededError, match="UpdateAccount"):
        source.token()
    rig.shelf.tokens = Tokens("id", access_token="next", ends=NOW + 2 * HOUR)
    assert source.token() == "next"


def test_tokens_show_in_no_representation() -> None:
    assert "canary" not in repr(Tokens("id", "canary", "canary"))
    assert "canary" not in repr(MemoryShelf(Tokens("id", "canary", "canary")))


@given(
    st.builds(
        Tokens,
        st.just("id"),
        st.sampled_from(["", "r"]),
        st.sampled_from(["", "a", "b"]),
        *(st.integers(0, 2 * HOUR) for _ in range(3)),
    ),
    st.integers(0, 2 * HOUR),
    st.sampled_from(["", "a"]),
)
def test_what_is_used_is_there_was_not_refused_and_has_not_ended(
    tokens: Tokens, now: int, refused: str
) -> None:
    try:
        step = next_step(tokens, now, refused)
    except CredentialsNeededError:
        assert not tokens.refresh_token
        return
    if step is Step.USE:
        assert tokens.access_token
        assert now < tokens.ends or (not tokens.refresh_token and not tokens.ends)
        assert tokens.access_token != refused or not tokens.refresh_token
    assert Tokens.decoded(tokens.encoded(), tokens.version) == tokens
    assert another_helps(tokens, now, "other")
