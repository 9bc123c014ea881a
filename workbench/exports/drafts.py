"""What readers share: making the records of a clip that a file speaks of, before any store knows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from workbench.errors import FormatError
from workbench.exports import fields
from workbench.records import ClipRecord, Provenance, ReviewedClip, Texts

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def blank(clip: ClipRecord, provenance: Provenance) -> ReviewedClip:
    """A clip of which nothing has been said yet."""
    return ReviewedClip(clip, "main", 0, "new", None, Texts(), (), (), (), (), provenance)


def compose(texts: Texts) -> str:
    """The running text of the three texts, one sentence after another: what `summary` None stands for."""
    said = [text.rstrip(".") for text in (texts.judgement, texts.description, texts.analysis) if text]
    return ". ".join(said) + "." if said else ""


def full_summary(texts: Texts) -> str:
    """The running text, composed where none of its own was written."""
    return compose(texts) if texts.summary is None else texts.summary


def shorten(texts: Texts, summary: str) -> Texts:
    """The texts with their running text, which is left out where the three already say it."""
    return Texts(texts.judgement, texts.description, texts.analysis, None if summary == compose(texts) else summary)


def read_text(path: Path) -> str:
    """The text of a file. Raises FormatError when it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise FormatError(f"{path} cannot be read ({reason}); name an exported file.") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank, from 1, without holding the file. Raises FormatError as `read_text`."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise FormatError(f"{path} cannot be read ({reason}); name an exported file.") from error


def parse(text: str, where: str) -> Any:
    """JSON in which no name occurs twice, no number is infinite and every text can be written.

    Raises:
        FormatError: the text is not such JSON; `where` begins the sentence.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise FormatError(f"{where} has {twice!r} twice; keep one of the two.")
        return seen

    def refuse(name: str) -> NoReturn:
        raise FormatError(f"{where} holds {name}, which is no number of JSON; correct it.")

    try:
        document = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise FormatError(f"{where} holds half a character (\\ud800 to \\udfff alone); correct it.") from error
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        reason = str(error).partition(";")[0]
        raise FormatError(f"{where} is not JSON ({reason}); export it again.") from error
    return document


def seconds(value: Any, where: str) -> float:
    """A time. Raises FormatError when it is not a finite number from 0."""
    if not fields.is_finite(value) or value < 0:
        raise FormatError(f"{where} must be a time in seconds from 0, not {value!r:.40}.")
    return float(value)


def text_or_none(value: Any, where: str) -> str | None:
    """A text or nothing. Raises FormatError for anything else."""
    if value is not None and not isinstance(value, str):
        raise FormatError(f"{where} must be text, not {value!r:.40}.")
    return value
