"""The process that fuzzes: `python -m tools.fuzz.worker CORPUS [libFuzzer options]`; `tools.fuzz` starts it."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import atheris
from atheris.import_hook import instrument_imports


def main() -> None:
    """Instrument the language and hand over to libFuzzer, which never returns."""
    with instrument_imports(include=["fg_config"]):
        import fg_config

        for module in pkgutil.walk_packages(fg_config.__path__, "fg_config."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
        from tools.fuzz.laws import check_laws

    def one_input(data: bytes) -> None:
        check_laws(data.decode("utf-8", errors="replace"))

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
