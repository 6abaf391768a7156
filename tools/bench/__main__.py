"""`hatch run bench [NAME …] [--rounds N]`: run benchmarks and store their records in docs/benchmarks."""

from __future__ import annotations

import argparse
from importlib import import_module

from fg_kernels.measuring.files import as_json
from tools.bench.measure import write_record

BENCHMARKS = {
    "config": "what reading a config costs, beside Hydra",
    "kernels": "optimizers and losses beside their peers",
    "start": "how long the command line takes to start",
    "tls": "what TLS costs, beside clear text and beside uvicorn without our limits",
    "training": "tokens per second of three training loops",
}


def main() -> None:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="hatch run bench", description=__doc__)
    listing = "; ".join(f"{name}: {text}" for name, text in BENCHMARKS.items())
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], default=list(BENCHMARKS), help=listing)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repetitions (default 5)")
    args = parser.parse_args()
    for name in args.names:
        record = import_module(f"tools.bench.{name}").run(args.rounds)
        path = write_record(name, record)
        print(as_json({key: value for key, value in record.items() if key != "rounds"}))
        print(f"stored in {path}")


if __name__ == "__main__":
    main()
