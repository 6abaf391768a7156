"""From import specs to names in generated source: which import lines a file needs, under which local names."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from fg_config.errors import GraphError
from fg_config.exporting.python_text import Namespace, is_dotted_name
from fg_config.nodes import Call

HELPERS: Final = frozenset({"items", "keys", "values", "getitem", "call", "named_list", "named_tuple", "named_dict"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicImport:
    """A symbol of a file that is not on the import path. Iterates as `(path, symbol, searchpath)`.

    `name` is the local name, which differs from `symbol` when another import took it.
    """

    path: str
    symbol: str
    searchpath: tuple[str, ...]
    name: str

    def __iter__(self) -> Iterator[object]:
        return iter((self.path, self.symbol, self.searchpath))


@dataclass(slots=True)
class Symbols:
    """Collects the imports of one generated file."""

    names: Namespace
    alias: Callable[[str], str] = str
    module_imports: set[str] = field(default_factory=set)
    _imported: dict[tuple[str, str], str] = field(default_factory=dict)
    _dynamic: dict[tuple[str, str, tuple[str, ...]], DynamicImport] = field(default_factory=dict)

    @property
    def imports(self) -> list[tuple[str, str]]:
        """Sorted `(module, symbol)` pairs for `from module import symbol`; a renamed symbol is `X as module_X`."""
        pairs = ((module, symbol, name) for (module, symbol), name in self._imported.items())
        return sorted(
            (module, symbol if symbol == name else f"{symbol} as {name}")
            for module, symbol, name in pairs
            if not (module == "builtins" and symbol == name)
        )

    @property
    def dynamic_imports(self) -> list[DynamicImport]:
        return [self._dynamic[key] for key in sorted(self._dynamic)]

    def of(self, call: Call) -> str:
        """The expression that names what `call.spec` names, dotted symbols included."""
        spec = self.alias(call.spec)
        module, colon, symbol = spec.partition(":")
        path = symbol if colon else spec
        if not is_dotted_name(path) or (colon and not module):
            raise _bad_spec(call)
        if not colon:
            return self._without_module(spec)
        if module.endswith(".py"):
            return self._from_file(call, module, symbol)
        if not is_dotted_name(module.lstrip(".") or "x"):
            raise _bad_spec(call)
        return self.imported(module, symbol)

    def imported(self, module: str, symbol: str) -> str:
        """The local expression of `module:symbol`; only the first part of a dotted symbol is imported."""
        first, dot, rest = symbol.partition(".")
        name = self._imported.get((module, first))
        if name is None:
            name = self.names.claim(first, f"{module.rsplit('.', 1)[-1]}_{first}")
            self._imported[module, first] = name
        return name + dot + rest

    def _without_module(self, spec: str) -> str:
        first = spec.split(".", 1)[0]
        if hasattr(builtins, first):
            return self.imported("builtins", spec)
        if "." in spec:  # `torch.nn.ReLU` without a colon: written as it is
            self.module_imports.add(first)
            self.names.taken.add(first)
        return spec

    def _from_file(self, call: Call, path: str, symbol: str) -> str:
        first, dot, rest = symbol.partition(".")
        key = (path, first, _searchpath(call))
        if key not in self._dynamic:
            name = self.names.claim(first)
            self._dynamic[key] = DynamicImport(path=path, symbol=first, searchpath=key[2], name=name)
        return self._dynamic[key].name + dot + rest


def _searchpath(call: Call) -> tuple[str, ...]:
    folders = call.submodule_searchpath
    if folders is None:
        return ()
    folders = [folders] if isinstance(folders, str) else folders
    if isinstance(folders, (list, tuple)) and all(isinstance(folder, str) for folder in folders):
        return tuple(str(folder) for folder in folders)
    raise GraphError(
        f"submodule_searchpath of {call.spec!r} is not a list of paths, so it cannot stand at the top of a file",
        span=call.span,
    )


def _bad_spec(call: Call) -> GraphError:
    return GraphError(
        f"the import spec {call.spec!r} cannot be written as an import",
        span=call.span,
        help="a spec is `builtin`, `package.module:Symbol`, `.module:Symbol` or `path/file.py:Symbol`",
    )
