"""Resource names are parsed exactly or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model import ids

folder_ids = st.binary(min_size=ids.ID_BYTES, max_size=ids.ID_BYTES)
numbers = st.integers(1, 0xFFFFFFFF)


@given(folder_ids, numbers, numbers)
def test_names_that_are_built_parse_back(folder: bytes, validity: int, uid: int) -> None:
    ref = ids.FolderRef("work-1", folder)
    assert ids.parse_folder(ids.folder_name("work-1", folder)) == ref
    name = ids.envelope_name("work-1", folder, validity, uid)
    assert ids.parse_envelope(name) == ids.EnvelopeRef(ref, validity, uid)
    by_id = f"accounts/work-1/envelopes/{ids.encode_id(folder)}"
    assert ids.parse_envelope(by_id) == ids.EnvelopeIdRef("work-1", folder)
    assert ids.parse_run(ids.run_name("work-1", uid)) == ids.RunRef("work-1", uid)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "accounts/",
        "accounts/Upper",
        "accounts/a/b",
        "accounts/" + "a" * 64,
        "accounts/a/folders/short",
        "accounts/a/folders/" + "1" * 16,
        "accounts/a/folders/" + "a" * 16 + "/envelopes/0.1",
        "accounts/a/folders/" + "a" * 16 + "/envelopes/1.4294967296",
        "accounts/a/folders/" + "a" * 16 + "/envelopes/1.01",
        "accounts/a/syncRuns/0",
        "accounts/../envelopes/" + "a" * 16,
    ],
)
def test_other_names_are_refused(name: str) -> None:
    assert ids.parse_account(name) is None
    assert ids.parse_folder(name) is None
    assert ids.parse_envelope(name) is None
    assert ids.parse_run(name) is None
