"""`hatch run kernels:test`: the tests of the Triton kernels, by the interpreter and by the compiler.

    python -m tools.kernels interpreter [pytest arguments]
    python -m tools.kernels compiler [pytest arguments]

Triton reads TRITON_INTERPRET when a kernel is defined, so each of the two needs a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1] / "packages" / "fg-kernels" / "tests"
_INTERPRETED = {"interpreter": "1", "compiler": "0"}


def main() -> int:
    """Run one of the two folders; the exit code is pytest's."""
    part, *arguments = sys.argv[1:] or ["help"]
    if part not in _INTERPRETED:
        print(__doc__)
        return 2
    # The blocks that were tuned for the machine at hand are no part of what is tested.
    settings = {"TRITON_INTERPRET": _INTERPRETED[part], "OMP_NUM_THREADS": "1", "FG_KERNELS_CONFIGS": ""}
    environment = os.environ | settings
    command = [sys.executable, "-m", "pytest", str(_TESTS / part), *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
