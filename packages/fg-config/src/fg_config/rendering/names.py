"""The functions, filters and facts that every template may use. The clock stands still during one render."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Undefined

from fg_config.paths import config_dir
from fg_config.rendering.marks import unmarked

_FILE_TIME: Final = "%Y-%m-%dT%H-%M-%S"
_LIBRARIES: Final = ("torch", "transformers", "accelerate")
_PLATFORM_DIRECTORIES: Final = (
    "user_data_dir",
    "user_cache_dir",
    "user_config_dir",
    "site_data_dir",
    "site_config_dir",
)


def template_globals(now: datetime | None = None) -> dict[str, Any]:
    """Everything of this module by name. `now` (with a zone) replaces the clock."""
    local = (now or datetime.now(UTC)).astimezone()
    return {**_clock(local), **_path_functions(), **_facts()}


def _clock(local: datetime) -> dict[str, Callable[[], Any]]:
    here, utc = local.replace(tzinfo=None), local.astimezone(UTC).replace(tzinfo=None)
    return {
        "now": lambda: here,
        "utcnow": lambda: utc,
        "isotime": lambda: here.isoformat(timespec="seconds"),
        "utcisotime": lambda: utc.isoformat(timespec="seconds"),
        "filetime": lambda: here.strftime(_FILE_TIME),
        "utcfiletime": lambda: utc.strftime(_FILE_TIME),
    }


def _path_functions() -> dict[str, Callable[..., Any]]:
    functions = {name: getattr(os.path, name) for name in ("abspath", "relpath", "dirname", "basename", "splitext")}
    functions |= {"joinpath": os.path.join, "normpath": os.path.normpath, "modname_from_path": _module_name}
    functions |= {name: _platform_directory(name) for name in _PLATFORM_DIRECTORIES}
    checked = {name: _defined_arguments(function) for name, function in functions.items()}
    return checked | {
        "repr": repr,
        "user_home_dir": lambda: str(Path.home()),
        "getcwd": os.getcwd,
        "forgather_config_dir": lambda: str(config_dir()),
    }


def _facts() -> dict[str, Any]:
    return {"hostname": platform.node(), "uname": platform.uname(), "versions": Versions()}


def _module_name(path: str) -> str:
    return Path(path).stem


def _platform_directory(name: str) -> Callable[..., str]:
    def directory(*args: Any, **kwargs: Any) -> str:
        import platformdirs  # imported here: templates seldom ask

        return str(getattr(platformdirs, name)(*args, **kwargs))

    return directory


def _defined_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, but an undefined argument is reported as the undefined name it is."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, Undefined):
                str(argument)  # a strict undefined raises, naming itself
        return function(*args, **kwargs)

    return checked


class Versions(Mapping[str, str]):
    """Versions of Python and the big libraries, looked up when asked."""

    def __getitem__(self, name: str) -> str:
        from importlib import metadata  # imported here: templates seldom ask

        if name == "python":
            return platform.python_version()
        if name not in _LIBRARIES:
            raise KeyError(name)
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "not installed"

    def __iter__(self) -> Iterator[str]:
        return iter(("python", *_LIBRARIES))

    def __len__(self) -> int:
        return 1 + len(_LIBRARIES)

    def __repr__(self) -> str:
        return repr(dict(self))


_NO_DEFAULT: Final = Undefined(name="default")
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")  # what YAML writes as it is, apart from the words below
_WORDS: Final = frozenset(["yes", "no", "on", "off", "true", "false", "null"])


def to_yaml_text(value: Any, default: Any = _NO_DEFAULT) -> str:
    """The filter `toyaml`: a value as YAML on one line; `default` stands in for an undefined value."""
    if isinstance(value, Undefined):
        if default is _NO_DEFAULT:
            return str(value)  # raises, naming the variable
        value = default
    if value is None:
        return "null"
    if isinstance(value, (bool, int)):
        return str(value)
    if type(value) is str and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    import yaml

    plain = unmarked(value) if isinstance(value, str) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
