"""A store with many corrections: pages follow an index, exports hold one clip at a time (`tests.benchmarks store`)."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

from tests.benchmarks.store import filled_store, page_times
from workbench.corrections import clips
from workbench.corrections.verify import verify
from workbench.exports import get_format


def exported_peak(store_path: Path, corrections: int, n_clips: int, out: Path) -> int:
    """The most bytes Python held while everything was exported as CSV."""
    store = filled_store(store_path, corrections, n_clips)
    tracemalloc.start()
    try:
        assert get_format("csv").write(clips.reviewed_clips(store), out) == n_clips
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_an_export_does_not_grow_with_the_store(tmp_path: Path) -> None:
    few = exported_peak(tmp_path / "few.db", 100, 5, tmp_path / "few.csv")
    many = exported_peak(tmp_path / "many.db", 2000, 100, tmp_path / "many.csv")
    assert many < 2 * few
    with (tmp_path / "many.csv").open(newline="", encoding="utf-8") as file:
        assert sum(1 for _ in csv.reader(file)) == 1 + 2 * 100


def test_pages_of_many_corrections_take_a_moment(tmp_path: Path) -> None:
    store = filled_store(tmp_path / "s.db", 3000, 20)
    times = page_times(store)
    pages = [ms for what, ms in times.items() if "page" in what]
    assert len(pages) == 4
    assert max(pages) < 500  # ten times what 50 000 may take on a quiet machine: this one may be busy
    assert verify(store).is_intact
