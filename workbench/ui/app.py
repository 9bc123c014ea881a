"""The page: layout, and which event calls which flow. Every decision lives in the modules it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.ui import chat, library, panels, review, timeline, viewer
from workbench.ui.api import add_endpoints, told_without_folder
from workbench.ui.services import Services

Update = dict[Any, Any]
VISITORS_AT_ONCE = 16  # runs wait for each other in the worker, so waiting visitors still see their place
THEME_JS = """
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-theme-toggle]')) window.aw.toggleTheme();
});
"""


@contextmanager
def as_toast(path: str | Path = "") -> Iterator[None]:
    """Errors meant for a person become toasts in their own words, with the name of the file instead of its `path`."""
    try:
        yield
    except WorkbenchError as error:
        raise gr.Error(told_without_folder(error, path), print_exception=False) from error


@dataclass
class Page:
    """The components of the page, by what they are for."""

    session_id: gr.State
    header: gr.HTML
    clip: gr.HTML
    progress: gr.HTML
    cancel: gr.Button
    viewer: gr.HTML
    timeline: gr.HTML
    events: gr.HTML
    instances: gr.HTML
    find: gr.Button
    sampled: gr.HTML
    library: library.LibraryPanel
    chat: chat.ChatPanel

    @property
    def outputs(self) -> list[Any]:
        """Everything that a change of clip may touch."""
        return [
            self.clip, self.progress, self.cancel, self.viewer, self.timeline, self.events, self.instances, self.find,
            self.sampled, self.library.upload, self.library.video, self.chat.chatbot, self.chat.chips,
        ]  # fmt: skip


def build_page(services: Services) -> gr.Blocks:
    """Build the whole page over `services`."""
    with gr.Blocks(title="Anomaly Workbench", fill_width=True, delete_cache=(3600, 86400)) as blocks:
        add_endpoints(services)  # before the page: a private handler of the same name would take theirs
        page = _layout(services)
        _wire_session(blocks, page, services)
        _wire_clips(page, services)
        _wire_chat(page, services)
    return blocks


def _layout(services: Services) -> Page:
    frame, thumbnail = _servers(services)
    # A lambda, not the bound method: Gradio deep-copies a component's arguments, and with the method all sessions.
    session_id = gr.State("", delete_callback=lambda gone: services.sessions.drop(gone))
    with gr.Column(elem_id="aw-root"):
        header = gr.HTML(
            panels.header_html(f"{services.profile.title} · loading…", services.profile.note), elem_id="aw-top",
            js_on_load=THEME_JS, apply_default_css=False,
        )  # fmt: skip
        with gr.Row(elem_id="aw-main"):
            left = library.build_library(library.read_samples(services.samples_dir))
            with gr.Column(elem_id="aw-centre"):
                with gr.Row(elem_id="aw-line"):
                    clip = gr.HTML(panels.clip_html(None), elem_id="aw-clip", apply_default_css=False)
                    progress = gr.HTML(panels.progress_html(None), elem_id="aw-progress", apply_default_css=False)
                    cancel = gr.Button("Cancel", size="sm", min_width=64, visible=False, elem_id="aw-cancel")
                pictures = viewer.build_viewer(frame)
                curve = timeline.build_timeline(thumbnail)
                with gr.Tabs(elem_id="aw-tabs"):
                    with gr.Tab("Events"):
                        events = _seekable(panels.events_html(None))
                    with gr.Tab("Instances"):
                        with gr.Row(elem_id="aw-find"):
                            find = gr.Button("Find instances", size="sm", min_width=120, scale=0, interactive=False)
                        instances = _seekable(panels.instances_html(None))
                    with gr.Tab("Frames the model read"):
                        sampled = gr.HTML(
                            panels.sampled_html(None, ""), js_on_load=panels.SAMPLED_JS, apply_default_css=False,
                            server_functions=[thumbnail],
                        )  # fmt: skip
            talk = chat.build_chat()
    return Page(
        session_id, header, clip, progress, cancel, pictures, curve, events, instances, find, sampled, left, talk
    )


def _seekable(value: str) -> gr.HTML:
    return gr.HTML(value, js_on_load=panels.SEEK_JS, apply_default_css=False)


def _servers(services: Services) -> tuple[Callable[[dict], Any], Callable[[dict], Any]]:
    """What the browser asks for directly, without the queue: a frame and a thumbnail of the clip of a session."""

    def frame(request: dict) -> dict[str, Any]:
        try:
            return viewer.frame_reply(services.sessions.get(str(request.get("sid"))).require_review(), request)
        except WorkbenchError as error:
            return {"error": str(error)}

    def thumbnail(request: dict) -> str | None:
        try:
            shown = services.sessions.get(str(request.get("sid"))).require_review()
            return viewer.thumbnail_uri(shown, request)
        except WorkbenchError:
            return None

    return frame, thumbnail


def _updates(services: Services, session_id: str, page: Page, view: review.PageView) -> Update:
    """A `PageView` as updates of components."""
    running = view.progress is not None
    update: Update = {
        page.progress: panels.progress_html(view.progress, view.note),
        page.cancel: gr.update(visible=running),
    }
    if view.curve is not None or view.review_changed:
        update[page.timeline] = timeline.encode(view.curve)
    shown = view.review
    if view.review_changed or view.player_changed:
        update[page.library.video] = str(shown.player) if shown and shown.player else None
    if not view.review_changed:
        return update
    session = services.sessions.get(session_id)
    update |= {
        page.clip: panels.clip_html(shown),
        page.viewer: review.viewer_value(session, shown),
        page.events: panels.events_html(shown),
        page.instances: panels.instances_html(shown),
        page.sampled: panels.sampled_html(shown, session_id),
        page.find: gr.update(interactive=bool(shown and shown.analysis and shown.analysis.events)),
        page.chat.chatbot: list(shown.messages) if shown else [],
        page.chat.chips: panels.chips_html((), answered=False),
    }
    return update


def _wire_session(blocks: gr.Blocks, page: Page, services: Services) -> None:
    def arrive() -> Iterator[Update]:
        yield {page.session_id: services.sessions.create().id}
        yield {page.header: panels.header_html(services.stack_line(), services.profile.note)}

    blocks.load(arrive, None, [page.session_id, page.header], api_visibility="private", show_progress="hidden")


def _wire_clips(page: Page, services: Services) -> None:
    def begin(session_id: str, path: str, name: str | None = None) -> Iterator[Update]:
        with as_toast(path):
            session = services.sessions.get(session_id)
            try:
                for view in review.open_and_analyse(services, session, path, name):
                    yield _updates(services, session_id, page, view) | {page.library.upload: None}
            except WorkbenchError:
                yield _updates(services, session_id, page, review.current(session)) | {page.library.upload: None}
                raise

    def upload(session_id: str, path: str | None) -> Iterator[Update]:
        if path:
            yield from begin(session_id, path)

    def pick(session_id: str, event: gr.EventData) -> Iterator[Update]:
        with as_toast():
            path = library.sample_path(services.samples_dir, str(event.sample))
        yield from begin(session_id, str(path))

    def find(session_id: str) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            try:
                for view in review.find_instances(services, session):
                    yield _updates(services, session_id, page, view)
            except WorkbenchError:
                yield _updates(services, session_id, page, review.PageView(session.review, None))
                raise

    def cancel(session_id: str) -> None:
        run = services.sessions.get(session_id).run
        if run is not None:
            run.cancel()

    quiet: dict[str, Any] = {
        "api_visibility": "private", "show_progress": "hidden", "concurrency_limit": VISITORS_AT_ONCE,
    }  # fmt: skip
    newest_wins: dict[str, Any] = {**quiet, "trigger_mode": "multiple"}  # another clip may be opened at any time
    page.library.upload.upload(upload, [page.session_id, page.library.upload], page.outputs, **newest_wins)
    page.library.samples.pick(pick, page.session_id, page.outputs, **newest_wins)
    page.find.click(find, page.session_id, page.outputs, **quiet)
    page.cancel.click(cancel, page.session_id, None, queue=False, api_visibility="private")


def _wire_chat(page: Page, services: Services) -> None:
    talk = page.chat
    outputs = [talk.chatbot, talk.chips, talk.box, talk.send, talk.stop, *talk.kinds.values()]

    def view_updates(view: chat.ChatView) -> Update:
        return {
            talk.chatbot: view.messages,
            talk.chips: panels.chips_html(view.evidence, answered=view.done),
            talk.send: gr.update(visible=view.done),
            talk.stop: gr.update(visible=not view.done),
        } | {button: gr.update(interactive=view.done) for button in talk.kinds.values()}

    def ask(session_id: str, question: str) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            about = session.require_review()
            for view in chat.answer(session, services.conversation(session), question):
                if session.review is about:
                    yield view_updates(view) | ({talk.box: ""} if not view.done else {})

    def ask_kind(kind: str) -> Callable[[str], Iterator[Update]]:
        def ask_this(session_id: str) -> Iterator[Update]:
            yield from ask(session_id, kind)

        return ask_this

    def stop(session_id: str) -> None:
        services.sessions.get(session_id).stop.set()

    quiet: dict[str, Any] = {
        "api_visibility": "private", "show_progress": "hidden", "concurrency_limit": VISITORS_AT_ONCE,
    }  # fmt: skip
    gr.on([talk.send.click, talk.box.submit], ask, [page.session_id, talk.box], outputs, **quiet)
    for kind, button in talk.kinds.items():
        button.click(ask_kind(kind), page.session_id, outputs, **quiet)
    talk.stop.click(stop, page.session_id, None, queue=False, api_visibility="private")
