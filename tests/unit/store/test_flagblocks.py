"""Flag blocks: what is packed is unpacked, equal contents are equal bytes, a merge is a merge of dictionaries."""

from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.store.flagblocks import merge, pack, uids_of, unpack

MAX_UID = 0xFFFFFFFF
hashes = st.integers(0, (1 << 64) - 1)
# Dense runs and gaps alike, around the borders of blocks and at both ends.
uids = st.integers(1, 600) | st.integers(MAX_UID - 300, MAX_UID)
folders = st.dictionaries(uids, hashes, max_size=400).map(lambda found: dict(sorted(found.items())))


def packed(folder: dict[int, int]) -> dict[int, bytes]:
    return pack(list(folder), folder.values())


@given(folders)
def test_what_is_packed_is_unpacked(folder: dict[int, int]) -> None:
    blocks = packed(folder)
    found: dict[int, int] = {}
    for number, block in blocks.items():
        found |= dict(zip(*unpack(number, block), strict=True))
        assert {uid >> 7 for uid in uids_of(number, block)} == {number}
    assert list(found.items()) == list(folder.items())


def test_the_format_is_offsets_then_little_endian_hashes() -> None:
    assert pack([1, 127, 128], [1, 2, 3]) == {
        0: b"\x01\x7f" + b"\x01" + bytes(7) + b"\x02" + bytes(7),
        1: b"\x00\x03" + bytes(7),
    }


@given(folders, st.dictionaries(uids, st.none() | hashes, max_size=50))
def test_merging_changes_block_by_block_is_changing_the_folder(
    folder: dict[int, int], changes: dict[int, int | None]
) -> None:
    blocks = packed(folder)
    for number in sorted({uid >> 7 for uid in changes}):
        mine = {uid: value for uid, value in changes.items() if uid >> 7 == number}
        blocks[number] = merge(number, blocks.get(number), mine)
    after = {uid: value for uid, value in sorted((folder | changes).items()) if value is not None}
    assert {number: block for number, block in blocks.items() if block} == packed(after)
