"""The page: layout, and which event calls which flow. Every decision lives in the modules it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.ui import (
    annotating,
    annotating_wiring,
    desk_wiring,
    dialogue,
    event_list,
    export_menu,
    instance_cards,
    library,
    panels,
    review,
    shelf,
    stack_menu,
    stack_wiring,
    timeline,
    tuning,
    tuning_wiring,
    viewer,
    wiring,
)
from workbench.ui.api import add_endpoints
from workbench.ui.api_store import add_store_endpoints
from workbench.ui.api_training import add_training_endpoints
from workbench.ui.api_work import add_work_endpoints
from workbench.ui.runs import Progress
from workbench.ui.services import Services
from workbench.ui.toasts import as_toast, told_without_folder
from workbench.ui.wiring import VISITORS_AT_ONCE

Update = dict[Any, Any]


@dataclass
class Page:
    """The components of the page, by what they are for."""

    session_id: gr.State
    hello: gr.Textbox
    header: gr.HTML
    who: gr.HTML
    rooms: gr.Tabs
    shelf: gr.HTML
    tuning: gr.HTML
    clip: gr.HTML
    progress: gr.HTML
    cancel: gr.Button
    viewer: gr.HTML
    timeline: gr.HTML
    events: gr.HTML
    instances: gr.HTML
    find: gr.Button
    sampled: gr.HTML
    export: gr.HTML
    annotate: gr.HTML
    annotate_all: gr.HTML
    library: library.LibraryPanel
    chat: dialogue.ChatPanel

    @property
    def outputs(self) -> list[Any]:
        """Everything that a change of clip may touch."""
        return [
            self.clip, self.progress, self.cancel, self.viewer, self.timeline, self.events, self.instances, self.find,
            self.sampled, self.library.upload, self.library.video, self.chat.dialogue,
        ]  # fmt: skip


def build_page(services: Services) -> gr.Blocks:
    """Build the whole page over `services`."""
    with gr.Blocks(title="Anomaly Workbench", fill_width=True, delete_cache=(3600, 86400)) as blocks:
        add_endpoints(services)  # before the page: a private handler of the same name would take theirs
        add_store_endpoints(services)
        add_work_endpoints(services)
        add_training_endpoints(services)
        page = _layout(services)
        begin = _wire_clips(page, services)
        desk_wiring.wire_arrival(blocks, page, services, begin)
        desk_wiring.wire_library(page, services, begin)
        desk_wiring.wire_events(page, services)
        wiring.wire_instances(page, services)
        wiring.wire_chat(page, services)
        stack_wiring.wire_stacks(page, services, lambda sid, view: _updates(services, sid, page, view))
        tuning_wiring.wire_tuning(page, services, begin)
        annotating_wiring.wire_annotation(page, services)
    return blocks


def _layout(services: Services) -> Page:
    frame, thumbnail = _servers(services)
    # A lambda, not the bound method: Gradio deep-copies a component's arguments, and with the method all sessions.
    session_id = gr.State("", delete_callback=lambda gone: services.sessions.drop(gone))
    with gr.Column(elem_id="aw-root"):
        header = gr.HTML(
            stack_wiring.header(services, None, loading=True), elem_id="aw-top", js_on_load=stack_menu.HEADER_JS,
            apply_default_css=False,
        )  # fmt: skip
        who = shelf.build_who()
        with gr.Tabs(elem_id="aw-rooms", selected="review") as rooms:
            with gr.Tab("Review", id="review"), gr.Row(elem_id="aw-main"):
                parts = _review_room(services, frame, thumbnail)
            with gr.Tab("Library", id="library"):
                lines = shelf.build_shelf(*desk_wiring.shelf_servers(services))
                every = annotating.build_annotation(services, whole_library=True)
            with gr.Tab("Fine-tune", id="tuning"):
                tuned = tuning.build_tuning(*tuning_wiring.tuning_servers(services))
        hello = gr.Textbox(visible=False, label="hello")
    return Page(
        session_id=session_id, hello=hello, header=header, who=who, rooms=rooms, shelf=lines, tuning=tuned,
        annotate_all=every, **parts,
    )  # fmt: skip


def _review_room(services: Services, frame: Callable[[dict], Any], thumbnail: Callable[[dict], Any]) -> dict[str, Any]:
    """The three columns in which a clip is reviewed: fields of `Page` by name."""
    left = library.build_library(library.read_samples(services.samples_dir))
    with gr.Column(elem_id="aw-centre"):
        with gr.Row(elem_id="aw-line"):
            clip = gr.HTML(panels.clip_html(None), elem_id="aw-clip", apply_default_css=False)
            progress = gr.HTML(panels.progress_html(None), elem_id="aw-progress", apply_default_css=False)
            cancel = gr.Button("Cancel", size="sm", min_width=64, visible=False, elem_id="aw-cancel")
            event_list.build_bar()
        pictures = viewer.build_viewer(frame, *wiring.picture_servers(services))
        curve = timeline.build_timeline(thumbnail)
        with gr.Tabs(elem_id="aw-tabs"):
            with gr.Tab("Events"):
                events = event_list.build_events()
            with gr.Tab("Instances"):
                with gr.Row(elem_id="aw-find"):
                    find = gr.Button("Find instances", size="sm", min_width=120, scale=0, interactive=False)
                instances = instance_cards.build_cards()
            with gr.Tab("Frames the model read"):
                sampled = gr.HTML(
                    panels.sampled_html(None, ""), js_on_load=panels.SAMPLED_JS, apply_default_css=False,
                    server_functions=[thumbnail],
                )  # fmt: skip
        annotate = annotating.build_annotation(services)
        export = export_menu.build_export(services)
    return {
        "clip": clip, "progress": progress, "cancel": cancel, "viewer": pictures, "timeline": curve, "events": events,
        "export": export, "annotate": annotate, "find": find, "instances": instances, "sampled": sampled,
        "library": left, "chat": dialogue.build_chat(),
    }  # fmt: skip


def _servers(services: Services) -> tuple[Callable[[dict], Any], Callable[[dict], Any]]:
    """What the browser asks for directly, without the queue: a frame and a thumbnail of the clip of a session."""

    def frame(request: dict) -> dict[str, Any]:
        try:
            return viewer.frame_reply(services.sessions.get(str(request.get("sid"))).showing(request), request)
        except WorkbenchError as error:
            return {"error": told_without_folder(error)}

    def thumbnail(request: dict) -> str | None:
        try:
            shown = services.sessions.get(str(request.get("sid"))).showing(request)
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
        page.events: timeline.encode(event_list.payload(services.desk, session)),
        page.instances: timeline.encode(instance_cards.cards_payload(session_id, shown)),
        page.sampled: panels.sampled_html(shown, session_id),
        page.find: gr.update(interactive=review.can_find(shown)),
        page.chat.dialogue: timeline.encode(dialogue.dialogue_payload(shown, services.desk, session.annotator)),
    }
    return update


def _wire_clips(page: Page, services: Services) -> desk_wiring.Begin:
    """Opening clips, finding instances, cancelling. → what opens a clip."""

    def begin(session_id: str, path: str, name: str | None = None) -> Iterator[Update]:
        with as_toast(path):
            session = services.sessions.get(session_id)
            yield {page.progress: panels.progress_html(Progress(f"opening {name or Path(path).name}", 0.0))}
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
    return begin
