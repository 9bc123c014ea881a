"""Making the next item of a stream while the one before is used."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The same items in the same order, each made in a thread of its own while the one before is in use.

    At most one item waits, so that memory stays bounded. What making an item raises is raised here, in its turn;
    closing this generator closes `items`.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
        try:
            waiting = pool.submit(next, items, _END)
            while (item := waiting.result()) is not _END:
                waiting = pool.submit(next, items, _END)
                yield item  # type: ignore[misc]
        finally:
            pool.shutdown(wait=True)  # the thread must have left the generator before it can be closed
            items.close()
