"""Upload a data set folder to the Hub as one commit: here, or in a process of its own that can be ended at any moment.

    python -m workbench.hub_upload FOLDER OWNER/NAME [--private] [--endpoint URL]

Files go up first and are seen by nobody; the commit publishes them all at once. What is ended before it leaves the
repository as it was. (`HfApi.upload_folder` would make several commits of a large folder.) The same commit takes away
what an earlier push left there and this one no longer has.

The process says on stdout where it is, a JSON object a line: `stage`, at the end `url` or `error`. Before it publishes
it waits for the word `go` on stdin; so nothing is published that was cancelled, or that nobody waits for any more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from workbench import processes
from workbench.errors import WorkbenchError
from workbench.exports.hf_card import TABLES

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

Tell = Callable[[str], None]
UPLOADING, PUBLISHING = "uploading", "publishing"
_ROOT = Path(__file__).resolve().parent.parent
_GO = "go"
_LOOK_S = 0.2
_TABLE = re.compile(rf"data/({'|'.join(TABLES)})-[a-z]+\.jsonl")


class HubError(WorkbenchError):
    """The Hub cannot be used: there is no token, no network, or it refused."""


class Repository(NamedTuple):
    """What there is on the Hub: whether only its owners can read it, and the paths of its files."""

    private: bool
    files: list[str]


def upload(folder: Path, repo: str, *, private: bool, endpoint: str | None = None, tell: Tell | None = None) -> str:
    """Publish the files of `folder` as one commit to a data set repository, which is made if need be. → its address.

    Args:
        tell: told `UPLOADING`, then `PUBLISHING`, after which it can no longer be taken back.

    Raises:
        HubError: the Hub cannot be reached or refuses, or with `private` the repository is there and is public.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(endpoint=endpoint, token=get_token())
    stage = UPLOADING
    failures: tuple[type[Exception], ...] = (*no_network(), RuntimeError, ValueError)
    try:
        if tell:
            tell(stage)
        there = known(api, repo)
        if private:
            refuse_public(there, repo, "name another repository, make that one private, or push with --public")
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        added = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
        api.preupload_lfs_files(repo, added, repo_type="dataset", free_memory=False)
        stale = pushed_before(there.files if there else ()) - {operation.path_in_repo for operation in added}
        changes: list[CommitOperationAdd | CommitOperationDelete] = [*added, *map(CommitOperationDelete, sorted(stale))]
        stage = PUBLISHING
        if tell:
            tell(stage)
        commit = api.create_commit(repo, changes, commit_message="Reviewed clips", repo_type="dataset")
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise HubError(f"The Hub refused to take {repo} ({status}); check that the token may write there.") from error
    except failures as error:
        if stage == PUBLISHING:
            raise HubError(
                f"The Hub did not answer ({type(error).__name__}) when {repo} was published; look there whether it was."
            ) from error
        if isinstance(error, OfflineModeIsEnabled):
            raise HubError("HF_HUB_OFFLINE forbids to push; unset it and try again. Nothing was published.") from error
        if isinstance(error, no_network()):
            said = f"The Hub cannot be reached ({type(error).__name__})"
        else:
            said = f"The upload to {repo} broke off ({_first_line(error)})"
        raise HubError(f"{said}; nothing was published, try again with a network.") from error
    return str(commit.commit_url)


def known(api: HfApi, repo: str, kind: Literal["dataset", "model"] = "dataset") -> Repository | None:
    """What the Hub says of a repository; None where there is none that the token may see."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.model_info(repo) if kind == "model" else api.dataset_info(repo)
    except RepositoryNotFoundError:
        return None
    return Repository(info.private is True, [item.rfilename for item in info.siblings or ()])


def refuse_public(there: Repository | None, repo: str, way_out: str) -> None:
    """Raises HubError where the repository is there and not private: asked to make it so, the Hub leaves it public."""
    if there is not None and not there.private:
        raise HubError(f"{repo} is there already and is public, so everybody could read what goes there; {way_out}.")


def pushed_before(names: Iterable[str]) -> set[str]:
    """Which files of a repository an earlier push has put there: tables, and videos where the tables lie."""
    names = set(names)
    tables = {name for name in names if _TABLE.fullmatch(name)}
    return tables | {name for name in names if tables and name.startswith("media/")}


def upload_apart(folder: Path, repo: str, *, private: bool, endpoint: str | None, report: Callable[..., None]) -> str:
    """`upload` in another process. → the address of the commit.

    Args:
        report: told the stage several times a second; what it raises before the files are published ends the process.

    Raises:
        HubError: as `upload`, or the process ended without saying why.
    """
    command = [sys.executable, "-m", "workbench.hub_upload", str(folder), repo]
    command += ["--private"] * private + (["--endpoint", endpoint] if endpoint else [])
    quiet = os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    child = subprocess.Popen(
        command, cwd=_ROOT, env=quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, start_new_session=True,
    )  # fmt: skip
    mark = processes.Mark.of(child.pid)
    try:
        return _follow(child, repo, report)
    finally:
        if mark is not None:
            processes.end_group(mark)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def no_network() -> tuple[type[Exception], ...]:
    """What is raised where there is no network: huggingface_hub has changed its HTTP library, so any it may use."""
    libraries = [import_module(name) for name in ("httpx2", "httpx") if find_spec(name) is not None]
    return (OSError, *(library.HTTPError for library in libraries))


def _follow(child: subprocess.Popen[str], repo: str, report: Callable[..., None]) -> str:
    """Pass on what the process says until it has an address."""
    assert child.stdin
    assert child.stdout
    said: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(child.stdout, said), daemon=True).start()
    stage = UPLOADING
    while True:
        if stage != PUBLISHING:
            report(f"{stage} to {repo}", 0.0)
        try:
            line = said.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
        if line is None:
            how = f"exit status {child.wait()}"
            raise HubError(f"The upload to {repo} ended without saying why ({how}); look there, then try again.")
        if not line.startswith("{"):  # a library's own words
            continue
        told: dict[str, Any] = json.loads(line)
        if "url" in told:
            return str(told["url"])
        if "error" in told:
            raise HubError(str(told["error"]))
        stage = told["stage"]
        if stage == PUBLISHING:
            report(f"{stage} {repo}", 0.9)
            with contextlib.suppress(OSError):  # it has just ended; what comes next says why
                child.stdin.write(f"{_GO}\n")
                child.stdin.flush()


def _listen(lines: IO[str], said: queue.Queue[str | None]) -> None:
    for line in lines:
        said.put(line)
    said.put(None)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def main() -> int:
    """The process of `upload_apart`."""
    parser = argparse.ArgumentParser(prog="python -m workbench.hub_upload", description="Used by the page.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("repo")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--endpoint")
    args = parser.parse_args()

    def say(**what: str) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    def tell(stage: str) -> None:
        say(stage=stage)
        if stage == PUBLISHING and sys.stdin.readline().strip() != _GO:
            sys.exit(1)

    try:
        say(url=upload(args.folder, args.repo, private=args.private, endpoint=args.endpoint, tell=tell))
    except HubError as error:
        say(error=str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
