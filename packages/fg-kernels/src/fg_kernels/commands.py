"""The verb `kernels`: measure the operations, check their promises, tell who carries them out, compile and tune."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

VERBS = {"kernels": "measure, check, compile and tune the kernels on this machine"}

# torch reads these when it is imported. Its profiler, which counts memory, otherwise writes lines "USDT:" and "STAGE:"
# to the error stream for every measurement, and warns of each block that is older than the measurement.
_QUIET = {"KINETO_LOG_LEVEL": "6", "TORCH_CPP_LOG_LEVEL": "ERROR"}


class _Action(NamedTuple):
    """A sub-verb: its help, what configures and what runs it."""

    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the sub-verbs."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{" + ",".join(_ACTIONS) + "}")
    for name, action in _ACTIONS.items():
        action.configure(actions.add_parser(name, help=action.help, description=action.help))


def run(verb: str, args: argparse.Namespace) -> int:
    """Carry out the sub-verb; 1 when a promise is broken, a target missed or a limit exceeded.

    Raises:
        KernelError: a name that does not exist, or a backend that is not there.
    """
    for name, level in _QUIET.items():
        os.environ.setdefault(name, level)
    return _ACTIONS[args.action].run(args)


# --- bench -----------------------------------------------------------------------------------------------------------


def _configure_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ops", nargs="*", metavar="OP", help="operations and optimizers (default: all)")
    parser.add_argument("--rounds", type=_positive, help="turns of each contender (default: 50 on a GPU, 3 on a CPU)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is one")
    parser.add_argument("--quick", action="store_true", help="small shapes, to try the machinery")
    parser.add_argument("--targets", action="store_true", help="print only the targets; exit code 1 if one is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the record")


def _bench(args: argparse.Namespace) -> int:
    from fg_kernels.measuring.bench import Plan, bench
    from fg_kernels.measuring.files import as_json, check_writable
    from fg_kernels.measuring.report import report, target_table

    device = _device(args.device)
    if args.json:
        check_writable(args.json)
    rounds = args.rounds or (50 if device.type == "cuda" else 3)
    plan = Plan(device=device, rounds=rounds, ops=tuple(args.ops), quick=args.quick)
    record = bench(plan, command=" ".join(["forgather", *sys.argv[1:]]), say=_say)
    if args.json:
        args.json.write_text(as_json(record) + "\n", encoding="utf-8")
    print(target_table(record["targets"]) if args.targets else report(record))
    return int(args.targets and any(item["result"] == "failed" for item in record["targets"]))


def _device(name: str | None) -> Any:
    import torch

    from fg_kernels.errors import BackendError

    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise BackendError("--device cuda: torch finds no CUDA device on this machine")
    return torch.device(name or ("cuda" if there else "cpu"))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


# --- check and which -------------------------------------------------------------------------------------------------


def _configure_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ops", nargs="*", metavar="OP", help="operations and optimizers (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _check(args: argparse.Namespace) -> int:
    from fg_kernels.measuring.contracts import as_mapping, check, finding_table
    from fg_kernels.measuring.files import as_json

    findings = check(args.ops, say=_say)
    print(as_json([as_mapping(item) for item in findings]) if args.json else finding_table(findings))
    return int(not all(finding.kept for finding in findings))


def _configure_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("op", nargs="?", metavar="OP", help="an operation or optimizer (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _which(args: argparse.Namespace) -> int:
    from fg_kernels.measuring.choices import choices
    from fg_kernels.measuring.files import as_json
    from fg_kernels.measuring.table import text_table

    rows = choices(args.op)
    if args.json:
        print(as_json([row._asdict() for row in rows]))
    else:
        print(text_table(("operation", "backend", "because", "on request"), [(*row[:3], _peers(row)) for row in rows]))
    return 0


def _peers(row: Any) -> str:
    return ", ".join(name if there else f"({name})" for name, there in row.peers.items())


# --- compile and tune ------------------------------------------------------------------------------------------------


def _configure_compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="default: all")
    parser.add_argument("--arch", type=int, action="append", help="90 for compute capability 9.0 (default: all)")
    parser.add_argument("--update", action="store_true", help="store limits that improved")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _compile(args: argparse.Namespace) -> int:
    from fg_kernels.compiling.report import as_json, as_text, compile_report
    from fg_kernels.triton.cases import ARCHITECTURES

    report = compile_report(args.arch or ARCHITECTURES, args.kernels, update=args.update, progress=_compiled)
    print(as_json(report) if args.json else as_text(report))
    return int(bool(report.complaints))


def _compiled(count: int, total: int, finished: Any) -> None:
    key, arch, _ = finished.task
    _say(f"{count}/{total} {key} sm_{arch}")


def _configure_tune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="default: all")
    parser.add_argument("--file", type=Path, help="where to write the table (default: where kernels look for it)")


def _tune(args: argparse.Namespace) -> int:
    from fg_kernels.triton.config_table import user_file
    from fg_kernels.tuning import tune

    tune(args.kernels, path=args.file, progress=_say)
    print(f"written to {args.file or user_file()}")
    return 0


def _say(line: str) -> None:
    """Progress goes to the error stream: the result alone is the output."""
    print(f"… {line}", file=sys.stderr, flush=True)


_ACTIONS = {
    "bench": _Action("measure operations and optimizers beside their peers", _configure_bench, _bench),
    "check": _Action("try what every operation promises, on each backend of this machine", _configure_check, _check),
    "which": _Action("tell who carries out an operation on this machine, and why", _configure_which, _which),
    "tune": _Action("time block sizes on this GPU and keep the best in a table of your own", _configure_tune, _tune),
    "compile": _Action(
        "compile every kernel without a GPU and hold it against its limits", _configure_compile, _compile
    ),
}
