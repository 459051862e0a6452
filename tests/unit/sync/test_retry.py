"""Delays grow, are bounded, and are spread."""

import pytest

from mailsync_grpc.sync import retry


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
def test_network_delays_double_up_to_the_cap_and_never_vanish(draw: float) -> None:
    delays = [retry.network_delay(attempt, lambda: draw) for attempt in range(1, 40)]
    assert delays == sorted(delays)
    assert delays[0] <= 4.0
    assert 0 < delays[0] < delays[3]
    assert delays[-1] == pytest.approx(retry.NETWORK_CAP * (0.1 + 0.9 * draw))


def test_refused_credentials_are_tried_seldom() -> None:
    assert [retry.auth_delay(attempt, lambda: 0.5) for attempt in (1, 2, 3, 9)] == [
        900,
        3_600,
        21_600,
        21_600,
    ]


def test_jitter_stays_within_a_tenth() -> None:
    assert retry.jittered(30, lambda: 0.0) == pytest.approx(27)
    assert retry.jittered(30, lambda: 1.0) == pytest.approx(33)


def test_each_kind_of_failure_is_counted_by_itself() -> None:
    backoff = retry.Backoff()
    for _ in range(8):
        backoff.fail(0.0, retry.network_delay, lambda: 0.5)
    backoff.fail(0.0, retry.auth_delay, lambda: 0.5)
    assert backoff.until == 900, "the first refusal, however long the server was away"
    backoff.fail(0.0, retry.network_delay, lambda: 0.5)
    backoff.fail(0.0, retry.auth_delay, lambda: 0.5)
    assert backoff.until == 3_600, "the second, whatever came between"
    backoff.clear()
    backoff.fail(0.0, retry.auth_delay, lambda: 0.5)
    assert backoff.until == 900


@pytest.mark.parametrize(
    ("age", "failures", "wait"),
    [
        (0, 1, 900),
        (899, 1, 1),
        (900, 2, 3_600),
        (4_500, 3, 21_600),
        (26_100, 4, 21_600),
        (100_000, 7, 12_500),
    ],
)
def test_a_refusal_that_a_process_before_saw_goes_on_waiting(age: float, failures: int, wait: float) -> None:
    backoff = retry.auth_resumed(age, 1_000.0)
    assert (backoff.failures, backoff.until - 1_000.0) == (failures, wait)
    backoff.fail(0.0, retry.auth_delay, lambda: 0.5)
    assert backoff.failures == failures + 1
