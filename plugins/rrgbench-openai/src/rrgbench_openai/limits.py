"""What a server's headers say of its rate limits, in seconds to wait."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait before the same call, or None.

    Retry-After-Ms, or Retry-After in seconds or as a date; else the time until a spent limit is whole again.
    """
    milliseconds, after = headers.get("retry-after-ms"), headers.get("retry-after", "")
    try:
        wait = float(milliseconds) / 1000 if milliseconds else float(after)
    except ValueError:
        try:
            wait = (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return pause(headers, 1) or None
    return max(wait, 0.0) if math.isfinite(wait) else None


def pause(headers: Mapping[str, str], tokens: int) -> float:
    """How long to wait before a next call of so many tokens: until each limit that it would exceed is whole again.

    The headers x-ratelimit-remaining-{requests,tokens} and x-ratelimit-reset-{requests,tokens}; 0 without them.
    """
    return max(_reset(headers, "requests", 1), _reset(headers, "tokens", tokens))


def _reset(headers: Mapping[str, str], what: str, needed: int) -> float:
    try:
        remaining = float(headers.get(f"x-ratelimit-remaining-{what}", ""))
    except ValueError:
        return 0.0
    return seconds(headers.get(f"x-ratelimit-reset-{what}", "")) if remaining < needed else 0.0


def seconds(duration: str) -> float:
    """A duration such as "1s", "6m0s", "120ms" or "1.5" in seconds; 0 for what is none.

    >>> seconds("6m0s")
    360.0
    """
    if _DURATION.fullmatch(duration):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|[smhd])", duration))
    try:
        number = float(duration)
    except ValueError:
        return 0.0
    return max(number, 0.0) if math.isfinite(number) else 0.0
