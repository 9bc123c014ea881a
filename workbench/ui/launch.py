"""From the command line to a page that is served: which store, who may see what, what is open to the network."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.corrections.place import VARIABLE, default_path
from workbench.errors import InputError, WorkbenchError
from workbench.hub import end_backups, schedule_backups
from workbench.ui import theme
from workbench.ui.app import build_page
from workbench.ui.services import Services
from workbench.ui.timeline import PLOTLY

if TYPE_CHECKING:
    from huggingface_hub import CommitScheduler


def services_for(options: argparse.Namespace) -> Services:
    """The services that a command line asks for.

    On a Space, where strangers share the page, the store is a temporary one (unless `WORKBENCH_STORE` names another)
    and each visitor sees only what they opened. A work folder brings its store along.

    Raises:
        InputError: `--mcp` without the package it needs, an address that cannot be served on, or no such samples.
        StoreError, ProfileError: as `Services`.
    """
    check_address(options.host, options.port)
    if options.samples is not None and not options.samples.is_dir():
        raise InputError(f"There is no folder {options.samples} of samples; name another with --samples.")
    if options.mcp and find_spec("mcp") is None:
        raise InputError("--mcp needs the package mcp, which is not installed; run: pip install 'gradio[mcp]'.")
    return Services(
        options.profile, work_dir=options.work_dir, samples_dir=options.samples, device=options.device,
        store=store_for(options, public=on_spaces()), annotator=options.annotator, public=on_spaces(),
    )  # fmt: skip


def check_address(host: str, port: int | None) -> None:
    """Whether the page can be served there. Raises InputError; Gradio would look for a place for minutes."""
    if port is not None and not 1 <= port <= 65535:
        raise InputError(f"There is no port {port}; name one from 1 to 65535 with --port.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        where = host if port is None else f"{host}, port {port}"
        raise InputError(
            f"The page cannot be served on {where} ({reason}); name another --host or --port, or end what is there."
        ) from error


def store_for(options: argparse.Namespace, *, public: bool) -> Path | None:
    """The store's file: the one named, else the user's own; None: one in the work folder, gone when that goes."""
    if options.store is not None:
        return Path(options.store)
    if VARIABLE in os.environ or not (public or options.work_dir):
        return default_path()
    return None


def serve(services: Services, options: argparse.Namespace) -> None:
    """Build the page and serve it until interrupted; on a Space, with backups of the store if a place is named."""
    backups = backups_of(services) if on_spaces() else None
    try:
        page = build_page(services)
        _, address, _ = page.launch(
            server_name=options.host, server_port=options.port, inbrowser=not (options.no_browser or on_spaces()),
            mcp_server=options.mcp, prevent_thread_lock=True, **looks(), **files_of(services),
        )  # fmt: skip
        sys.stdout.write(f"The Anomaly Workbench is at {address} (Ctrl-C ends it).\n")
        sys.stdout.flush()  # a file or a service's log would wait for more
        page.block_thread()
    finally:
        if backups is not None:
            end_backups(backups)


def backups_of(services: Services) -> CommitScheduler | None:
    """Backups of the store to the Hub. Where they cannot begin, the log says why and the page is served without."""
    try:
        return schedule_backups(services.desk.store, services.work_dir / "backup")
    except WorkbenchError as error:
        logging.getLogger(__name__).warning("No backups: %s", error)
        return None


def looks() -> dict[str, Any]:
    """What every way of launching the page shares."""
    return {
        "theme": theme.theme(), "css": theme.css(), "head": theme.head(), "run_history": False, "ssr_mode": False,
        "quiet": True,
    }  # fmt: skip


def files_of(services: Services) -> dict[str, Any]:
    """Which files the browser may fetch: clips and their copies and the script that draws curves, never the store."""
    folders = (services.samples_dir, services.proxies_dir, services.exports_dir, services.desk.media_dir, PLOTLY)
    store = services.desk.store.path.resolve()
    return {
        "max_file_size": "4gb", "allowed_paths": [str(folder) for folder in folders],
        "blocked_paths": [str(store), f"{store}-wal", f"{store}-shm"],
    }  # fmt: skip


def on_spaces() -> bool:
    """Whether this runs as a Hugging Face Space."""
    return "SPACE_ID" in os.environ
