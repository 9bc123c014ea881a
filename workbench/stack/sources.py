"""Where the weights of a profile lie on this machine, fetched from the Hub if they are not here yet.

What is complete is used as it is, without a word to the network; what was begun is resumed. `HF_HUB_OFFLINE` is
obeyed. A checkpoint in the published Holmes-VAU layout is converted at first use and kept in the user's cache.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from workbench.errors import StackError
from workbench.files import cache_root, replacing
from workbench.profiles import StackProfile
from workbench.stack.segmenter import SegmenterSpec
from workbench.stack.segmenter_net import PUBLISHED

PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model", "added_tokens.json"))
"""Sets of files of which one makes a tokenizer: small ones may come after the weights when a download breaks off."""
TIMEOUT_S = 30
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Sources:
    """Folders of the parts of a profile; None: nothing trained is there. `fusion` may not exist."""

    backbone: Path
    scorer: Path | None
    heatmap: Path | None
    regions: Path | None
    familiarity: Path | None
    segmenter: SegmenterSpec
    fusion: Path


def locate(profile: StackProfile, *, fetch: bool = True, tell: Callable[[str], None] | None = None) -> Sources:
    """Find every part of a profile, fetching and converting what is not here.

    Args:
        fetch: False: only look. tell: hears of what takes long.

    Raises:
        StackError: something is not here and cannot be fetched, or a trained part is missing.
    """
    tell = tell or (lambda _: None)
    given = profile.source if isinstance(profile.source, Path) else _hub_folder(profile, fetch, tell)
    if not given.is_dir():
        raise StackError(f"There is no folder {given} with the weights of the profile '{profile.name}'; name another.")
    root = _converted(given, profile, fetch, tell) if _is_published(given) else given

    def part(name: str) -> Path | None:
        if (root / name).is_dir():
            return root / name
        if name in profile.trained:
            way_out = "name the folder that has it with --source, or restore it from the repository"
            if not isinstance(profile.source, Path):
                way_out = f"restore it, or run: python -m workbench fetch {profile.name}"
            raise StackError(
                f"The profile '{profile.name}' comes with a trained {name}, but {root} has no folder {name}; {way_out}."
            )
        return None

    return Sources(
        backbone=root / "backbone" if (root / "backbone").is_dir() or not (root / "config.json").exists() else root,
        scorer=part("scorer"),
        heatmap=part("heatmap"),
        regions=part("regions"),
        familiarity=part("familiarity"),
        segmenter=_segmenter(given, profile, fetch, tell),
        fusion=root / "fusion.json",
    )


def absent(profile: StackProfile) -> list[str]:
    """What would have to be fetched to use a profile; empty if it is all here."""
    if isinstance(profile.source, Path):
        return []
    lacking = []
    folder = _cached_folder(profile.source)
    if folder is None or not is_complete(folder):
        lacking.append(profile.source)
    if profile.scorer_url and not _scorer_file(profile).exists():
        lacking.append("scorer")
    if profile.segmenter:
        _, file, repo = PUBLISHED[profile.segmenter]
        if _cached_file(repo, file) is None:
            lacking.append(repo)
    return lacking


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint folder holds its configuration, a tokenizer and every weight file it names."""
    if not (folder / "config.json").exists() or not any(
        all((folder / name).exists() for name in names) for names in TOKENIZERS
    ):
        return False
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return (folder / "model.safetensors").exists()
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # cut off while it was fetched
        return False
    return all((folder / name).exists() for name in names)


# -- the Hub -----------------------------------------------------------------------------------------------------------


