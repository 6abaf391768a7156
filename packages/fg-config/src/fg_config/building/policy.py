"""What building a config may import and call.

The check looks at the object that a spec resolves to, not only at the spec: `logging:os.system` is `posix.system`.
It keeps a config from reaching the shell or the import system by name. It is no sandbox: a library that a config may
call can itself run anything it is told to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from fg_config.errors import PolicyError
from fg_config.nodes import Span

_DENIED_MODULES: Final = frozenset(
    [
        *("os", "posix", "nt", "subprocess", "_posixsubprocess", "pty", "multiprocessing"),
        *("sys", "importlib", "_imp", "_frozen_importlib", "_frozen_importlib_external", "imp", "runpy"),
        *("code", "codeop", "ctypes", "_ctypes", "cffi"),
        *("socket", "_socket", "shutil"),
        *("pickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve"),
    ]
)
_DENIED_BUILTINS: Final = frozenset(
    [
        "eval",
        "exec",
        "compile",
        "__import__",
        "open",
        "input",
        "breakpoint",
        "globals",
        "locals",
        "vars",
        "exit",
        "quit",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPolicy:
    """Denied top-level modules and denied builtins. Everything else is allowed."""

    denied_modules: frozenset[str] = frozenset()
    denied_builtins: frozenset[str] = frozenset()

    @classmethod
    def default(cls) -> ImportPolicy:
        """No processes, no sockets, no import machinery, no unpickling, no evaluation of text."""
        return cls(denied_modules=_DENIED_MODULES, denied_builtins=_DENIED_BUILTINS)

    @classmethod
    def unrestricted(cls) -> ImportPolicy:
        """Everything is allowed; for configs that you would also run as a program."""
        return cls()

    def check_spec(self, spec: str, span: Span | None = None) -> None:
        """Refuse by the written name, before anything is imported. Raises `PolicyError`."""
        module, colon, _ = spec.partition(":")
        if colon and _root(module) in self.denied_modules and not _is_harmless(module):
            raise self._refusal(spec, module, span)
        if not colon and spec.split(".")[0] in self.denied_builtins:
            raise self._refusal(spec, f"builtins.{spec}", span)

    def check_object(self, spec: str, found: object, span: Span | None = None) -> None:
        """Refuse by what the spec turned out to be. Raises `PolicyError`."""
        module, name = _origin(found)
        builtin = module in ("builtins", "io", "_io") and name.split(".")[0] in self.denied_builtins
        if builtin or _root(module) in self.denied_modules:
            raise self._refusal(spec, f"{module}.{name}", span)

    def _refusal(self, spec: str, found: str, span: Span | None) -> PolicyError:
        return PolicyError(
            f"{spec!r} is {found}, which the import policy does not let a config call",
            span=span,
            help="use a function of your own project, or build with policy=ImportPolicy.unrestricted() if you trust it",
        )


def _root(module: str) -> str:
    return module.split(".")[0]


def _origin(found: object) -> tuple[str, str]:
    """Module and qualified name of a callable, of the class of an instance, or of a module."""
    named = found if hasattr(found, "__qualname__") or isinstance(found, ModuleType) else type(found)
    owner = getattr(named, "__self__", None)
    module = getattr(named, "__module__", None) or getattr(type(owner) if owner is not None else None, "__module__", "")
    if isinstance(named, ModuleType):
        module = named.__name__
    return str(module), str(getattr(named, "__qualname__", ""))


def _is_harmless(module: str) -> bool:
    """`os.path` only joins and splits names; `code.py` is a file of the project, not the module `code`."""
    return module == "os.path" or module.endswith(".py")


_in_force: ContextVar[ImportPolicy | None] = ContextVar("fg_config_policy", default=None)


@contextmanager
def in_force(policy: ImportPolicy) -> Iterator[None]:
    """Builds that begin inside inherit `policy`."""
    token = _in_force.set(policy)
    try:
        yield
    finally:
        _in_force.reset(token)


def current_policy() -> ImportPolicy:
    """The policy of the build that is running, else the default; configs built inside a build inherit it."""
    return _in_force.get() or ImportPolicy.default()
