"""`hatch run fuzz [--seconds N] [--corpus DIR]`: fuzz the config language, guided by coverage.

It begins with the small corpus of this folder, replays all of it and then makes up more for N seconds. What breaks a
law, crashes, hangs or exhausts memory is written to DIR and named; add it to tools/fuzz/corpus once it is mended.

`hatch run fuzz --drawn N` tries N inputs that a seed draws instead. They are the same every time, which is what
continuous integration wants: a change is not refused for what a lucky search found elsewhere.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools.fuzz.drawn import try_drawn

CORPUS: Final = Path(__file__).parent / "corpus"
_DICTIONARY: Final = Path(__file__).parent / "language.dict"
_HANG_SECONDS: Final = 30  # instrumented, on a busy machine; without both, inputs of this size take milliseconds
_MEMORY_MIB: Final = 2048
_MAX_BYTES: Final = 4096


def main() -> int:
    """Fuzz; the exit code is 0 when nothing was found, 1 otherwise, 2 when this machine cannot."""
    parser = argparse.ArgumentParser(prog="hatch run fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long to look (default: 60)")
    parser.add_argument("--corpus", type=Path, help="where to keep what was found (default: a temporary folder)")
    parser.add_argument("--drawn", type=int, metavar="N", help="try N inputs that are the same every time, then stop")
    args = parser.parse_args()
    if args.drawn is not None:
        return try_drawn(args.drawn, corpus=CORPUS, dictionary=_DICTIONARY)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: it exists for Linux on x86-64, for the versions of Python it knows")
        return 2
    with tempfile.TemporaryDirectory(prefix="fg-fuzz-") as scratch:
        found = (args.corpus or Path(scratch)).resolve()
        found.mkdir(parents=True, exist_ok=True)
        return _fuzz(args.seconds, found)


def _fuzz(seconds: int, found: Path) -> int:
    options = {
        "max_total_time": seconds,
        "timeout": _HANG_SECONDS,
        "rss_limit_mb": _MEMORY_MIB,
        "max_len": _MAX_BYTES,
        "dict": _DICTIONARY,
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
    }
    command = [sys.executable, "-m", "tools.fuzz.worker", str(found), str(CORPUS)]
    command += [f"-{name}={value}" for name, value in options.items()]
    log = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if log.returncode:
        print("\n".join(log.stdout.splitlines()[-60:]))
        return 1
    print(_summary(log.stdout, seconds))
    return 0


def _summary(log: str, seconds: int) -> str:
    """`12345 inputs in 60 s, 4321 branches reached, nothing found`."""
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", log)
    reached = re.findall(r"\bcov: (\d+)", log)
    inputs = runs[1] if runs else "an unknown number of"
    return f"{inputs} inputs in {seconds} s, {reached[-1] if reached else '?'} branches reached, nothing found"


if __name__ == "__main__":
    sys.exit(main())
