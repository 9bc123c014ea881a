"""Formats people need, one file each over the same records: `ReviewedClip` out, `ReviewedClip` in.

A writer takes clips one at a time and never holds more than one, writes to a temporary name and renames it; a reader
yields clips and touches no store. `python -m workbench export` and `import` connect them to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from workbench.errors import FormatError
from workbench.files import unwritable

if TYPE_CHECKING:
    from workbench.records import ReviewedClip

    Writer = Callable[[Iterable[ReviewedClip], Path], int]
    Reader = Callable[[Path], Iterator[ReviewedClip]]


@dataclass(frozen=True, slots=True)
class Format:
    """A row of the table of formats; `writer`, `reader`, `unfit` are names in `workbench.exports.<module>`.

    `unfit` is a function that says in a sentence why a clip cannot be written, None when it can. `media` says where
    videos go when they are wanted: `beside` the annotations, or `inside` the folder that the writer makes.
    `reads_folders`: the reader takes a folder, so a zip may hold several files; else it holds one.
    """

    name: str
    title: str
    module: str
    writer: str
    reader: str | None = None
    unfit: str | None = None
    media: Literal["beside", "inside"] | None = None
    reads_folders: bool = False

    def write(
        self,
        clips: Iterable[ReviewedClip],
        out: str | Path,
        *,
        left_out: list[str] | None = None,
        media_notes: list[str] | None = None,
        watch: Callable[[str, float], None] | None = None,
    ) -> int:
        """Write clips to a file or folder. → how many clips are in it.

        Args:
            left_out: takes a sentence for each clip that does not fit the format; None: such a clip is an error.
            media_notes: write the videos too; takes a sentence for each file that could not be. None: no videos.
            watch: told which file is cut and the share done of its clip; what it raises ends the writing.

        Raises:
            FormatError: a clip does not fit the format, `out` cannot be written, or the format has no videos.
        """
        writer: Writer = getattr(self._module(), self.writer)
        if media_notes is not None:
            writer = self._with_media(writer, media_notes, watch)
        try:
            return writer(clips if left_out is None else self._fitting(clips, left_out), Path(out))
        except OSError as error:
            raise FormatError(unwritable(out, error)) from error

    def _with_media(self, writer: Writer, notes: list[str], watch: Callable[[str, float], None] | None) -> Writer:
        if self.media is None:
            names = ", ".join(name for name, item in FORMATS.items() if item.media)
            raise FormatError(f"{self.title} go without videos; leave --media out, or choose one of: {names}.")
        if self.media == "inside":
            return partial(cast("Any", writer), notes=notes)
        from workbench.exports.media import with_media

        def write(clips: Iterable[ReviewedClip], out: Path) -> int:
            with closing(with_media(clips, out.parent, notes, watch)) as passed_on:
                return writer(passed_on, out)

        return write

    def _fitting(self, clips: Iterable[ReviewedClip], left_out: list[str]) -> Iterator[ReviewedClip]:
        unfit = getattr(self._module(), self.unfit) if self.unfit else None
        for reviewed in clips:
            reason = unfit(reviewed) if unfit else None
            if reason is None:
                yield reviewed
            else:
                left_out.append(reason)

    def read(self, path: str | Path) -> Iterator[ReviewedClip]:
        """Clips of a file, a folder, or a zip of either, one after another.

        Raises:
            FormatError: the format cannot be read back, the file is not of it, or a zip is not to be trusted.
        """
        if self.reader is None:
            raise FormatError(f"{self.title} is for export only; import one of: {', '.join(importable())}.")
        reader: Reader = getattr(self._module(), self.reader)
        path = Path(path)
        if path.suffix.lower() == ".zip":
            from workbench.exports.unpacking import read_zip

            reader = partial(read_zip, reader=reader, folder=self.reads_folders)
        return _shallow(reader, path)

    def _module(self) -> Any:
        return import_module(f"workbench.exports.{self.module}")


def _shallow(reader: Reader, path: Path) -> Iterator[ReviewedClip]:
    """What the reader reads, of a file that is not nested deeper than a sentence about it can be made."""
    try:
        yield from reader(path)
    except RecursionError as error:
        raise FormatError(f"{path} is nested deeper than any export; name another file.") from error


FORMATS: dict[str, Format] = {
    item.name: item
    for item in (
        Format("hivau", "HIVAU-70k annotations (JSON)", "hivau", "write_hivau", "read_hivau", "unfit", "beside"),
        Format(
            "hivau-jsonl",
            "HIVAU-70k instructions (prompt/anwser)",
            "hivau_jsonl",
            "write_prompts",
            "read_jsonl",
            media="beside",
        ),
        Format(
            "hivau-conversations",
            "HIVAU-70k instructions (conversations)",
            "hivau_jsonl",
            "write_conversations",
            "read_jsonl",
            media="beside",
        ),
        Format("iac", "instance-aligned captions (JSON)", "iac", "write_iac", "read_iac", "unfit", reads_folders=True),
        Format("hf", "Hugging Face data set (folder)", "hf", "write_hf", media="inside"),
        Format("coco", "COCO with video fields (JSON)", "coco", "write_coco", "read_coco", "unfit"),
        Format("yolo", "YOLO segmentation (folder)", "yolo", "write_yolo", "read_yolo", "unfit", reads_folders=True),
        Format("cvat", "CVAT for video 1.1 (XML)", "cvat", "write_cvat", "read_cvat", "unfit", reads_folders=True),
        Format(
            "datumaro", "Datumaro (folder)", "datumaro", "write_datumaro", "read_datumaro", "unfit", reads_folders=True
        ),
        Format(
            "labelstudio",
            "Label Studio tasks (JSON)",
            "labelstudio",
            "write_labelstudio",
            "read_labelstudio",
            "unfit",
        ),
        Format("csv", "events as CSV", "table", "write_csv"),
        Format("vtt", "events as WebVTT subtitles", "subtitles", "write_vtt"),
        Format("srt", "events as SRT subtitles", "subtitles", "write_srt"),
    )
}


def get_format(name: str) -> Format:
    """A format by its name. Raises FormatError for one that is not in the table."""
    if name not in FORMATS:
        raise FormatError(f"There is no format {name!r}; choose one of: {', '.join(FORMATS)}.")
    return FORMATS[name]


def importable() -> list[str]:
    """Names of the formats that can be read back."""
    return [name for name, item in FORMATS.items() if item.reader is not None]
