"""What the compiler makes of the kernels, measured without a GPU.

`compile_case` compiles one kernel for one architecture and reads registers, spills, shared memory, instructions and
bytes of global memory off the code. Those figures are held against `limits.json`, where they may only get better.

* `flow.py`, `ptx.py`, `sass.py`: listings of instructions, and the loops in them;
* `lanes.py`, `masks.py`, `registers.py`: what is known of addresses and predicates, thread by thread;
* `traffic.py`: from these, the bytes that loads and stores move;
* `code.py`: compile and measure one case; `survey.py`: all of them, on all cores;
* `limits.py`: the table and its rules; `optimizers.py`: bytes of whole optimizer steps; `report.py`: the command.

Needs triton, in a process where the interpreter is off (TRITON_INTERPRET is read when a kernel is defined).
"""
