"""What every measurement gives."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A line of the table: what was measured, the number with its unit, and what it is set against."""

    what: str
    value: str
    against: str = ""
