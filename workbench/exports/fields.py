"""Values of a parsed file, taken only as what they must be; every refusal is a sentence that begins with the place."""

from __future__ import annotations

import math
from typing import Any

from workbench.errors import FormatError


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


def whole(value: Any, where: str, low: int = 0) -> int:
    """A whole number from `low`; 3.0 is one too. Raises FormatError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise FormatError(f"{where} must be a whole number from {low}, not {value!r:.40}.")
    return value


def number(value: Any, where: str) -> float:
    """A finite number. Raises FormatError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise FormatError(f"{where} must be a number, not {value!r:.40}.")
    return float(value)


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
