"""The commands of the loop: train from corrections, look at adapters, adopt one, go back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TRAINED = {
    "scorer": "tune the anomaly scorer (UR-DMU)",
    "heatmap": "tune the heatmap decoder (AHD)",
    "chat": "tune the dialogue (region encoder and LoRA)",
    "segmenter": "tune the segmenter on masks",
    "all": "tune all of them",
}


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands and their arguments; nothing heavy is imported."""
    for name, text in TRAINED.items():
        parser = commands.add_parser(name, help=text)
        _training(parser)
        if name == "all":
            parser.add_argument("--only", metavar="A,B", help="these of them, for example scorer,heatmap")
    adapters = commands.add_parser("adapters", help="adapters: list, adopt, roll back, verify, export")
    adapters.add_argument("action", choices=("list", "adopt", "rollback", "verify", "lineage", "export"))
    adapters.add_argument("name", nargs="?", help="adapter; for adopt also 'none', the profile as it is")
    adapters.add_argument("--override", metavar="REASON", help="adopt against the gate, for this reason")
    adapters.add_argument("--by", default="", metavar="NAME", help="who decides; needed to override")
    adapters.add_argument("--out", type=Path, metavar="DIR", help="folder of an export, opened by PEFT")
    adapters.add_argument("--push", metavar="REPO", help="also upload it to the Hub; the token is in HF_TOKEN")
    _store(adapters)
    _registry(adapters)
    calibrate = commands.add_parser("calibrate", help="threshold and score calibration per camera, from corrections")
    calibrate.add_argument("--store", "--db", type=Path, required=True, metavar="FILE", help="store of corrections")
    calibrate.add_argument("--profile", default="bundled", help="profile that made the analyses (default: bundled)")
    calibrate.add_argument("--alerts", type=float, default=5.0, metavar="N", help="false alerts a day (default: 5)")
    calibrate.add_argument("--camera", metavar="REGEX", help="finds the camera in a clip's name (default: one camera)")
    calibrate.add_argument("--out", type=Path, default=Path("calibration.json"), metavar="FILE")
    fights = commands.add_parser("fights", help="five-fold test of learning from labels of real clips")
    fights.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of classes")
    fights.add_argument("--profile", default="bundled")
    fights.add_argument("--out", type=Path, default=Path("fights.json"), metavar="FILE")
    fights.add_argument("--folds", type=int, default=5)
    fights.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Run one of the commands; `WorkbenchError` is left to the caller, who prints it."""
    if args.command == "calibrate":
        return _calibrate(args)
    if args.command == "fights":
        from finetune.fights import run as run_fights

        return run_fights(args)
    return _adapters(args) if args.command == "adapters" else _train(args)


def _training(parser: argparse.ArgumentParser) -> None:
    data = parser.add_mutually_exclusive_group()
    _store(data)
    data.add_argument("--data", type=Path, metavar="DIR", help="scenes, a HIVAU-70k tree, or a folder of classes")
    parser.add_argument("--profile", default="bundled", help="model stack to tune (default: bundled)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="RUN", help="folder of the run; resumes what is in it"
    )
    parser.add_argument("--from", dest="parent", default="active", metavar="ADAPTER", help="or 'none'; default: active")
    parser.add_argument("--replay", default="street", help="'street', 'none' or a folder of clips (default: street)")
    parser.add_argument("--replay-share", type=float, default=0.5, metavar="S", help="of each batch (default: 0.5)")
    parser.add_argument("--hold-out", type=float, default=0.25, metavar="S", help="share kept for the gate")
    parser.add_argument("--bundled", type=int, default=24, metavar="N", help="scenes of the bundled hold-out")
    parser.add_argument("--margin", type=float, default=0.02, help="loss tolerated on the bundled hold-out")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps of each recipe; default: its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--adopt", action="store_true", help="use the adapter at once if the gate lets it pass")
    _registry(parser)


def _store(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--store", "--db", type=Path, metavar="FILE", help="store of corrections; default: the page's")


def _registry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--registry", type=Path, metavar="DIR", help="default: beside the store, as the page has it")


def _registry_of(args: argparse.Namespace) -> Path:
    from workbench.corrections.place import adapters_dir

    return args.registry or adapters_dir(args.store)


def _train(args: argparse.Namespace) -> int:
    from finetune.components import COMPONENTS, Tuning
    from finetune.registry import Registry
    from finetune.sources import Found, from_folder, from_store
    from finetune.tune import Job, Run, describe, resumed_parent
    from workbench.corrections.place import default_path
    from workbench.corrections.store import Store
    from workbench.profiles import get_profile

    get_profile(args.profile)
    registry = Registry(_registry_of(args))
    parent = resumed_parent(args.out)
    if parent is None:
        active = registry.active()
        named = {"active": None if active is None else active.name, "none": None}
        parent = (named.get(args.parent, args.parent),)

    def collect() -> Found:
        store = args.store or default_path()
        found = from_folder(args.data) if args.data else from_store(Store(store, read_only=True))
        sys.stderr.write("".join(f"left out: {why}\n" for why in found.left_out))
        return found

    job = Job(
        components=_components(args, COMPONENTS),
        profile=args.profile,
        parent=parent[0],
        replay=args.replay,
        replay_share=args.replay_share,
        hold_out=args.hold_out,
        bundled=args.bundled,
        margin=args.margin,
        seed=args.seed,
        steps=args.steps,
    )
    result = Run(args.out, job, collect, registry, tuning=Tuning().of_steps(args.steps)).run()
    if result is None:
        return 0
    info, verdict = result
    sys.stdout.write(f"{describe(verdict)}\nAdapter: {info.folder}\n")
    if args.adopt and verdict.adopt:
        registry.activate(info.name, by="gate", reason="better on the hold-out")
        sys.stdout.write("It is in use now.\n")
    return 0


def _components(args: argparse.Namespace, known: tuple[str, ...]) -> tuple[str, ...]:
    """What is to be trained, in the order in which it is."""
    if args.command != "all":
        return (args.command,)
    if not args.only:
        return known
    wanted = [name.strip() for name in args.only.split(",") if name.strip()]
    return (*(name for name in known if name in wanted), *(name for name in wanted if name not in known))


def _adapters(args: argparse.Namespace) -> int:
    from finetune.errors import TrainingError
    from finetune.registry import Registry

    registry = Registry(_registry_of(args))
    if args.action == "list":
        active = registry.pointer().active
        for info in registry.all():
            gate = info.lineage.get("gate") or {}
            verdict = ("passed" if gate["adopt"] else "refused") if gate else "not measured"
            mark = "*" if info.name == active else " "
            sys.stdout.write(f"{mark} {info.name}  {info.profile}  {'+'.join(info.parts)}  {verdict}\n")
        return 0
    if args.action == "rollback":
        pointer = registry.roll_back(by=args.by)
        sys.stdout.write(f"In use: {pointer.active or 'the profile as it is'}\n")
        return 0
    if not args.name:
        raise TrainingError(f"Name the adapter to {args.action}: python -m finetune adapters {args.action} NAME.")
    if args.action == "adopt":
        name = None if args.name == "none" else args.name
        override = args.override is not None
        registry.activate(name, by=args.by, reason=args.override or "", override=override)
        sys.stdout.write(f"In use: {name or 'the profile as it is'}\n")
    elif args.action == "export":
        from finetune.publish import export_peft, push

        folder = export_peft(registry, args.name, args.out or Path(args.name))
        sys.stdout.write(f"{folder}\n")
        if args.push:
            sys.stdout.write(f"{push(folder, args.push)}\n")
    elif args.action == "lineage":
        for info in registry.lineage(args.name):
            data = info.lineage.get("dataset", {}).get("digest", "")[:12]
            sys.stdout.write(f"{info.name}  made {info.made_at}  data {data}  code {info.lineage.get('code', '')}\n")
    else:
        wrong = registry.verify(args.name)
        sys.stdout.write("\n".join(wrong) + "\n" if wrong else f"{args.name} is what was trained.\n")
        return 1 if wrong else 0
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    from finetune.calibrate import calibrate_store, describe
    from workbench.corrections.store import Store

    calibrations = calibrate_store(
        Store(args.store, read_only=True), profile=args.profile, alerts_per_day=args.alerts, camera=args.camera
    )
    calibrations.save(args.out)
    sys.stdout.write(
        f"{describe(calibrations)}\n{args.out}: python -m workbench analyze CLIP --calibration {args.out}\n"
    )
    return 0
