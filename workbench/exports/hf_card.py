"""The card of a `datasets` folder: a head in YAML for programs, then what the tables are for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Column = tuple[str, "str | Sequence[Column]"]
_TEXTS: tuple[Column, ...] = tuple((name, "string") for name in ("judgement", "description", "analysis", "summary"))
_SOURCE: tuple[Column, ...] = (("made_by", "string"), ("edited_by", "[string]"))
_OF: tuple[Column, ...] = (("clip", "string"), ("file_name", "string"))

# Types are `string`, `int64`, `float64`, a list of these in brackets, or columns of a list of structs. Said in the card
# because a column that is empty in the first rows would otherwise be guessed wrong.
TABLES: dict[str, tuple[Column, ...]] = {
    "clips": (
        *(("name", "string"), ("file_name", "string"), ("origin", "string"), ("sha256", "string")),
        *(("n_frames", "int64"), ("fps", "float64"), ("duration_s", "float64"), ("width", "int64")),
        *(("height", "int64"), ("label", "[string]"), ("state", "string"), *_TEXTS, *_SOURCE),
    ),
    "events": (
        *(*_OF, ("event", "int64"), ("start_s", "float64"), ("end_s", "float64"), ("peak_s", "float64")),
        *(("peak_score", "float64"), ("category", "string"), *_TEXTS),
        ("clips", (("start_s", "float64"), ("end_s", "float64"), ("caption", "string"))),
        *_SOURCE,
    ),
    "instances": (
        *(*_OF, ("instance", "int64"), ("event", "int64"), ("role", "string"), ("category", "string")),
        *(("appearance", "string"), ("motion", "string")),
        ("track", (("frame", "int64"), ("box_xyxy", "[float64]"), ("mask", "mask"))),
        *_SOURCE,
    ),
    "instructions": (
        *(*_OF, ("type", "string"), ("task", "string"), ("video", "string"), ("prompt", "string")),
        ("answer", "string"),
    ),
}
_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_TEXT = """
# {name}

Videos of anomalous events, with what people and models said of them, exported from the Anomaly Workbench.

| table | split | rows |
|---|---|---|
{rows}

```python
from datasets import load_dataset

events = load_dataset("{place}", "events", split="{split}")
```

## Tables

- **clips**: a row a clip. `label` lists the categories of the whole video; an empty list means normal, null that
  nobody has said. `judgement`, `description` and `analysis` are the three texts of Holmes-VAU; `summary` is a running
  text where it says something else than the three.
- **events**: a row an event. Times are seconds of the video (`_s`), null where only its texts are known. `peak_score`
  is in [0, 1]. `clips` are captioned parts of the event.
- **instances**: a row a person or thing that takes part. `role` is perpetrator, victim, bystander or object. `track`
  has a box (x0, y0, x1, y1 in pixels, ends exclusive) and a mask (COCO compressed run lengths, size is height, width)
  for each frame it was seen in; frames count from 0.
- **instructions**: a row a question about a video, an event or a clip of an event, and its answer, as in HIVAU-70k.

`made_by` says whether a model wrote a row, a person (human), or an imported file; `edited_by` whose changes stand.
{media}
## Limits

Rows that a model wrote and nobody edited are unchecked: treat them as proposals. Whoever shares the data must have the
right to the videos and the consent of the people in them; set `license` above accordingly.
"""
_WITH_MEDIA = """
`file_name` is the path of the video in this folder; `load_dataset("videofolder", data_dir="{name}/media")` decodes
them.
"""
_WITH_MEDIA_ON_HUB = """
`file_name` is the path of the video in this repository. After `hf download {place} --repo-type dataset --local-dir
{name}`, `load_dataset("videofolder", data_dir="{name}/media")` decodes them.
"""
_WITHOUT_MEDIA = """
The videos are not part of this folder (`file_name` is null); `sha256` says which file a clip is.
"""


def render(name: str, counts: Mapping[tuple[str, str], int], *, has_media: bool, repo: str | None = None) -> str:
    """The whole card.

    Args:
        name: of the folder. counts: rows by table and split; tables without rows are left out.
        repo: OWNER/NAME on the Hub, which is loaded by that instead of by the folder.
    """
    name = name if repo is None else repo.rpartition("/")[2]
    plain = "".join(character for character in name if character.isalnum() or character in "-_. ") or "dataset"
    splits = [split for table, split in counts if table == "clips"]
    rows = "\n".join(f"| {table} | {split} | {count} |" for (table, split), count in counts.items())
    with_media = _WITH_MEDIA if repo is None else _WITH_MEDIA_ON_HUB
    place = repo or plain
    media = (with_media if has_media else _WITHOUT_MEDIA).format(name=plain, place=place)
    text = _TEXT.format(name=plain, place=place, rows=rows, split=splits[0], media=media)
    return "---\n" + "\n".join(_head(plain, counts)) + "\n---\n" + text


def _head(name: str, counts: Mapping[tuple[str, str], int]) -> Iterator[str]:
    clips = sum(count for (table, _), count in counts.items() if table == "clips")
    size = next((label for limit, label in _SIZES if clips < limit), "n>1M")
    yield f'pretty_name: "{name}"'
    yield from ("license: other", "task_categories:", "- video-classification", "- video-text-to-text")
    yield from ("tags:", "- video-anomaly-detection", "- instance-segmentation", "size_categories:", f"- {size}")
    tables = list(dict.fromkeys(table for table, _ in counts))
    yield "configs:"
    for table in tables:
        yield f"- config_name: {table}"
        if table == "clips":
            yield "  default: true"
        yield "  data_files:"
        for split in (split for other, split in counts if other == table):
            yield from (f"  - split: {split}", f"    path: data/{table}-{split}.jsonl")
    yield "dataset_info:"
    for table in tables:
        yield from (f"- config_name: {table}", "  features:")
        yield from _columns(TABLES[table], "  ")


def _columns(columns: Sequence[Column], indent: str) -> Iterator[str]:
    for name, kind in columns:
        yield f"{indent}- name: {name}"
        if kind == "mask":
            yield f"{indent}  struct:"
            yield from _columns((("size", "[int64]"), ("counts", "string")), indent + "  ")
        elif not isinstance(kind, str):
            yield f"{indent}  list:"
            yield from _columns(kind, indent + "  ")
        elif kind.startswith("["):
            yield f"{indent}  list: {kind[1:-1]}"
        else:
            yield f"{indent}  dtype: {kind}"
