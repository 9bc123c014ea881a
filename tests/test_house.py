"""The rules of the house: who may import whom, what happens at import, what the repository holds."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MAX_FILE_BYTES = 10_000_000  # a Hugging Face Space refuses larger files without LFS
MAX_LINES = 400
MAX_TEST_LINES = 600
HEAVY_SUFFIXES = (".safetensors", ".pt", ".pth", ".npz", ".npy", ".mp4", ".db", ".sqlite")


def modules(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Full names of what a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module_name(path).split(".")
            base = ".".join(package[: len(package) - node.level + (path.stem == "__init__")]) if node.level else ""
            stem = ".".join(filter(None, (base, node.module)))
            yield stem
            yield from (f"{stem}.{name.name}" for name in node.names)


def offenders(files: list[Path], *forbidden: str) -> list[str]:
    def is_forbidden(name: str) -> bool:
        return any(name == root or name.startswith(f"{root}.") for root in forbidden)

    return [f"{module_name(path)} imports {name}" for path in files for name in imports_of(path) if is_forbidden(name)]


def tracked_files() -> list[Path]:
    """Files of the repository; those git would track, also before the first commit."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := REPOSITORY / name).is_file()]


def test_the_library_never_imports_training() -> None:
    assert offenders(modules("workbench"), "finetune") == []


def test_training_never_imports_the_page() -> None:
    assert offenders(modules("finetune"), "workbench.ui", "gradio") == []


def test_gradio_stays_in_the_page() -> None:
    files = [path for path in modules("workbench") if REPOSITORY / "workbench" / "ui" not in path.parents]
    assert offenders(files, "gradio") == []


def test_the_stack_knows_no_page_database_or_training() -> None:
    later = (
        "ui",
        "corrections",
        "exports",
        "jobs",
        "analysis",
        "conversation",
        "instances",
        "cli",
        "plots",
        "workflow",
    )
    files = modules("workbench/stack")
    assert offenders(files, *(f"workbench.{name}" for name in later), "finetune", "sqlite3", "sqlite_utils") == []


def test_importing_opens_and_loads_nothing() -> None:
    """One process imports every module and reports files it opened that hold weights, clips or databases."""
    names = [module_name(path) for package in ("workbench", "finetune") for path in modules(package)]
    names = [name for name in names if not name.endswith("__main__")]
    script = f"""
import importlib, json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in ("open", "sqlite3.connect") else None)
sys.argv = ["nothing", "--no-such-option"]
for name in {[name for name in names if ".ui" not in name]!r}:
    importlib.import_module(name)
gradio = "gradio" in sys.modules
for name in {[name for name in names if ".ui" in name]!r}:
    importlib.import_module(name)
print(json.dumps({{"gradio": gradio, "opened": [name for name in opened if name.endswith({HEAVY_SUFFIXES!r})]}}))
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {"gradio": False, "opened": []}


def test_help_does_not_wait_for_the_model_libraries() -> None:
    script = """
import sys
from workbench import cli
cli.build_parser()
print({"torch", "av", "plotly"} & {*sys.modules})
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_the_app_is_thin() -> None:
    assert len((REPOSITORY / "app.py").read_text(encoding="utf-8").splitlines()) < 60


def test_files_stay_readable_in_one_sitting() -> None:
    long = {
        module_name(path): n
        for folder, limit in (("workbench", MAX_LINES), ("finetune", MAX_LINES), ("tests", MAX_TEST_LINES))
        for path in modules(folder)
        if (n := len(path.read_text("utf-8").splitlines())) > limit
    }
    assert long == {}


def test_no_tracked_file_is_too_large_for_a_space() -> None:
    assert [str(path) for path in tracked_files() if path.stat().st_size >= MAX_FILE_BYTES] == []


def test_no_tracked_file_names_this_machine() -> None:
    private = {str(Path.home()) + "/", str(REPOSITORY.parent) + "/"} - {"/", "//"}
    found = []
    for path in tracked_files():
        text = path.read_bytes()
        if b"\0" not in text[:8000]:
            found += [f"{path.name}: {word}" for word in private if word.encode() in text]
    assert found == []


def front_matter() -> dict[str, str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert block, "README.md does not begin with Spaces front matter"
    pairs = (line.split(":", 1) for line in block[1].splitlines())
    return {key.strip(): value.strip().strip('"') for key, value in pairs}


def test_the_readme_is_a_valid_space() -> None:
    matter = front_matter()
    assert matter["sdk"] == "gradio"
    assert (REPOSITORY / matter["app_file"]).is_file()
    assert re.fullmatch(r"3\.\d+", matter["python_version"])
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {matter["colorFrom"], matter["colorTo"]} <= colours
    assert matter["license"] == "apache-2.0"
    assert len(matter["title"]) <= 50
    requirement = re.search(r"^gradio>=([\d.]+),<(\d+)", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    assert requirement
    version = tuple(map(int, matter["sdk_version"].split(".")))
    assert tuple(map(int, requirement[1].split("."))) <= version < (int(requirement[2]),)


def test_the_readme_names_only_commands_and_options_that_exist() -> None:
    from workbench.cli import build_parser

    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    parser = build_parser()
    lines = [line.strip() for line in re.findall(r"^ *python -m workbench .*$", readme, re.MULTILINE)]
    assert lines
    for line in lines:
        parser.parse_args(shlex.split(line, comments=True)[3:])
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", readme)) <= set(targets)


def test_links_in_the_documents_lead_somewhere() -> None:
    links = [
        (document, target)
        for document in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if not target.startswith(("http://", "https://"))
    ]
    assert [f"{document.name}: {target}" for document, target in links if not (document.parent / target).exists()] == []
