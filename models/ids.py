"""Identifiers: a prefix that says what is named, and a UUIDv7, so that ids sort by the time they were made and serve
as cursors."""

from typing import Literal

import uuid_utils

Prefix = Literal["job", "ds", "ckpt", "evt", "exp", "key", "log", "aud", "prj", "prv", "req", "upl", "wrk"]


def new_id(prefix: Prefix) -> str:
    return f"{prefix}_{uuid_utils.uuid7().hex}"
