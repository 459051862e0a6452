"""A domain of one's own, example.test, with nothing in it yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.domain import Domain, running_domain

HOSTS = ("example.test", "*.example.test", "xn--bcher-kva.test", "*.xn--bcher-kva.test")


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[Domain]:
    with running_domain(tmp_path, HOSTS) as running:
        yield running
