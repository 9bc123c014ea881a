"""Items made ahead: the same ones, in order, at most one waiting, and nothing left open."""

from collections.abc import Generator
from threading import current_thread, main_thread

import pytest

from workbench.ahead import ahead


def counted(log: list[str], stop: int = 6) -> Generator[int, None, None]:
    try:
        for i in range(stop):
            assert current_thread() is not main_thread()
            log.append(f"made {i}")
            yield i
        if stop == 4:
            raise ValueError("the fourth cannot be made")
    finally:
        log.append("closed")


def test_items_come_in_order_and_only_one_is_made_ahead() -> None:
    log: list[str] = []
    log.extend(f"used {i}" for i in ahead(counted(log)))
    assert [line for line in log if line.startswith("used")] == [f"used {i}" for i in range(6)]
    for i in range(4):
        assert log.index(f"made {i + 2}") > log.index(f"used {i}"), "no more than one waits"
    assert log[-1] == "closed" or log[-2:] == ["closed", "used 5"]


def test_leaving_early_closes_what_makes_them() -> None:
    log: list[str] = []
    stream = ahead(counted(log))
    assert next(stream) == 0
    stream.close()
    assert log[-1] == "closed"
    assert "made 3" not in log


def test_an_error_comes_in_its_turn() -> None:
    log: list[str] = []
    stream = ahead(counted(log, stop=4))
    assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="fourth"):
        next(stream)
    assert log[-1] == "closed"
