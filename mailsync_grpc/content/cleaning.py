"""What the cache takes and how much of it has to go. Pure: what is used and what is allowed in, octets to free out."""

from typing import NamedTuple

DISK_HYSTERESIS = 0.05
"""A disk above its share is brought down this much below it, so that cleaning is seldom and long, not constant."""
CACHE_TARGET = 0.9
"""A cache above its cap is brought down to this share of it."""


class Usage(NamedTuple):
    """Octets: what the cache holds, what is used of its disk and what could still be written to it."""

    cache: int
    disk_used: int
    disk_free: int


class Limits(NamedTuple):
    """Octets the cache may hold, and the share of its disk in use above which it gives way."""

    max_bytes: int
    max_disk_use: float


def disk_is_full(used: int, free: int, limits: Limits) -> bool:
    """Whether so much of the disk is in use that the cache gives way, and takes nothing."""
    return used > limits.max_disk_use * (used + free)


def fits(octets: int, limits: Limits) -> bool:
    """Whether content may be kept at all; larger than what a cleaning leaves, it would drive out all other and itself."""
    return octets <= CACHE_TARGET * limits.max_bytes


def octets_to_free(usage: Usage, limits: Limits) -> int:
    """Return how many octets of cached content to delete, 0 while both limits are kept, never more than there are."""
    excess = 0.0
    if usage.cache > limits.max_bytes:
        excess = usage.cache - CACHE_TARGET * limits.max_bytes
    if disk_is_full(usage.disk_used, usage.disk_free, limits):
        disk = usage.disk_used + usage.disk_free
        excess = max(excess, usage.disk_used - (limits.max_disk_use - DISK_HYSTERESIS) * disk)
    return min(usage.cache, max(0, round(excess)))
