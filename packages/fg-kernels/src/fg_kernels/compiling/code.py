"""Compiling a kernel for a GPU that is not there, and reading off what the code will need when it runs."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from fg_kernels.compiling.flow import STRAIGHT, UNREACHABLE, Listing, loops_of
from fg_kernels.compiling.sass import parse_sass, successors_in_sass
from fg_kernels.compiling.traffic import traffic_of
from fg_kernels.errors import CompiledCodeError
from fg_kernels.triton.cases import CompileCase

WARP: Final = 32
_RESOURCES = re.compile(r"(REG|STACK|SHARED|LOCAL):(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """What one kernel, compiled for one architecture, needs.

    Attributes:
        registers: of a thread.
        spilled: bytes of a thread that did not fit into registers (stack and local memory).
        shared: bytes of shared memory of a program.
        instructions: that the threads run for each element of the tensors, summed over the threads.
        read: bytes of global memory for each element.
        written: bytes of global memory for each element.
        narrow: bytes among these that threads move one or two at a time.
        fused: multiplications and additions in one rounding, beside those of exact division and square root.
    """

    registers: int
    spilled: int
    shared: int
    instructions: float
    read: float
    written: float
    narrow: float
    fused: int

    @property
    def bytes(self) -> float:
        """Bytes of global memory, read and written, for each element."""
        return self.read + self.written


class Code(NamedTuple):
    """The compiled code of a kernel, as text, and its resources."""

    ptx: str
    sass: str
    resources: dict[str, int]
    dynamic_shared: int


def compile_case(case: CompileCase, arch: int) -> Compiled:
    """Compile `case` for compute capability `arch` (90 is 9.0) and measure the code; no GPU is needed.

    Raises:
        CompiledCodeError: the loops of the code are not those that the case describes, or memory is used in a way
            that cannot be counted.
    """
    code, threads = code_of(case, arch), case.config.num_warps * WARP
    traffic = traffic_of(code.ptx, threads, case.trips)
    resources = code.resources
    return Compiled(
        registers=resources["REG"],
        spilled=resources["STACK"] + resources["LOCAL"],
        shared=resources["SHARED"] + code.dynamic_shared,
        instructions=instructions_of(parse_sass(code.sass), case.trips) * threads / case.elements,
        read=traffic.read / case.elements,
        written=traffic.written / case.elements,
        narrow=traffic.narrow / case.elements,
        fused=len(re.findall(r"\bfma\.", code.ptx)),
    )


def code_of(case: CompileCase, arch: int) -> Code:
    """Compile with the options of a launch, and take the result apart."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = list(case.kernel.arg_names)
    constants = dict(case.config.blocks) | dict(case.constants)
    source = ASTSource(
        fn=case.kernel,
        signature={name: case.signature.get(name, "constexpr") for name in names},
        constexprs=constants,
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in sorted(case.divisible)},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, WARP), options=case.config.options)
    sass, resources = _disassembled(compiled.asm["cubin"])
    return Code(compiled.asm["ptx"], sass, resources, compiled.metadata.shared)


def instructions_of(listing: Listing, trips: Sequence[int]) -> int:
    """Instructions that a thread runs: straight-line code once, each loop as often as it runs.

    Raises:
        CompiledCodeError: the code has another number of loops than `trips`.
    """
    loops = loops_of(successors_in_sass(listing))
    counts = Counter(loop for loop in loops if loop != UNREACHABLE)
    if max(counts, default=STRAIGHT) + 1 != len(trips):
        raise CompiledCodeError(f"the machine code has {max(counts) + 1} loops, but the case gives {trips=}")
    return sum(count * (1 if loop == STRAIGHT else trips[loop]) for loop, count in counts.items())


def _disassembled(cubin: bytes) -> tuple[str, dict[str, int]]:
    """Machine code as text, and the resources it declares; the text is kept in triton's cache beside the binary."""
    from triton.runtime.cache import get_cache_manager

    cache = get_cache_manager(hashlib.sha256(cubin).hexdigest())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        resources = _output("cuobjdump", "--dump-resource-usage", str(path))
        if kept := cache.get_file("kernel.sass"):
            sass = Path(kept).read_text("utf-8")
        else:
            sass = _output("nvdisasm", "-c", str(path))
            cache.put(sass, "kernel.sass", binary=False)
    return sass, {name: int(value) for name, value in _RESOURCES.findall(resources)}


def _output(tool: str, *arguments: str) -> str:
    return subprocess.run([_path(tool), *arguments], capture_output=True, text=True, check=True).stdout


@lru_cache(maxsize=2)
def _path(tool: str) -> str:
    """Where triton has a tool of the CUDA toolkit; it runs the tool to ask for its version, each time it is asked."""
    import triton

    return getattr(triton.knobs.nvidia, tool).path
