r"""How much time this process was given: long work ends in time, and the same command goes on later."""

from __future__ import annotations

import os
import time

#: The time, in seconds since 1970, at which long work pauses; set for a notebook by `cardiolearn run --stage`.
UNTIL_VARIABLE = "CARDIOLEARN_UNTIL"


def seconds_left() -> float | None:
    r"""Seconds until long work is to pause, negative afterwards; None where nobody waits."""
    until = os.environ.get(UNTIL_VARIABLE)
    return None if until is None else float(until) - time.time()


def time_is_up() -> bool:
    r"""Whether no further stage of long work may begin."""
    left = seconds_left()
    return left is not None and left <= 0.0
