"""HIVAU-70k instructions (Holmes-VAU): one question a line about a video, an event or a clip, in two dialects.

`prompt`/`anwser` (the published test file; the misspelling is part of the format), a line a question:

    {"id": 0, "type": "event", "task": "judgement", "video": "ucf-crime/events/test/NAME_E0.mp4",
     "prompt": "…", "anwser": "…"}

`conversations` (training), a line a subject, whose texts are turns of one dialogue:

    {"id": 0, "type": "event", "task": "judgement+description+analysis", "video": "…",
     "conversations": [{"from": "human", "value": "<video>\\n…"}, {"from": "gpt", "value": "…"}, …]}

What they cannot hold: times, labels and categories, the running summary, instances and masks, free dialogue, who
wrote what, review states. `id` is the line's number from 0. A text without a question of an instruction set is asked
with the workbench's standard question; a question whose text is missing is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from workbench.errors import FormatError
from workbench.exports import drafts
from workbench.exports.writing import distinct
from workbench.files import replacing
from workbench.prompts import STANDARD_QUESTIONS
from workbench.records import (
    CaptionedClip,
    ClipRecord,
    Provenance,
    Question,
    ReviewedClip,
    ReviewedEvent,
    Texts,
    TurnKind,
)

FORMAT = "hivau-jsonl"
Level = Literal["video", "event", "clip"]
_FOLDERS: dict[Level, str] = {"video": "videos", "event": "events", "clip": "clips"}
_TASKS: tuple[TurnKind, ...] = ("judgement", "description", "analysis")
_NAMES: dict[str, re.Pattern[str]] = {
    "video": re.compile(r"(?P<name>.+)"),
    "event": re.compile(r"(?P<name>.+)_E(?P<event>\d{1,18})"),
    "clip": re.compile(r"(?P<name>.+)_E(?P<event>\d{1,18})C(?P<clip>\d{1,18})"),
}
_VIDEO = "<video>\n"
_MOST = 10_000  # events of a video, and clips of them all, before a number in a name is taken for a mistake


@dataclass(frozen=True, slots=True)
class Line:
    """A question about a video, event or clip, and its answer."""

    level: Level
    kind: TurnKind
    video: str
    prompt: str
    answer: str


def write_prompts(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write the `prompt`/`anwser` dialect. → how many clips. Raises FormatError when two have one name."""
    count = number = 0
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for count, reviewed in enumerate(distinct(clips), start=1):  # noqa: B007 - counts
            for line in lines_of(reviewed):
                document = {"id": number, "type": line.level, "task": line.kind, "video": line.video}
                document |= {"prompt": line.prompt, "anwser": line.answer}
                file.write(json.dumps(document, ensure_ascii=False) + "\n")
                number += 1
    return count


