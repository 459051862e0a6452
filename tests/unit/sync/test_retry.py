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
