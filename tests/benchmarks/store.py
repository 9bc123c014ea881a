"""The store under load: many corrections, a page of the history and of the library, every export, memory.

`python -m tests.benchmarks.store DB FORMAT OUT` exports alone, in a process whose memory is then that of the export.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.sample_records import drawn_analysis
from tests.store_support import square
from workbench.corrections import catalogue, clips, history, log
from workbench.corrections.log import Author, Change
from workbench.corrections.store import Store
from workbench.corrections.taxonomy import open_store
from workbench.exports import FORMATS, get_format

FIELDS = ("judgement", "description", "analysis_text", "summary", "category")


def filled_store(path: Path, corrections: int, n_clips: int) -> Store:
    """A store with analysed clips and corrections spread over their events, each a row as a save writes it."""
    store = open_store(path)
    sample = drawn_analysis()
    person = replace(sample.instances[0], masks_rle={432: square(10, 20), 448: square(30, 20)})
    ids = []
    for k in range(n_clips):
        info = replace(sample.clip, path=f"street-{k:04d}.mp4", sha256=f"{k:064x}")
        ids.append(clips.save_analysis(store, replace(sample, clip=info, instances=[person])).id)
    with store.writing() as db:
        log.ensure_annotator(db, "ann")
        for i in range(corrections):
            clip_id = ids[i % n_clips]
            name = f"a{clip_id}.e{i // n_clips % 2}"
            log.append(db, Author("ann", clip_id), Change("event", name, FIELDS[i // n_clips // 2 % 5], f"text {i}"))
    return store


def milliseconds(call: Callable[[], object], times: int = 9) -> float:
    """The median time of a call."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return median(took) * 1000


def page_times(store: Store) -> dict[str, float]:
    """Milliseconds of what a person waits for while looking at a long history."""
    with store.reading() as db:
        middle = db.conn.execute("SELECT max(seq) / 2 FROM history").fetchone()[0]
    clip = clips.list_clips(store, limit=1)[0].clip.id
    change = [0]

    def save() -> None:
        change[0] += 1
        history.save(
            store, clip, [history.edit("event", f"a{clip}.e0", "judgement", f"new {change[0]}")], annotator="ann"
        )

    began = time.perf_counter()
    n_clips = len(catalogue.lines(store))
    first_ms = (time.perf_counter() - began) * 1000
    library = f"the library of {n_clips} clips"

    def save_and_list() -> None:
        save()
        catalogue.lines(store)

    return {
        "the newest page of the history": milliseconds(lambda: history.page(store, limit=50)),
        "a page in its middle": milliseconds(lambda: history.page(store, before=middle, limit=50)),
        "a page of one clip": milliseconds(lambda: history.page(store, clip=clip, limit=50)),
        "a page of clips": milliseconds(lambda: clips.list_clips(store, limit=50)),
        "one clip as it stands": milliseconds(lambda: clips.current(store, clip)),
        "one save": milliseconds(save),
        f"{library}, first time": first_ms,
        f"{library}, again": milliseconds(lambda: catalogue.lines(store)),
        f"{library}, after a save": milliseconds(save_and_list),
    }


def export_times(store: Store, folder: Path, names: tuple[str, ...] = tuple(FORMATS)) -> dict[str, float]:
    """Seconds of each export of everything."""
    took = {}
    for name in names:
        began = time.perf_counter()
        get_format(name).write(clips.reviewed_clips(store), folder / f"{name}{SUFFIX.get(name, '')}")
        took[name] = time.perf_counter() - began
    return took


SUFFIX = {"hivau": ".json", "hivau-jsonl": ".jsonl", "hivau-conversations": ".jsonl", "iac": ".json", "coco": ".json"}
SUFFIX |= {"labelstudio": ".json", "csv": ".csv"}

if __name__ == "__main__":
    get_format(sys.argv[2]).write(clips.reviewed_clips(Store(sys.argv[1])), Path(sys.argv[3]))
