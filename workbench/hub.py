"""To the Hugging Face Hub, only when asked and only with a token from the environment: data sets, and backups.

    push_dataset   what was reviewed as a `datasets` folder (`exports/hf.py`) into a data set repository
    backups        on a Space: a copy of the store goes to a private data set repository every few minutes

The token is `HF_TOKEN` (or what `hf auth login` has kept); it is never shown, stored or put into a message.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.corrections.store import Store
from workbench.errors import FormatError, InputError, StoreError, WorkbenchError
from workbench.exports.hf import write_hf
from workbench.exports.manifest import digest_of
from workbench.files import unwritable
from workbench.hub_upload import HubError, known, no_network, refuse_public, upload, upload_apart

if TYPE_CHECKING:
    from huggingface_hub import CommitScheduler

    from workbench.records import ReviewedClip

BACKUP_VARIABLE = "WORKBENCH_BACKUP_REPO"
BACKUP_EVERY_MINUTES = 10.0
_COPY = "corrections.db"


def hub_token() -> str | None:
    """The token of the environment, or the one that `hf auth login` has kept; None where there is neither."""
    from huggingface_hub import get_token

    return get_token()


def why_not() -> str | None:
    """Why nothing can be pushed, in a sentence for a person; None when it can."""
    token = hub_token()
    if token:
        fine = token.isascii() and token.isprintable()
        return None if fine else "The token holds characters that no token has; copy it into HF_TOKEN once more."
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
    notes: list[str] | None = None,
    endpoint: str | None = None,
    report: Callable[..., None] | None = None,
) -> str:
    """Write the clips as a data set folder and upload it as one commit. → the address of the commit.

    Args:
        repo: OWNER/NAME; made if it is not there yet, private unless said otherwise.
        media: upload the videos too; `notes` takes a sentence for each that could not be.
        endpoint: another Hub than the usual one.
        report: told often what is being done; what it raises ends the push, and then nothing was published.

    Raises:
        HubError: there is no token, the Hub cannot be reached or refuses, or the repository is public and `private`
            was not given up. InputError: `repo` is no name.
        FormatError: something does not fit the format.
    """
    name = check_repo(repo)
    reason = why_not()
    if reason is not None:
        raise HubError(reason)
    said = notes if notes is not None else []
    with tempfile.TemporaryDirectory(prefix="workbench-push-") as made:
        folder = Path(made) / "dataset"
        watched = clips if report is None else _watched(clips, report)
        try:
            write_hf(watched, folder, notes=said if media else None, repo=name)
        except OSError as error:
            raise FormatError(unwritable(folder, error, "free it and try again")) from error
        if report is None:
            return upload(folder, name, private=private, endpoint=endpoint)
        return upload_apart(folder, name, private=private, endpoint=endpoint, report=report)


def _watched(clips: Iterable[ReviewedClip], report: Callable[..., None]) -> Iterator[ReviewedClip]:
    for reviewed in clips:
        report(f"writing {reviewed.clip.name}", 0.0)
        yield reviewed


def snapshot(store: Store, folder: Path) -> Path:
    """Put a copy of the store, whole and consistent, into the folder that is pushed. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The last copy is on its way or there; a new one of an idle store is the same to the byte, and not pushed.
        (folder / _COPY).unlink(missing_ok=True)
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
        HubError: a repository is named but it is public, there is no token, or the Hub cannot be reached.
        InputError: a bad name.
    """
    named = os.environ.get(BACKUP_VARIABLE)
    if not named:
        return None
    repo = check_repo(named)
    reason = why_not()
    if reason is not None:
        raise HubError(f"{BACKUP_VARIABLE} names {repo}, but: {reason}")
    from huggingface_hub import CommitScheduler, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    token = hub_token()
    api = options.pop("hf_api", None) or HfApi(token=token)

    def refuse_readers() -> None:
        way_out = f"make it private on the Hub, or name another one in {BACKUP_VARIABLE}"
        refuse_public(known(api, repo), repo, way_out)

    class StoreBackups(CommitScheduler):
        """Takes a consistent copy right before each push; a store that is as it was is not pushed again."""

        pushed = ""

        def push_to_hub(self) -> Any:
            with snapshot(store, folder).open("rb") as file:
                digest, _ = digest_of(file)
            if digest == self.pushed:
                return None
            refuse_readers()  # it may have been made public since
            commit = super().push_to_hub()
            self.pushed = digest
            return commit

    snapshot(store, folder)
    refused: tuple[type[Exception], ...] = (HfHubHTTPError, *no_network())
    try:
        refuse_readers()
        return StoreBackups(
            repo_id=repo, repo_type="dataset", folder_path=folder, every=every_minutes, private=True, token=token,
            allow_patterns=[_COPY], hf_api=api, **options,
        )  # fmt: skip
    except refused as error:
        raise HubError(f"Backups to {repo} cannot begin: the Hub cannot be reached or refuses the token.") from error


def end_backups(scheduler: CommitScheduler) -> None:
    """Push what has changed since, then end. Where that fails, the log says so: the store itself is as it was."""
    failures: tuple[type[Exception], ...] = (WorkbenchError, RuntimeError, ValueError, *no_network())
    try:
        scheduler.trigger().result()
    except failures as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        logging.getLogger(__name__).warning("The last changes were not backed up to %s: %s", scheduler.repo_id, cause)
    finally:
        scheduler.stop()
