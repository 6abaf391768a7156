"""Import specs to objects: `module:Symbol`, `file.py:Symbol`, a builtin or one of our helpers."""

from __future__ import annotations

import builtins
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from fg_config import distributions
from fg_config.building.file_modules import is_file_module, load_file
from fg_config.building.helpers import HELPERS
from fg_config.building.policy import ImportPolicy, chosen_policy
from fg_config.errors import GraphError
from fg_config.hints import nearest
from fg_config.nodes import Span

_CODE: Final = "FG0410"


def resolve_alias(spec: str) -> str:
    """The spec that `spec` stands for in the alias tables of the installed distributions, else `spec`."""
    return distributions.aliases().get(spec, spec) if ":" in spec else spec


def resolve(
    spec: str,
    *,
    submodule_searchpath: Sequence[str | Path] = (),
    directory: Path | None = None,
    policy: ImportPolicy | None = None,
    span: Span | None = None,
) -> Any:
    """Import what `spec` names. Relative files are relative to `directory` (default: the working directory).

    `policy` defaults to that of the build that is running, else to the default one for files below `directory`.

    Raises `GraphError` when there is no such thing and `PolicyError` when it is forbidden; an exception that a module
    raises while it is imported passes through with a note.
    """
    policy = chosen_policy(policy, directory)
    base = directory or Path.cwd()
    spec = resolve_alias(spec)
    searchpath = [base / Path(place).expanduser() for place in submodule_searchpath]
    check_form(spec, span)
    policy.check_spec(spec, span, base, searchpath)
    module_name, _, symbol = spec.rpartition(":")
    if module_name:
        found = _attribute(_module(module_name, spec, searchpath, base, span), symbol, spec, span)
    else:
        found = _builtin(spec, span)
    policy.check_object(spec, found, span)
    return found


def check_form(spec: str, span: Span | None = None) -> None:
    """Refuse what cannot be imported, as far as that can be told without importing. Raises `GraphError`."""
    module, colon, symbol = spec.rpartition(":")
    top = module.partition(".")[0]
    if not colon:
        first = spec.partition(".")[0]
        if spec not in HELPERS and not hasattr(builtins, first):
            raise GraphError(f"{spec!r} is no builtin", code=_CODE, span=span, help=_builtin_help(spec))
    elif not symbol or ":" in module.removeprefix(Path(module).drive):
        raise GraphError(f"{spec!r} is no import spec", code=_CODE, span=span, help="write module:Name or file.py:Name")
    elif module.endswith(".py"):
        return
    elif not top:
        help = "relative specs are for graphs that are exported as source; name the module in full"
        raise GraphError(f"{spec!r} cannot be built: it is relative", code=_CODE, span=span, help=help)
    elif top not in sys.modules and find_spec(top) is None:
        raise _missing(spec, top, span)


def _builtin(spec: str, span: Span | None) -> Any:
    first, *rest = spec.split(".")
    if spec in HELPERS:
        return HELPERS[spec]
    found: Any = builtins
    for name in (first, *rest):
        if not hasattr(found, name):
            raise GraphError(f"{spec!r} is no builtin", code=_CODE, span=span, help=_builtin_help(spec))
        found = getattr(found, name)
    return found


def _builtin_help(spec: str) -> str | None:
    module, dot, symbol = spec.rpartition(".")
    if dot:
        return f"write {module}:{symbol}"
    return nearest(spec, [*HELPERS, *dir(builtins)], "builtins")


def _module(name: str, spec: str, searchpath: Sequence[Path], directory: Path, span: Span | None) -> Any:
    if name.endswith(".py"):
        return load_file(directory / Path(name).expanduser(), searchpath, span)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # a module that it imports is missing: that is another mistake, with its own traceback
        raise _missing(spec, error.name, span) from error


def _missing(spec: str, module: str, span: Span | None) -> GraphError:
    message = f"{spec!r} cannot be imported: no module named {module!r}"
    help = "is the package installed in this environment?"
    installed = {*sys.stdlib_module_names, *(found.name for found in pkgutil.iter_modules())}
    return GraphError(message, code=_CODE, span=span, help=nearest(module, installed) or help)


def _attribute(module: Any, symbol: str, spec: str, span: Span | None) -> Any:
    found = module
    for name in symbol.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            message = f"{spec!r} cannot be imported: {_owner(found)!r} has no {name!r}"
            public = [other for other in dir(found) if not other.startswith("_")]
            raise GraphError(message, code=_CODE, span=span, help=nearest(name, public)) from error
    return found


def _owner(found: Any) -> str:
    """What has no such attribute, in an error. The name of a file's module is ours; people know the file."""
    name = getattr(found, "__name__", type(found).__name__)
    return str(found.__file__) if isinstance(found, ModuleType) and is_file_module(name) else name
