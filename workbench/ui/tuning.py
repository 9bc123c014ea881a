"""The Fine-tune room: what it is told and what its commands mean (plain), and the component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from workbench import jobs, training
from workbench.errors import InputError, WorkbenchError
from workbench.jobs import Job
from workbench.training import COMPONENTS, Counts, Request
from workbench.ui.services import Services
from workbench.ui.session import Session

MAX_JOBS = 60
ABOUT = {
    "scorer": "when something abnormal happens · reads event times",
    "heatmap": "where it happens · reads masks",
    "chat": "what is said about it · reads texts and answers",
    "segmenter": "outlines and tracks · reads masks",
}
STAGES = {
    "": "starting", "street": "drawing scenes to replay", "start": "loading the models", "encode": "reading the clips",
    "taps": "reading frames with masks", "scorer": "teaching the scorer", "heatmap": "teaching the heatmap",
    "chat": "teaching the dialogue", "segmenter": "teaching the segmenter", "evaluate": "comparing before and after",
    "done": "finished", "failed": "failed",
}  # fmt: skip
STRANGERS = "Training is not offered on a page that strangers share; run the workbench on a machine of your own."
_HERE = Path(__file__).parent


def tuning_reply(services: Services, request: Mapping[str, Any]) -> dict[str, Any]:
    """All that the room shows: what can be learned from, the runs, the adapter in use, and the run `{job}` in full.

    Raises:
        InputError: there is no such run. StoreError: the store cannot be read.
    """
    if services.desk.public:
        return {"public": STRANGERS}
    counts, runs = services.counts(), jobs.list_jobs(services.desk.store)
    wanted = request.get("job")
    shown = jobs.get_job(services.desk.store, int(wanted)) if wanted else next(iter(runs), None)
    active, note = active_line(services)
    return {
        "counts": asdict(counts), "profile": services.profile_of(None).title, "active": active, "note": note,
        "components": [
            {"id": name, "title": title, "about": ABOUT[name], "missing": missing(services, counts, name)}
            for name, title in COMPONENTS.items()
        ],
        "jobs": [line(job, active) for job in runs[:MAX_JOBS]],
        "shown": None if shown is None else line(shown, active) | details(services, shown),
    }  # fmt: skip


def missing(services: Services, counts: Counts, component: str) -> str | None:
    """Why a component cannot be trained now, a sentence; None where it can."""
    part = {"scorer": "scorer", "heatmap": "heatmap", "chat": "regions"}.get(component)
    if part is not None and services.lacks(part):
        return f"The profile {services.profile_of(None).title} has no {COMPONENTS[component].lower()} to go on from."
    return counts.missing(component)


def active_line(services: Services) -> tuple[str | None, str]:
    """The adapter that the registry says is in use, and a sentence when it cannot be."""
    try:
        return training.active_name(services.adapters_dir), services.adapter_note
    except WorkbenchError as error:
        return None, str(error)


def line(job: Job, active: str | None) -> dict[str, Any]:
    """A run in the list."""
    wanted = job.request.get("components") or []
    return {
        "id": job.id, "state": job.state, "title": " + ".join(COMPONENTS.get(name, name) for name in wanted),
        "by": job.annotator, "at": job.created_at, "started": job.started_at, "ended": job.ended_at,
        "message": job.message, "adapter": job.adapter, "decision": job.decision, "decided_by": job.decided_by,
        "reason": job.reason, "in_use": job.adapter is not None and job.adapter == active,
    }  # fmt: skip


def details(services: Services, job: Job) -> dict[str, Any]:
    """What the run itself says: stage, curves, verdict, the end of its log."""
    view = services.training.view(job)
    waits = job.state == "queued" and services.training.waits_for_others()
    return {
        "stage": "waiting for another run on this machine" if waits else STAGES.get(view.stage, view.stage),
        "fraction": view.fraction, "eta_s": view.eta_s, "gate": view.gate, "tail": view.tail,
        "summary": view.summary, "request": dict(job.request),
        "curves": {
            COMPONENTS.get(name, name): {"steps": curve.steps, "lines": curve.lines}
            for name, curve in view.curves.items()
        },
    }  # fmt: skip


# --- commands ------------------------------------------------------------------------------------------------------


def begin(services: Services, session: Session, wanted: Mapping[str, Any]) -> int:
    """Queue a run. → its number.

    Raises:
        InputError: a number is out of range, or there is nothing that the components could learn from.
    """
    refuse_strangers(services)
    request = Request.of({**wanted, "profile": services.profile_of(None).name})
    counts = services.counts()
    for component in request.components:
        why = missing(services, counts, component)
        if why is not None:
            raise InputError(f"{COMPONENTS[component]}: {why}")
    return services.training.submit(request.to_document(), annotator=session.annotator.name).id


def control(services: Services, command: Mapping[str, Any]) -> int:
    """Stop a run, or let one go on. → its number. Raises `InputError` when there is none, or it cannot go on."""
    refuse_strangers(services)
    number = _number(command)
    if command.get("op") == "stop":
        services.training.stop(number)
    else:
        services.training.go_on(number)
    return number


def decide(services: Services, session: Session, command: Mapping[str, Any]) -> int | None:
    """Adopt or reject what a run learned, or go back to what was in use before. → the run that it was about.

    Raises:
        InputError: nothing waits for a decision, or the gate refused and no reason is given.
    """
    refuse_strangers(services)
    by, reason = session.annotator.name, str(command.get("reason") or "").strip()
    if command.get("op") == "back":
        training.roll_back(services.adapters_dir, by=by)
        return None
    job = jobs.get_job(services.desk.store, _number(command))
    adapter = jobs.check_undecided(job)
    if command.get("op") == "reject":
        jobs.decide(services.desk.store, job.id, "rejected", by=by, reason=reason)
        return job.id
    passed = bool((services.training.view(job).gate or {}).get("adopt"))
    if not passed and not reason:
        raise InputError("The gate refused this adapter; to adopt it all the same, say why. Name and reason are kept.")
    training.adopt(services.adapters_dir, adapter, by=by, override=None if passed else reason)
    jobs.decide(services.desk.store, job.id, "adopted", by=by, reason=reason)
    return job.id


def refuse_strangers(services: Services) -> None:
    """Raises `InputError` on a page that strangers share."""
    if services.desk.public:
        raise InputError(STRANGERS)


def _number(command: Mapping[str, Any]) -> int:
    try:
        return int(command.get("job") or 0)
    except (TypeError, ValueError) as error:
        raise InputError("The training run was not named; reload the page.") from error


def build_tuning(*servers: Callable[[dict], Any]) -> gr.HTML:
    """The room; its value is `{"sid", "serial", "job"}` as JSON text.

    It triggers `begin` (a request), `control` (`op`, `job`) and `decide` (`op`, `job`, `reason`).
    """
    return gr.HTML(
        value="", html_template=(_HERE / "tuning.html").read_text("utf-8"),
        js_on_load=(_HERE / "tuning.js").read_text("utf-8"), apply_default_css=False, server_functions=list(servers),
        elem_id="aw-tuning",
    )  # fmt: skip
