"""Identifiers: a prefix that says what is named, and a UUIDv7, so that ids sort by the time they were made and serve
as cursors."""

from datetime import datetime
from typing import Literal

import uuid_utils

Prefix = Literal["job", "ds", "ckpt", "evt", "exp", "key", "log", "aud", "prj", "prv", "req", "upl", "sgn", "wrk"]


def new_id(prefix: Prefix) -> str:
    return f"{prefix}_{uuid_utils.uuid7().hex}"


CLOCKS_DIFFER = 24 * 3600 * 1000
"""Milliseconds, at most, that two machines of one service are apart."""


def least_id(prefix: Prefix, moment: datetime) -> str:
    """Every id that was made after a moment comes behind this one, whoever's clock said so."""
    return f"{prefix}_{max(0, int(1000 * moment.timestamp()) - CLOCKS_DIFFER):012x}"
