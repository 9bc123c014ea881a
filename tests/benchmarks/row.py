"""A line of the table that `make bench` prints."""

from typing import NamedTuple


class Row(NamedTuple):
    """What was measured, the number with its unit, and what it is set against."""

    what: str
    value: str
    against: str = ""
