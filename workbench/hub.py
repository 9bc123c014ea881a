"""To the Hugging Face Hub, only when asked and only with a token from the environment: data sets, and backups.

    push_dataset   what was reviewed as a `datasets` folder (`exports/hf.py`) into a data set repository
    backups        on a Space: a copy of the store goes to a private data set repository every few minutes

The token is `HF_TOKEN` (or what `hf auth login` has kept); it is never shown, stored or put into a message.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.corrections.store import Store
from workbench.errors import InputError, StoreError, WorkbenchError
from workbench.exports import get_format
from workbench.exports.manifest import digest_of

if TYPE_CHECKING:
    from huggingface_hub import CommitScheduler

    from workbench.records import ReviewedClip

BACKUP_VARIABLE = "WORKBENCH_BACKUP_REPO"
BACKUP_EVERY_MINUTES = 10.0
_COPY = "corrections.db"


class HubError(WorkbenchError):
    """The Hub cannot be used: there is no token, no network, or it refused."""


def hub_token() -> str | None:
    """The token of the environment, or the one that `hf auth login` has kept; None where there is neither."""
    from huggingface_hub import get_token

    return get_token()


def why_not() -> str | None:
    """Why nothing can be pushed, in a sentence for a person; None when it can."""
    if hub_token():
        return None
    return "Pushing to the Hub needs a token: set HF_TOKEN to one that may write, then start the workbench again."


def check_repo(repo: str) -> str:
    """The name of a repository, `owner/name`. Raises InputError when it is none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    name = repo.strip()
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"{repo!r:.80} is not the name of a repository; write it as OWNER/NAME.") from error
    if name.count("/") != 1:
        raise InputError(f"{repo!r:.80} lacks its owner; write it as OWNER/NAME.")
    return name


def push_dataset(
    clips: Iterable[ReviewedClip],
    repo: str,
    *,
    private: bool = True,
    media: bool = False,
    left_out: list[str] | None = None,
    notes: list[str] | None = None,
    endpoint: str | None = None,
) -> str:
    """Write the clips as a data set folder and upload it as one commit. → the address of the commit.

    Args:
        repo: OWNER/NAME; made if it is not there yet, private unless said otherwise.
        media: upload the videos too. left_out, notes: as for `Format.write`.
        endpoint: another Hub than the usual one.

    Raises:
        HubError: there is no token, or the Hub cannot be reached or refuses. InputError: `repo` is no name.
        FormatError: something does not fit the format.
    """
    name = check_repo(repo)
    reason = why_not()
    if reason is not None:
        raise HubError(reason)
    said = notes if notes is not None else []
    with tempfile.TemporaryDirectory(prefix="workbench-push-") as made:
        folder = Path(made) / "dataset"
        get_format("hf").write(clips, folder, left_out=left_out, media_notes=said if media else None)
        return _upload(folder, name, private, endpoint)


def _upload(folder: Path, repo: str, private: bool, endpoint: str | None) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=endpoint, token=hub_token())
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, repo_type="dataset", folder_path=folder, commit_message="Reviewed clips"
        )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise HubError(f"The Hub refused to take {repo} ({status}); check that the token may write there.") from error
    except _no_network() as error:
        raise HubError(
            f"The Hub cannot be reached ({type(error).__name__}); nothing was published, try again with a network."
        ) from error
    return str(commit.commit_url)


def _no_network() -> tuple[type[Exception], ...]:
    """What is raised where there is no network: huggingface_hub has changed its HTTP library, so any it may use."""
    libraries = [import_module(name) for name in ("httpx2", "httpx") if find_spec(name) is not None]
    return (OSError, *(library.HTTPError for library in libraries))


def snapshot(store: Store, folder: Path) -> Path:
    """Put a copy of the store, whole and consistent, into the folder that is pushed. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {folder} for backups cannot be made ({error.strerror}).") from error
    return store.backup(folder / _COPY)


def schedule_backups(
    store: Store, folder: Path, *, every_minutes: float = BACKUP_EVERY_MINUTES, **options: Any
) -> CommitScheduler | None:
    """Back the store up to the private data set that `WORKBENCH_BACKUP_REPO` names, from now on and once at the end.

    Returns:
        The scheduler, to stop it with `stop()`; None where no repository is named.

    Raises:
        HubError: a repository is named but there is no token, or the Hub cannot be reached. InputError: a bad name.
    """
    named = os.environ.get(BACKUP_VARIABLE)
    if not named:
        return None
    repo = check_repo(named)
    reason = why_not()
    if reason is not None:
        raise HubError(f"{BACKUP_VARIABLE} names {repo}, but: {reason}")
    from huggingface_hub import CommitScheduler
    from huggingface_hub.errors import HfHubHTTPError

    class StoreBackups(CommitScheduler):
        """Takes a consistent copy right before each push; a store that is as it was is not pushed again."""

        pushed = ""

        def push_to_hub(self) -> Any:
            with snapshot(store, folder).open("rb") as file:
                digest, _ = digest_of(file)
            if digest == self.pushed:
                return None
            commit = super().push_to_hub()
            self.pushed = digest
            return commit

    snapshot(store, folder)
    refused: tuple[type[Exception], ...] = (HfHubHTTPError, *_no_network())
    try:
        return StoreBackups(
            repo_id=repo, repo_type="dataset", folder_path=folder, every=every_minutes, private=True, token=hub_token(),
            allow_patterns=[_COPY], **options,
        )  # fmt: skip
    except refused as error:
        raise HubError(f"Backups to {repo} cannot begin: the Hub cannot be reached or refuses the token.") from error


def end_backups(scheduler: CommitScheduler) -> None:
    """Push what has changed since, then end. Where that fails, the log says so: the store itself is as it was."""
    failures: tuple[type[Exception], ...] = (WorkbenchError, RuntimeError, ValueError, *_no_network())
    try:
        scheduler.trigger().result()
    except failures as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        logging.getLogger(__name__).warning("The last changes were not backed up to %s: %s", scheduler.repo_id, cause)
    finally:
        scheduler.stop()