def _cached_folder(repo: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, allow_patterns=list(PATTERNS), local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _cached_file(repo: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file)
    return Path(found) if isinstance(found, str) else None


def _hub_folder(profile: StackProfile, fetch: bool, tell: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download

    repo = str(profile.source)
    folder = _cached_folder(repo)
    if folder is not None and is_complete(folder):
        return folder
    _may_fetch(profile, repo, fetch)
    _check_room(profile)
    tell(f"fetching {repo}, about {profile.download_gb:g} GB")
    return Path(_asked(lambda: snapshot_download(repo, allow_patterns=list(PATTERNS)), profile, repo))


def _hub_file(repo: str, file: str, profile: StackProfile, fetch: bool, tell: Callable[[str], None]) -> Path:
    from huggingface_hub import hf_hub_download

    cached = _cached_file(repo, file)
    if cached is not None:
        return cached
    _may_fetch(profile, f"{file} of {repo}", fetch)
    tell(f"fetching {file} of {repo}")
    return Path(_asked(lambda: hf_hub_download(repo, file), profile, repo))


def _asked(ask: Callable[[], str], profile: StackProfile, what: str) -> str:
    """What the Hub gives; its many ways to fail as one sentence."""
    import httpx
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        # Without a network the library tries again for most of a minute before it says so; this says it at once.
        httpx.head(constants.ENDPOINT, timeout=TIMEOUT_S)
        return ask()
    except HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else "no answer"
        raise StackError(
            f"The Hub refuses {what} ({code}); log in with `hf auth login` if it is gated, or choose another profile."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise StackError(_no_way(profile, what, error)) from error
    except RuntimeError as error:  # how the Hub's faster transfer says that it failed
        reason = " ".join(str(error).split())
        raise StackError(
            f"Fetching {what} broke off ({reason}); run `python -m workbench fetch {profile.name}` again, "
            "it goes on where it stopped."
        ) from error


def _no_way(profile: StackProfile, what: str, error: Exception) -> str:
    """Why something did not come: the disk does not take it, or the network does not bring it."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return (
            f"{what} cannot be written ({error}); make room or mend the permissions, or let HF_HOME and "
            f"WORKBENCH_CACHE name another disk, then run `python -m workbench fetch {profile.name}` again."
        )
    return (
        f"The profile '{profile.name}' needs {what}, which is not on this machine, and the network gives no way to it; "
        f"run `python -m workbench fetch {profile.name}` where there is one, or choose --profile bundled."
    )


def _may_fetch(profile: StackProfile, what: str, fetch: bool) -> None:
    from huggingface_hub import constants

    if fetch and not constants.HF_HUB_OFFLINE:
        return
    reason = "HF_HUB_OFFLINE forbids to fetch it" if constants.HF_HUB_OFFLINE else "it was not to be fetched"
    first = "unset it and " if constants.HF_HUB_OFFLINE else ""
    raise StackError(
        f"The profile '{profile.name}' needs {what}, which is not on this machine, and {reason}; "
        f"{first}run: python -m workbench fetch {profile.name}."
    )


def _check_room(profile: StackProfile) -> None:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < profile.download_gb:
        raise StackError(
            f"The profile '{profile.name}' takes {profile.download_gb:g} GB, but {folder} has {free_gb:.1f} GB free; "
            "make room, or let HF_HOME name another disk."
        )


# -- Holmes-VAU --------------------------------------------------------------------------------------------------------


def _is_published(root: Path) -> bool:
    """Whether a folder is in the layout of the published Holmes-VAU, which the native classes do not read."""
    try:
        described = json.loads((root / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and described.get("model_type") == "internvl_chat"


def _scorer_file(profile: StackProfile) -> Path:
    return cache_root() / "downloads" / profile.name / "anomaly_scorer.pth"


def _converted(source: Path, profile: StackProfile, fetch: bool, tell: Callable[[str], None]) -> Path:
    """The converted twin of a published checkpoint, made at its first use."""
    from workbench.stack.convert import SCORER_FILE, convert_holmesvau

    scorer: Path | None = source / SCORER_FILE
    if not (source / SCORER_FILE).exists():
        scorer = _fetched_scorer(profile, fetch, tell) if profile.scorer_url else None
    files = [path for path in sorted(source.iterdir()) if path.is_file()]
    stamps = [_stamp(path) for path in [*files, *([scorer] if scorer else [])]]
    digest = hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:12]
    target = cache_root() / "converted" / f"{profile.name}-{digest}"
    if not target.exists():
        tell(f"converting {source.name} to the native layout, once")
        convert_holmesvau(source, target, scorer=scorer)
    return target


def _stamp(path: Path) -> str:
    return f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}"


def _fetched_scorer(profile: StackProfile, fetch: bool, tell: Callable[[str], None]) -> Path:
    path, url = _scorer_file(profile), str(profile.scorer_url)
    if path.exists():
        return path
    _may_fetch(profile, f"its scorer ({url})", fetch)
    tell(f"fetching {url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urlopen(url, timeout=TIMEOUT_S) as answer, replacing(path) as temporary:
            with temporary.open("wb") as file:
                shutil.copyfileobj(answer, file)
            if 0 < int(answer.headers.get("Content-Length") or 0) != temporary.stat().st_size:
                raise URLError("the connection ended early")
    except OSError as error:  # URLError is one
        raise StackError(_no_way(profile, f"its scorer ({url})", error)) from error
    return path


# -- SAM 2.1 -----------------------------------------------------------------------------------------------------------


def _segmenter(root: Path, profile: StackProfile, fetch: bool, tell: Callable[[str], None]) -> SegmenterSpec:
    own = root / "segmenter"
    if profile.segmenter is None or (own / "config.json").exists():
        return SegmenterSpec.bundled(own)
    _, file, repo = PUBLISHED[profile.segmenter]
    here = own / file
    weights = here if here.exists() else _hub_file(repo, file, profile, fetch, tell)
    return SegmenterSpec.published(profile.segmenter, weights)


def fingerprint(files: tuple[Path, ...]) -> str:
    """Changes whenever one of these files, or a file in one of these folders, does; by names, sizes and times."""
    found = [path for root in files for path in ([root] if root.is_file() else sorted(root.rglob("*")))]
    kept = [path for path in found if path.suffix in {".safetensors", ".json"}]
    return hashlib.sha256("\n".join(f"{path}:{_stamp(path)}" for path in kept).encode()).hexdigest()[:16]
