"""`hatch run kernels:test`: the tests of the Triton kernels, by the interpreter and by the compiler.

    python -m tools.kernels interpreter [pytest arguments]
    python -m tools.kernels compiler [pytest arguments; --all-architectures tries the tuner's candidates on each]
    python -m tools.kernels limits            store the figures of compiled code that improved

Triton reads TRITON_INTERPRET when a kernel is defined, so interpreter and compiler need processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1] / "packages" / "fg-kernels" / "tests"
_COMMANDS = {
    "interpreter": ("-m", "pytest", str(_TESTS / "interpreter")),
    "compiler": ("-m", "pytest", str(_TESTS / "compiler")),
    "limits": ("-m", "fg_kernels.compiling.report"),
}


def main() -> int:
    """Run one of the commands; the exit code is its own."""
    part, *arguments = sys.argv[1:] or ["help"]
    if part not in _COMMANDS:
        print(__doc__)
        return 2
    settings = {
        "TRITON_INTERPRET": "1" if part == "interpreter" else "0",
        "OMP_NUM_THREADS": "1",
        "FG_KERNELS_CONFIGS": "",  # blocks tuned for the machine at hand are no part of what is tested
    }
    command = [sys.executable, *_COMMANDS[part], *arguments]
    return subprocess.run(command, env=os.environ | settings, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
