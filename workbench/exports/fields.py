"""Values of a parsed file, taken only as what they must be; every refusal is a sentence that begins with the place."""

from __future__ import annotations

import math
from typing import Any

from workbench.errors import FormatError

MOST_WHOLE = (1 << 63) - 1  # what SQLite and every other program can hold


def mapping(value: Any, where: str) -> dict[str, Any]:
    """An object of JSON. Raises FormatError for anything else."""
    if not isinstance(value, dict):
        raise FormatError(f"{where} must be an object, not {value!r:.40}.")
    return value


def items(document: dict[str, Any], name: str, where: str, *, optional: bool = False) -> list[Any]:
    """The list under a name; an optional one may be missing. Raises FormatError."""
    value = document.get(name)
    if value is None and optional:
        return []
    if not isinstance(value, list):
        raise FormatError(f"{where} needs a list called {name!r}.")
    return value


def whole(value: Any, where: str, low: int = 0, high: int = MOST_WHOLE) -> int:
    """A whole number from `low` to `high`; 3.0 is one too. Raises FormatError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise FormatError(f"{where} must be a whole number from {low}, not {value!r:.40}.")
    if value > high:
        raise FormatError(f"{where} must be a whole number of at most {high:,}, not {value!r:.40}.")
    return value


def number(value: Any, where: str) -> float:
    """A finite number. Raises FormatError."""
    if not is_finite(value):
        raise FormatError(f"{where} must be a number, not {value!r:.40}.")
    return float(value)


def is_finite(value: Any) -> bool:
    """Whether this is a number that a float can hold: JSON has whole numbers of any length."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def text(value: Any, where: str) -> str:
    """A text that is not empty. Raises FormatError."""
    if not isinstance(value, str) or not value:
        raise FormatError(f"{where} must be a text, not {value!r:.40}.")
    return value


def decimal(value: str | None, where: str) -> float:
    """A finite number that is written as text. Raises FormatError."""
    try:
        result = float(value or "")
    except ValueError:
        result = math.nan
    if not math.isfinite(result):
        raise FormatError(f"{where} must be a number, not {value!r:.40}.")
    return result


def integer(value: str | None, where: str) -> int:
    """A whole number from 0 that is written as text. Raises FormatError."""
    return whole(decimal(value, where), where)


def once(key: Any, seen: set[Any], what: str) -> None:
    """Remember that this was seen. Raises FormatError when it was before."""
    if key in seen:
        raise FormatError(f"{what} is there twice; keep one of the two.")
    seen.add(key)
