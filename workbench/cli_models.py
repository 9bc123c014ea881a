"""`python -m workbench profiles | fetch`: which model stacks there are, and getting their weights."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.profiles import StackProfile


def add_commands(commands: Any) -> None:
    """Add `profiles` and `fetch` to the parser of all commands."""
    profiles = commands.add_parser(
        "profiles",
        help="list the model stacks to choose from",
        description="List the model stacks: whether their weights are on this machine, what they need, what was "
        "trained for them, and what stands in for the rest.",
    )
    profiles.set_defaults(command=show_profiles)
    fetch = commands.add_parser(
        "fetch",
        help="download the weights of a profile",
        description="Download what PROFILE needs and is not here yet; an interrupted download goes on where it was. "
        "Holmes-VAU is converted to the native layout. HF_HOME, HF_HUB_OFFLINE and HF_TOKEN are obeyed.",
    )
    fetch.add_argument("profile", metavar="PROFILE", help="as `profiles` names it")
    fetch.set_defaults(command=fetch_profile)


def add_stack_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that loads a model stack; `stack_options` reads them."""
    parser.add_argument("--profile", default="bundled", metavar="NAME", help="model stack (default: bundled)")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="an adapter trained on this profile")
    parser.add_argument(
        "--source", type=Path, metavar="DIR", help="folder with the profile's weights, instead of the Hub"
    )
    parser.add_argument(
        "--quantise", choices=("8bit", "4bit"), help="weights of the language model in fewer bits (CUDA, bitsandbytes)"
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N (default: CUDA where there is one)")


def stack_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `ModelStack.load` takes beside the profile."""
    from workbench.stack.loading import Placement

    return {
        "device": args.device,
        "adapter": args.adapter,
        "source": args.source,
        "placement": Placement(quantise=args.quantise) if args.quantise else None,
        "tell": _tell,
    }


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def show_profiles(_args: argparse.Namespace) -> int:
    """`profiles`: a paragraph a profile."""
    from workbench.profiles import PROFILES
    from workbench.stack.sources import absent

    for profile in PROFILES.values():
        lacking = absent(profile)
        state = f"not here, {profile.download_gb:g} GB: python -m workbench fetch {profile.name}" if lacking else "here"
        lines = [
            f"{profile.name}: {profile.title} ({state})",
            *textwrap.wrap(profile.note, 110, initial_indent="    ", subsequent_indent="    "),
            *(f"    {line}" for line in facts(profile)),
        ]
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def facts(profile: StackProfile) -> list[str]:
    """What `profiles` says beside title and note."""
    from workbench.profiles import ASSETS
    from workbench.stack.loading import STAND_INS

    own = isinstance(profile.source, Path)
    source = f"assets/{profile.source.relative_to(ASSETS)}" if isinstance(profile.source, Path) else profile.source
    stand_ins = [f"{part}: {text}" for part, text in STAND_INS.items() if part not in profile.trained]
    return [
        f"weights from {source}, licence {profile.licence}",
        f"segmenter {'its own small SAM2' if own else f'SAM 2.1 {profile.segmenter}'}; {profile.dtype} on a GPU, "
        f"about {profile.memory_gb:g} GB; {profile.n_frames} frames per question",
        f"trained for it: {', '.join(profile.trained) or 'nothing'}",
        *([f"stand-ins: {'; '.join(stand_ins)}"] if stand_ins else []),
    ]


def fetch_profile(args: argparse.Namespace) -> int:
    """`fetch`: a line for each part that is there in the end."""
    from workbench.profiles import get_profile
    from workbench.stack.sources import locate

    profile = get_profile(args.profile)
    sources = locate(profile, tell=_tell)
    parts = {
        "backbone": sources.backbone,
        "scorer": sources.scorer,
        "heatmap": sources.heatmap,
        "regions": sources.regions,
        "segmenter": sources.segmenter.weights,
    }
    sys.stdout.write("".join(f"{name:<10} {path}\n" for name, path in parts.items() if path is not None))
    sys.stdout.write(f"{profile.name} is ready\n")
    return 0
