"""Quotas: a bucket of calls that fills steadily, streams counted while they are open, one caller no other's concern."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.config import QuotaConfig
from mailsync_grpc.errors import QuotaExceededError, RateExceededError
from mailsync_grpc.services.quotas import Bucket, Quotas
from tests.support.store import ManualClock


def test_a_caller_may_make_a_burst_and_then_calls_at_its_rate() -> None:
    clock = ManualClock()
    quotas = Quotas(QuotaConfig(calls_per_second=2, burst=3), clock)
    for _ in range(3):
        quotas.take("a")
    with pytest.raises(RateExceededError) as caught:
        quotas.take("a")
    assert caught.value.retry_after == 0.5
    quotas.take("b")
    clock.now += 0.5
    quotas.take("a")
    with pytest.raises(RateExceededError):
        quotas.take("a")


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), st.floats(0.1, 100), st.integers(1, 50))
def test_never_more_calls_pass_than_burst_and_rate_allow(
    pauses: list[float], rate: float, burst: int
) -> None:
    bucket, now, passed = Bucket(rate, burst, burst, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        passed += wait == 0
        assert wait <= 1 / rate
    assert passed <= burst + rate * now + 1e-6


def test_streams_count_while_they_are_open() -> None:
    quotas = Quotas(QuotaConfig(streams=2))
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(quotas.stream("a"))
        with pytest.raises(QuotaExceededError, match=r"quota\.streams"), quotas.stream("a"):
            pass
        with quotas.stream("b"):
            assert quotas.streams == {"a": 2, "b": 1}
    with quotas.stream("a"):
        assert quotas.streams["a"] == 1
