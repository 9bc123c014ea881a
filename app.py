"""Parse, build the services, build the page, launch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from workbench.errors import WorkbenchError
from workbench.profiles import PROFILES
from workbench.ui import launch


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; hosts and ports may also come from Gradio's own variables, as on Spaces."""
    parser = argparse.ArgumentParser(prog="app.py", description="The Anomaly Workbench in the browser.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=None, help="default: the first free one from 7860")
    parser.add_argument("--profile", default="bundled", choices=sorted(PROFILES))
    parser.add_argument("--device", default=None, help="cpu, cuda or cuda:N; default: CUDA where there is one")
    parser.add_argument("--store", type=Path, default=None, metavar="FILE", help="where corrections are kept; default: "
                        "WORKBENCH_STORE, else the user's data folder")  # fmt: skip
    parser.add_argument("--annotator", default=None, metavar="NAME", help="whose name the history bears at first")
    parser.add_argument("--work-dir", type=Path, default=None, help="where caches go; default: a temporary folder")
    parser.add_argument("--samples", type=Path, default=None, help="folder of sample clips")
    parser.add_argument("--mcp", action="store_true", help="also offer the endpoints to agents (gradio[mcp])")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page until interrupted."""
    options = parse(arguments)
    try:
        services = launch.services_for(options)
    except WorkbenchError as error:
        raise _told(str(error)) from error
    try:
        launch.serve(services, options)
    except OSError as error:
        raise _told(f"the page cannot be served ({error}); name another --host or --port.") from error
    finally:
        services.close()


def _told(sentence: str) -> SystemExit:
    """What ends the program with a sentence, as the command line does: exit code 2."""
    sys.stderr.write(f"error: {sentence}\n")
    return SystemExit(2)


if __name__ == "__main__":
    main()
