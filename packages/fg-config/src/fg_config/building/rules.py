"""Rules: dotted names, each allowed or denied; and the policy files that hold them.

The longest rule that begins a name decides about it. So `torch` is allowed, `torch.hub` is not, and a name that no rule
begins is unknown. `default_policy.yaml` beside this file is what holds when the user says nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from fg_config.errors import ProjectError
from fg_config.hints import nearest

_KEYS: Final = ("allow", "deny")
_DEFAULT: Final = Path(__file__).with_name("default_policy.yaml")

# Several modules are written under one name and defined under another.
_PUBLIC_NAMES: Final[Mapping[str, str]] = {
    "posix": "os",
    "nt": "os",
    "posixpath": "os.path",
    "ntpath": "os.path",
    "genericpath": "os.path",
    "_frozen_importlib": "importlib",
    "_frozen_importlib_external": "importlib",
    "_imp": "importlib",
    "_posixsubprocess": "subprocess",
    "_thread": "threading",
    "_blake2": "hashlib",
}


_PATHS: Final = ("PosixPath", "WindowsPath")  # what a `pathlib.Path` really is


@cache
def default_rules() -> Mapping[str, bool]:
    """The rules that every config is built under unless its user says otherwise."""
    return read_rules(_DEFAULT)


def read_rules(path: Path) -> dict[str, bool]:
    """The rules of a policy file: `allow: [names]`, `deny: [names]`. Raises `ConfigError`."""
    from fg_config.parsing.loader import compose, plain_data  # imported here: most users have no such file

    record: Any = plain_data(compose(path.read_text(encoding="utf-8"))) or {}
    if not isinstance(record, dict):
        help = "write `allow: [module]` and `deny: [module]`"
        raise ProjectError(f"{path} must be a mapping", code="FG0634", help=help)
    for key, names in record.items():
        if key not in _KEYS:
            raise ProjectError(f"{path} has the key {key!r}", code="FG0634", help=nearest(str(key), _KEYS, "keys"))
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            help = "a name is a module, or a module and what is in it: torch.hub"
            raise ProjectError(f"{key!r} in {path} must be a list of names", code="FG0634", help=help)
    return rules(record.get("allow", ()), record.get("deny", ()))


def rules(allow: Iterable[str], deny: Iterable[str]) -> dict[str, bool]:
    """Rules from names; of a name in both lists `deny` holds."""
    return {rule_name(name): True for name in allow} | {rule_name(name): False for name in deny}


def rule_name(name: str) -> str:
    """A name as rules have it; `module:Name` may be written too."""
    return public_name(name.replace(":", "."))


def public_name(name: str) -> str:
    """The name that rules use: `posix.system` is `os.system`, `_operator.add` is `operator.add`."""
    head, dot, rest = name.partition(".")
    if head in _PUBLIC_NAMES:
        return _PUBLIC_NAMES[head] + dot + rest
    if head.startswith("_") and head.lstrip("_") in sys.stdlib_module_names:
        return public_name(head.lstrip("_") + dot + rest)
    if head == "pathlib":  # a package with private parts in newer versions of Python
        parts = ("Path" if part in _PATHS else part for part in name.split(".") if part not in ("_local", "_abc"))
        return ".".join(parts)
    return name


def _prefixes(name: str) -> Iterator[str]:
    """`a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def deciding_rule(rules: Mapping[str, bool], name: str) -> str | None:
    """The longest rule that begins a public name; None when none does."""
    return next((prefix for prefix in _prefixes(name) if prefix in rules), None)
