"""The cache on disk: found by name with the key, by nobody without it, and purged by whose it is."""

from collections.abc import Callable

import pytest

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.names import Span, entry_of, owner_of
from tests.unit.content.cache_rig import PART, CacheRig, entry
from tests.unit.content.fakes import message


def test_what_was_kept_is_found_with_its_description_also_after_a_restart(cached: CacheRig) -> None:
    cached.put(entry())
    cached.reopen()
    found = cached.cache.find(entry())
    assert found is not None
    assert found.part == PART
    assert found.file.read(0, 10) == b"text"
    found.file.close()


def test_path_traversal(cached: CacheRig) -> None:
    """Whatever a mail or a section says, files are named by keyed hash, within the cache, two levels deep."""
    cached.put(entry(section="../../etc/passwd"), part=PART._replace(file_name="../../etc/passwd"))
    (file,) = cached.files()
    parts = file.relative_to(cached.directory).parts
    assert [len(part) for part in parts] == [2, 2, 64]
    assert all(set(part) <= set("0123456789abcdef") for part in parts)
    assert parts[2].startswith(parts[0] + parts[1])


def test_names_differ_by_every_part_of_what_they_name_and_by_the_key() -> None:
    names = {
        entry().name,
        entry(uid=2).name,
        entry(section="2").name,
        entry(source=message(account_no=2)).name,
        entry(source=message(folder_no=2)).name,
        entry(source=message(uid_validity=8)).name,
        entry_of(b"l" * 32, message(), "1").name,
    }
    assert len(names) == 7


def test_cache_epoch(cached: CacheRig) -> None:
    """After a UIDVALIDITY change the old entries have other names, and are purged together."""
    cached.put(entry(1))
    cached.put(entry(2))
    renumbered = message(1, uid_validity=8)
    assert cached.get(entry(source=renumbered)) is None
    cached.put(entry(source=renumbered))
    cached.cache.purge(owner_of(message(1))[:3])
    assert [cached.get(entry(1)), cached.get(entry(2))] == [None, None]
    assert cached.get(entry(source=renumbered)) == b"text"


def test_cache_account_purge(cached: CacheRig) -> None:
    """A removed account's files are gone, and a download still under way leaves none."""
    for uid in range(1, 301):
        cached.put(entry(uid))
    cached.put(entry(source=message(account_no=2)))
    late = cached.cache.draft(entry(999), PART)
    assert late is not None
    assert cached.cache.append(late, b"text")
    cached.cache.purge_account(1)
    assert not cached.cache.commit(late)
    late.file.close()
    assert len(cached.files()) == 1
    assert cached.get(entry(source=message(account_no=2))) == b"text"


def test_a_message_that_is_gone_takes_all_its_entries_along(cached: CacheRig) -> None:
    cached.put(entry(1, "1"))
    cached.put(entry(1, "2"))
    cached.put(entry(2, "1"))
    cached.cache.purge(owner_of(message(1)))
    assert [cached.get(entry(1, "1")), cached.get(entry(1, "2")), cached.get(entry(2))] == [
        None,
        None,
        b"text",
    ]


@pytest.mark.parametrize(
    ("purge", "others_stay"),
    [
        (lambda cache: cache.purge(()), False),
        (lambda cache: cache.purge((1,)), True),
        (lambda cache: cache.purge(owner_of(message(5))), True),
        (lambda cache: cache.purge_between([Span(owner_of(message(4)), owner_of(message(6)))]), True),
    ],
    ids=["all", "account", "message", "span"],
)
def test_what_is_purged_while_it_is_written_does_not_become_an_entry(
    cached: CacheRig, purge: Callable[[Cache], object], others_stay: bool
) -> None:
    drafts = [cached.cache.draft(entry(source=whose), PART) for whose in (message(5), message(7, 2))]
    purge(cached.cache)
    for draft, stays in zip(drafts, (False, others_stay), strict=True):
        assert draft is not None
        assert cached.cache.append(draft, b"text")
        assert cached.cache.commit(draft) is stays
        draft.file.close()
    assert len(cached.files()) == others_stay
    assert cached.put(entry(source=message(5))), "what is read from now on is kept again"


def test_a_purge_of_everything_says_how_much_that_was(cached: CacheRig) -> None:
    for uid in range(1, 301):
        cached.put(entry(uid))
    cached.put(entry(source=message(account_no=2)))
    entries, octets = cached.cache.holds()
    assert cached.cache.purge((2,))[0] == 1
    assert cached.cache.purge(())[0] == entries - 1
    assert octets > 0
    assert cached.cache.holds() == (0, 0)
    assert cached.put(entry(source=message(account_no=2))), "a purge is no farewell"


def test_the_cache_is_closed_to_other_users(cached: CacheRig) -> None:
    cached.put(entry())
    assert cached.directory.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in cached.files()] == [0o600]
