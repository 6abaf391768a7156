"""The verb `checkpoint`: list and verify the checkpoints of a run, without importing torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fg_checkpoint.reference import CheckpointRef

VERBS = {"checkpoint": "list and verify the checkpoints of a run"}


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the sub-verbs `ls` and `verify`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{ls,verify}")
    for name, text in {"ls": "list checkpoints", "verify": "read every byte and compare checksums"}.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("path", type=Path, help="a model's output directory, its checkpoints/, or one checkpoint")
        action.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(verb: str, args: argparse.Namespace) -> int:
    """Carry out the sub-verb; 1 when `verify` found damage.

    Raises:
        MissingComponentError: there is no checkpoint at the path.
    """
    refs = find_checkpoints(args.path)
    return _list(refs, as_json=args.json) if args.action == "ls" else _verify(refs, as_json=args.json)


def find_checkpoints(path: Path) -> list[CheckpointRef]:
    """The checkpoint at `path`, or those inside it or inside `path/checkpoints`, by ascending step.

    Raises:
        MissingComponentError: there is none.
    """
    from fg_checkpoint.errors import MissingComponentError
    from fg_checkpoint.manifest import FILE_NAME
    from fg_checkpoint.reference import CheckpointRef
    from fg_checkpoint.store import CheckpointStore

    if (path / FILE_NAME).is_file():
        return [CheckpointRef.open(path)]
    for root in (path / "checkpoints", path):
        refs = CheckpointStore(root).list()
        if refs:
            return refs
    state = "holds no checkpoint" if path.is_dir() else "does not exist"
    raise MissingComponentError(f"{path} {state} (a checkpoint is a directory checkpoint-<step> with a {FILE_NAME})")


def _list(refs: Sequence[CheckpointRef], *, as_json: bool) -> int:
    rows = [_describe(ref) for ref in refs]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        if "error" in row:
            print(f"{row['path']}  {row['error']}")
            continue
        metrics = "  ".join(f"{name} {value:g}" for name, value in row["metrics"].items())
        parts = ",".join(row["components"])
        size = f"{row['bytes'] / 1e6:,.1f} MB"
        print(
            "  ".join(
                filter(None, [row["path"], f"{size:>12}", row["saved"], f"ranks {row['world_size']}", parts, metrics])
            )
        )
    return 0


def _describe(ref: CheckpointRef) -> dict[str, Any]:
    from datetime import datetime

    from fg_checkpoint.errors import CheckpointError

    try:
        manifest = ref.manifest
    except CheckpointError as error:
        return {"path": str(ref.path), "step": ref.step, "error": str(error)}
    return {
        "path": str(ref.path),
        "step": ref.step,
        "saved": datetime.fromtimestamp(manifest.unix_time).astimezone().isoformat(timespec="seconds"),
        "bytes": manifest.size,
        "world_size": manifest.world_size,
        "components": list(manifest.components),
        "metrics": dict(manifest.metrics),
    }


def _verify(refs: Sequence[CheckpointRef], *, as_json: bool) -> int:
    from fg_checkpoint.validate import verify

    found: dict[str, list[dict[str, str | None]]] = {}
    for ref in refs:
        print(f"reading {ref.path} …", file=sys.stderr)
        damages = verify(ref)
        found[str(ref.path)] = [{"file": item.file, "tensor": item.tensor, "problem": item.problem} for item in damages]
        if not as_json:
            print(f"{ref.path}  {'damaged' if damages else 'ok'}", *damages, sep="\n  ")
    if as_json:
        print(json.dumps(found, indent=2))
    return 1 if any(found.values()) else 0
