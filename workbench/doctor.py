"""Is this machine ready? One line for each thing the workbench needs: what there is, or what to do."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from workbench.profiles import ASSETS, PROFILES

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PARTS = ("backbone", "scorer", "heatmap", "regions", "segmenter")
MIN_DISK_GB = 2.0
MIN_MEMORY_GB = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing. `fine` is False only for what the workbench cannot do without; `text` says what there is,
    or what to do."""

    name: str
    fine: bool
    text: str


def examine(folder: Path) -> list[Finding]:
    """Check Python, libraries, accelerator, ffmpeg, browser, weights, disk space in `folder` and memory."""
    return [
        _python(),
        *(_imported(name, module) for name, module in _IMPORTED.items()),
        *(_installed(name) for name in _INSTALLED),
        *(check() for check in (_cuda, _ffmpeg, _browser, _weights, _profiles, _quantising, _memory)),
        _disk(folder),
    ]


# Imported, not only looked up: a torchvision of another build than torch is installed well and fails to import.
_IMPORTED = {"torch": "torch", "torchvision": "torchvision", "PyAV": "av"}
_INSTALLED = ("transformers", "sam2", "gradio")
_REINSTALL = "run: make setup"


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 10)
    return Finding("Python", fine, version if fine else f"{version} is too old; install 3.10 or newer")


def _imported(name: str, module: str) -> Finding:
    return _guarded(name, lambda: str(importlib.import_module(module).__version__))


def _installed(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed; {_REINSTALL}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _guarded(name: str, find: Callable[[], str]) -> Finding:
    """What `find` says, or a failure if a library it needs does not import (or a system library behind that one)."""
    try:
        return Finding(name, True, find())
    except (ImportError, RuntimeError, OSError) as error:
        return Finding(name, False, f"{_first_line(error)}; {_REINSTALL}")


def _cuda() -> Finding:
    driver = _driver_version()

    def find() -> str:
        import torch

        if torch.cuda.is_available():
            free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
            name, count = torch.cuda.get_device_name(), torch.cuda.device_count()
            return (
                f"{name}{f' and {count - 1} more' if count > 1 else ''}, {free:.1f} of {total:.1f} GiB free, "
                f"CUDA {torch.version.cuda}, driver {driver or 'unknown'}"
            )
        if driver is None:
            return "none; the CPU does the work"
        return (
            f"a GPU with driver {driver} is there, but torch {torch.__version__} does not see it; the CPU does the "
            "work until a build of torch for its CUDA is installed"
        )

    return _guarded("CUDA", find)


def _driver_version() -> str | None:
    """Version of the NVIDIA driver, if there is one that answers."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip().split("\n")[0] or None if answer.returncode == 0 else None


def _ffmpeg() -> Finding:
    def find() -> str:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_version())

    return _guarded("ffmpeg", find)


def find_browser() -> str | None:
    """Path of a Chromium or Chrome, if there is one."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _browser() -> Finding:
    path = find_browser()
    return Finding("Chromium", True, path or "none; only the browser tests need it: apt-get install chromium")


def _weights() -> Finding:
    source = ASSETS / "bundled"
    absent = [part for part in PARTS if not any((source / part).glob("*.safetensors"))]
    if absent:
        return Finding("weights", False, f"{source} lacks {', '.join(absent)}; check out the repository again")
    return Finding("weights", True, f"bundled profile in {source}")


def _profiles() -> Finding:
    def find() -> str:
        from workbench.stack.sources import absent

        here = [name for name, profile in PROFILES.items() if not absent(profile)]
        return f"here: {', '.join(here)}; others: python -m workbench fetch PROFILE"

    return _guarded("profiles", find)


def _quantising() -> Finding:
    try:
        return Finding("bitsandbytes", True, metadata.version("bitsandbytes"))
    except metadata.PackageNotFoundError:
        return Finding("bitsandbytes", True, "none; only --quantise needs it: pip install bitsandbytes")


def _memory() -> Finding:
    free_gb = psutil.virtual_memory().available / 2**30
    text = f"{free_gb:.1f} GiB free"
    if free_gb >= MIN_MEMORY_GB:
        return Finding("memory", True, text)
    return Finding("memory", False, f"{text}; close programs, {MIN_MEMORY_GB:.0f} GiB should be free")


def _disk(folder: Path) -> Finding:
    free_gb = shutil.disk_usage(folder).free / 2**30
    text = f"{free_gb:.1f} GiB free in {folder}"
    if free_gb >= MIN_DISK_GB:
        return Finding("disk", True, text)
    return Finding("disk", False, f"{text}; make room, {MIN_DISK_GB:.0f} GiB should be free")