def write_conversations(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write the `conversations` dialect: questions that follow each other about one event or video are one dialogue.

    Raises:
        FormatError: two clips have one name.
    """
    count = number = 0
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for count, reviewed in enumerate(distinct(clips), start=1):  # noqa: B007 - counts
            for dialogue in _dialogues(lines_of(reviewed)):
                turns = []
                for i, line in enumerate(dialogue):
                    turns.append({"from": "human", "value": ("" if i else _VIDEO) + line.prompt})
                    turns.append({"from": "gpt", "value": line.answer})
                first, tasks = dialogue[0], "+".join(line.kind for line in dialogue)
                document = {"id": number, "type": first.level, "task": tasks, "video": first.video}
                file.write(json.dumps({**document, "conversations": turns}, ensure_ascii=False) + "\n")
                number += 1
    return count


def read_jsonl(path: Path) -> Iterator[ReviewedClip]:
    """Clips of an instruction file in either dialect, all without media and times, in the order they first occur.

    Raises:
        FormatError: a line is not such JSON, or two lines give different answers to the same question; the sentence
            names the line.
    """
    found: dict[str, _Draft] = {}
    for number, text in drafts.read_lines(path):
        where = f"{path}, line {number}"
        for line in _lines_from(drafts.parse(text, where), where):
            origin, event, clip = _place(line, where)
            found.setdefault(origin, _Draft(origin)).add(line, event, clip, where)
    for draft in found.values():
        yield draft.finish(str(path))


def lines_of(reviewed: ReviewedClip) -> Iterator[Line]:
    """All questions about a clip: those of its instruction set in their order, then texts nobody has asked for yet."""
    texts = _answers(reviewed)
    paths = {about: path for about, _, path in _subjects(reviewed)}
    levels = {about: level for about, level, _ in _subjects(reviewed)}
    asked = set()
    for question in reviewed.questions:
        key = (question.about, question.kind)
        asked.add(key)
        if key in texts:
            yield Line(levels[question.about], question.kind, paths[question.about], question.text, texts[key])
    for (about, kind), answer in texts.items():
        if (about, kind) not in asked:
            yield Line(levels[about], kind, paths[about], STANDARD_QUESTIONS[kind], answer)


def media_name(clip: ClipRecord, event: int | None = None, part: int | None = None) -> str:
    """Path of a clip's, event's or captioned clip's file in the published layout (`…/events/test/NAME_E0.mp4`)."""
    origin = PurePosixPath(clip.origin or f"videos/{clip.name}.mp4")
    if event is None:
        return str(origin)
    folder = _FOLDERS["event" if part is None else "clip"]
    parents = [folder if name == "videos" else name for name in origin.parts[:-1]]
    suffix = f"_E{event}" + ("" if part is None else f"C{part}")
    return str(PurePosixPath(*parents, f"{origin.stem}{suffix}{origin.suffix}"))


@dataclass(slots=True)
class _Draft:
    """What the lines read so far say of one video."""

    origin: str
    texts: dict[tuple[int | None, int | None], dict[TurnKind, str]] = field(default_factory=dict)
    questions: list[tuple[int | None, int | None, TurnKind, str]] = field(default_factory=list)

    def add(self, line: Line, event: int | None, clip: int | None, where: str) -> None:
        said = self.texts.setdefault((event, clip), {})
        if said.setdefault(line.kind, line.answer) != line.answer:
            raise FormatError(
                f"{where} gives another {line.kind} of {line.video} than a line before it; keep one of the two answers."
            )
        self.questions.append((event, clip, line.kind, line.prompt))

    def finish(self, source: str) -> ReviewedClip:
        made_by = Provenance("import", FORMAT)
        clip = ClipRecord(id=0, name=PurePosixPath(self.origin).stem, origin=self.origin)
        last = max((event for event, _ in self.texts if event is not None), default=-1)
        if last >= _MOST:
            raise FormatError(f"{source} names event {last} of {clip.name}; no video has that many.")
        parts: dict[int | None, int] = {}
        for event, part in self.texts:
            if part is not None:
                parts[event] = max(parts.get(event, 0), part + 1)
        if sum(parts.values()) > _MOST:
            raise FormatError(f"{source} names {sum(parts.values())} clips of {clip.name}; no video has that many.")
        events = tuple(self._event(i, made_by) for i in range(last + 1))
        questions = tuple(
            Question(f"Q{i}", kind, None if event is None else _id(event, part), text)
            for i, (event, part, kind, text) in enumerate(self.questions)
        )
        blank = drafts.blank(clip, made_by)
        return replace(blank, texts=_texts(self.texts.get((None, None), {})), events=events, questions=questions)

    def _event(self, number: int, made_by: Provenance) -> ReviewedEvent:
        last = max((clip for event, clip in self.texts if event == number and clip is not None), default=-1)
        captions = [self.texts.get((number, k), {}).get("caption", "") for k in range(last + 1)]
        parts = tuple(CaptionedClip(_id(number, k), None, None, text, made_by) for k, text in enumerate(captions))
        texts = _texts(self.texts.get((number, None), {}))
        return ReviewedEvent(_id(number, None), None, None, None, None, None, texts, parts, made_by)


def _id(event: int, clip: int | None) -> str:
    return f"E{event}" + ("" if clip is None else f"C{clip}")


def _texts(said: dict[TurnKind, str]) -> Texts:
    return Texts(*(said.get(kind) for kind in _TASKS))


def _subjects(reviewed: ReviewedClip) -> Iterator[tuple[str | None, Level, str]]:
    """Id, level and published path of the video, its events and their captioned clips."""
    yield None, "video", media_name(reviewed.clip)
    for i, event in enumerate(reviewed.events):
        yield event.id, "event", media_name(reviewed.clip, i)
        for k, part in enumerate(event.clips):
            yield part.id, "clip", media_name(reviewed.clip, i, k)


def _answers(reviewed: ReviewedClip) -> dict[tuple[str | None, TurnKind], str]:
    """The text that answers each question that can be asked about each subject."""
    answers: dict[tuple[str | None, TurnKind], str] = {}

    def say(about: str | None, texts: Texts) -> None:
        for kind, text in zip(_TASKS, (texts.judgement, texts.description, texts.analysis), strict=True):
            if text is not None:
                answers[about, kind] = text

    say(None, reviewed.texts)
    for event in reviewed.events:
        say(event.id, event.texts)
        answers.update({(part.id, "caption"): part.caption for part in event.clips if part.caption})
    return answers


def _dialogues(lines: Iterable[Line]) -> Iterator[list[Line]]:
    dialogue: list[Line] = []
    for line in lines:
        goes_on = dialogue and line.video == dialogue[0].video and line.level != "clip"
        if dialogue and not (goes_on and line.kind not in {said.kind for said in dialogue}):
            yield dialogue
            dialogue = []
        dialogue.append(line)
    if dialogue:
        yield dialogue


def _lines_from(document: Any, where: str) -> Iterator[Line]:
    """The questions of one line of a file, whichever dialect it speaks."""
    if not isinstance(document, dict) or document.get("type") not in _FOLDERS:
        raise FormatError(f"{where} needs a type: video, event or clip.")
    level, video = document["type"], document.get("video")
    if not isinstance(video, str) or not PurePosixPath(video).stem:
        raise FormatError(f"{where} needs the path of its video as text.")
    if "conversations" in document:
        pairs = _pairs(document["conversations"], where)
        yield from (
            Line(level, kind, video, *pair) for kind, pair in zip(_kinds(document, pairs, where), pairs, strict=True)
        )
        return
    prompt, answer = document.get("prompt"), document.get("anwser", document.get("answer"))
    if not isinstance(prompt, str) or not isinstance(answer, str):
        raise FormatError(f"{where} needs either prompt and anwser, or conversations.")
    if document.get("task") not in get_args(TurnKind)[:4]:
        raise FormatError(
            f"{where} has the task {document.get('task')!r:.40}; known are {', '.join(STANDARD_QUESTIONS)}."
        )
    yield Line(level, document["task"], video, prompt, answer)


def _pairs(turns: Any, where: str) -> list[tuple[str, str]]:
    if not isinstance(turns, list) or not turns or len(turns) % 2:
        raise FormatError(f"{where}: conversations must be question and answer in turn.")
    texts = []
    for turn, speaker in zip(turns, ("human", "gpt") * (len(turns) // 2), strict=True):
        if not isinstance(turn, dict) or turn.get("from") != speaker or not isinstance(turn.get("value"), str):
            raise FormatError(f"{where}: a turn must be from {speaker} with a text as its value, not {turn!r:.60}.")
        texts.append(turn["value"].removeprefix(_VIDEO) if speaker == "human" else turn["value"])
    return list(zip(texts[::2], texts[1::2], strict=True))


def _kinds(document: dict[str, Any], pairs: list[tuple[str, str]], where: str) -> list[TurnKind]:
    """What each question asks for: as `task` says, else by the place of the turn (Holmes-VAU 3.2)."""
    if document["type"] == "clip":
        kinds: list[Any] = ["caption"]
    else:
        named = str(document.get("task", "")).split("+")
        kinds = named if len(named) == len(pairs) and set(named) <= set(_TASKS) else list(_TASKS[: len(pairs)])
    if len(kinds) != len(pairs):
        raise FormatError(f"{where} has {len(pairs)} questions about one {document['type']}; {len(kinds)} are known.")
    return kinds


def _place(line: Line, where: str) -> tuple[str, int | None, int | None]:
    """The video a line is about, as its published path, and the numbers of event and clip."""
    path = PurePosixPath(line.video)
    match = _NAMES[line.level].fullmatch(path.stem)
    if match is None:
        raise FormatError(
            f"{where}: the name of {path.name} is not that of a {line.level} (NAME_E0.mp4, NAME_E0C2.mp4)."
        )
    groups = match.groupdict()
    parents = ["videos" if name == _FOLDERS[line.level] else name for name in path.parts[:-1]]
    origin = str(PurePosixPath(*parents, groups["name"] + path.suffix))
    return origin, *(int(groups[key]) if key in groups else None for key in ("event", "clip"))  # type: ignore[return-value]
