"""Fixtures of the content tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.content.rig import ReaderRig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ReaderRig]:
    rig = ReaderRig(tmp_path / "content")
    await rig.reader.__aenter__()
    yield rig
    await rig.reader.__aexit__(None, None, None)
