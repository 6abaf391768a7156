"""What building a config may import and call.

The check looks at the object that a spec resolves to, not only at the spec: `logging:os.system` is `posix.system`.
It keeps a config, which is text, from reaching the shell, the import system or a pickle by name. It is no sandbox: the
Python files of a project, and a library that a config may call, do what they were written to do.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from fg_config.building.file_modules import is_file_module
from fg_config.building.local_modules import is_below, local_file
from fg_config.building.origins import base_names, is_named, names_of
from fg_config.building.rules import deciding_rule, default_rules, public_name, read_rules, rule_name, rules
from fg_config.errors import PolicyError
from fg_config.nodes import Span
from fg_config.paths import config_dir

POLICY_FILE: Final = "policy.yaml"
_REMOTE_SOURCES: Final = ("pretrained_model_name_or_path", "model", "path", "repo_or_dir")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a policy says about a name, and why."""

    word: Literal["allowed", "denied", "unknown"]
    reason: str
    code: str = "FG0450"

    @property
    def allowed(self) -> bool:
        """Whether the name may be built."""
        return self.word == "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPolicy:
    """Which names a config may build, and below which directories Python files are the project's own.

    `rules` says of a dotted name whether it is allowed; the longest rule that begins a name decides. Modules and
    files below `roots` are allowed. With `trusted` everything is.
    """

    rules: Mapping[str, bool] = field(default_factory=dict)
    roots: tuple[Path, ...] = ()
    trusted: bool = False

    @classmethod
    def default(cls) -> ImportPolicy:
        """The libraries of this field and standard modules that compute.

        No processes, no sockets, no import machinery, no unpickling, no evaluation of text.
        """
        return cls(rules=default_rules())

    @classmethod
    def unrestricted(cls) -> ImportPolicy:
        """Everything is allowed; for configs that you would also run as a program."""
        return cls(trusted=True)

    def with_roots(self, *directories: Path) -> ImportPolicy:
        """The same policy with more directories whose files are allowed."""
        return replace(self, roots=tuple(dict.fromkeys([*self.roots, *(each.resolve() for each in directories)])))

    def with_rules(self, *, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> ImportPolicy:
        """The same policy with more rules, which replace those of the same name; `deny` has the last word."""
        return replace(self, rules={**self.rules, **rules(allow, deny)})

    def with_file(self, path: Path) -> ImportPolicy:
        """The same policy with the rules of a policy file. Raises `ConfigError` for mistakes in it."""
        return replace(self, rules={**self.rules, **read_rules(path)})

    def to_json(self) -> dict[str, Any]:
        """The policy as JSON values, for a process that builds on behalf of this one."""
        return {"rules": dict(self.rules), "roots": [str(root) for root in self.roots], "trusted": self.trusted}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImportPolicy:
        """The inverse of `to_json`."""
        return cls(rules=data["rules"], roots=tuple(Path(root) for root in data["roots"]), trusted=data["trusted"])

    # --- judging: nothing is imported -------------------------------------------------------------------------------

    def judge(self, spec: str, directory: Path | None = None) -> Verdict:
        """What the policy says about a spec, by its written name. Relative files are relative to `directory`."""
        module, colon, symbol = spec.rpartition(":")
        if self.trusted:
            return Verdict(word="allowed", reason="trusted")
        if colon and module.endswith(".py"):
            verdict = self.judge_file((directory or Path.cwd()) / Path(module).expanduser())
            private = _first(symbol, "__")
        else:
            name = _dotted(spec)
            verdict = self.judge_name(name)
            private = _first(name.removeprefix(deciding_rule(self.rules, name) or module), "_")
        if verdict.allowed and private is not None:
            reason = f"{private!r} is private, which configs cannot name"
            return Verdict(word="denied", reason=reason, code="FG0453")
        return verdict

    def judge_name(self, name: str) -> Verdict:
        """What the policy says about a dotted name."""
        public = public_name(name)
        rule = deciding_rule(self.rules, public)
        if rule is not None:
            word = "allowed" if self.rules[rule] else "denied"
            return Verdict(word=word, reason=f"{rule} is {word}")
        file = local_file(public.partition(".")[0], self.roots)
        if file is not None:
            return Verdict(word="allowed", reason=f"of the project: {file}")
        return Verdict(word="unknown", reason=f"{public.partition('.')[0]!r} is on no list", code="FG0451")

    def judge_file(self, path: Path) -> Verdict:
        """What the policy says about a Python file, or about a directory that such files are imported from."""
        if self.trusted or is_below(path, self.roots):
            return Verdict(word="allowed", reason="of the project")
        where = " or ".join(map(str, self.roots)) or "any project"
        return Verdict(word="denied", reason=f"{path.resolve()} is not below {where}", code="FG0452")

    # --- refusing ---------------------------------------------------------------------------------------------------

    def check_spec(
        self, spec: str, span: Span | None = None, directory: Path | None = None, searchpath: Iterable[Path] = ()
    ) -> None:
        """Refuse by the written name, before anything is imported. Raises `PolicyError`.

        `searchpath` are the directories that a file named by `spec` may import siblings from.
        """
        for verdict in (self.judge(spec, directory), *map(self.judge_file, searchpath)):
            if not verdict.allowed:
                raise self._refusal(spec, verdict, span, _dotted(spec))

    def check_object(self, spec: str, found: object, span: Span | None = None) -> None:
        """Refuse by what the spec turned out to be. Raises `PolicyError`.

        What a file of the project imports from an unknown library is the business of that file, and the file itself
        was checked when it was named.
        """
        own = spec.rpartition(":")[0].endswith(".py")
        for name in names_of(found):
            if not (own and self.judge_name(name).word == "unknown") and not is_file_module(name):
                self._check_name(spec, name, span)
        self._check_bases(spec, found, span)

    def check_result(self, spec: str, value: object, span: Span | None = None) -> None:
        """Refuse what a config got hold of: a module or code that is denied, also as an item of a container.

        Raises `PolicyError`.
        """
        if not self.trusted:
            for each in filter(is_named, _with_items(value)):
                self._check_code(spec, each, span)

    def _check_code(self, spec: str, value: object, span: Span | None) -> None:
        if isinstance(value, ModuleType):
            reason = f"it returned the module {value.__name__!r}"
            raise self._refusal(spec, Verdict(word="denied", reason=reason), span, value.__name__)
        for name in names_of(value):
            if self.judge_name(name).word == "denied":
                self._check_name(spec, name, span)
        self._check_bases(spec, value, span)

    def check_arguments(
        self, spec: str, args: Iterable[Any], keywords: Mapping[str, Any], span: Span | None = None
    ) -> None:
        """Refuse `trust_remote_code` for what is not a directory of the project. Raises `PolicyError`."""
        if self.trusted or not keywords.get("trust_remote_code"):
            return
        sources = [keywords[name] for name in _REMOTE_SOURCES if name in keywords] or list(args)[:1]
        local = [Path(str(source)) for source in sources]
        if not (local and all(path.is_dir() and is_below(path, self.roots) for path in local)):
            reason = (
                f"trust_remote_code runs the Python files that come with {sources[0] if sources else 'the model'!r}"
            )
            raise self._refusal(spec, Verdict(word="denied", reason=reason, code="FG0455"), span)

    def _check_bases(self, spec: str, found: object, span: Span | None) -> None:
        for name in base_names(found):
            if self.judge_name(name).word == "denied":
                self._check_name(spec, name, span)

    def _check_name(self, spec: str, name: str, span: Span | None) -> None:
        verdict = Verdict(word="allowed", reason="trusted") if self.trusted else self.judge_name(name)
        if not verdict.allowed:
            raise self._refusal(spec, verdict, span, public_name(name))

    def _refusal(self, spec: str, verdict: Verdict, span: Span | None, name: str | None = None) -> PolicyError:
        """`name` is what the spec turned out to be, where that is a name one can allow."""
        really = "" if name is None or name == _dotted(spec) else f", which is {name}"
        message = f"the import policy does not let a config use {spec!r}{really}: {verdict.reason}"
        return PolicyError(message, code=verdict.code, span=span, help=self._way_out(verdict, name))

    def _way_out(self, verdict: Verdict, name: str | None) -> str:
        trusted = shlex.quote(str(self.roots[-1])) if self.roots else "DIR"
        trust = f"`forgather trust {trusted}`, once, if you trust all of the project"
        if name is None or verdict.code in ("FG0452", "FG0453"):
            return trust
        if verdict.word == "denied":  # there are few reasons to let text do this, and a reader should think first
            return f"it is denied on purpose; {trust}, or --allow {name} for one command"
        allowed = name.partition(".")[0]
        return f"--allow {allowed} for one command, `allow: [{allowed}]` in {config_dir() / POLICY_FILE}, or {trust}"


def _dotted(spec: str) -> str:
    """The public name that a spec writes."""
    return rule_name(spec) if ":" in spec else f"builtins.{spec}"


def _first(name: str, beginning: str) -> str | None:
    """The first part of a dotted name that begins so."""
    return next((part for part in name.split(".") if part.startswith(beginning)), None)


def _with_items(value: object) -> Iterator[object]:
    """A value and, when it is a plain container, what it holds: a tuple of functions is as good as the functions."""
    yield value
    if type(value) is dict:
        yield from value.values()
    elif type(value) in (list, tuple, set, frozenset):
        assert isinstance(value, Iterable)
        yield from value


_in_force: ContextVar[ImportPolicy | None] = ContextVar("fg_config_policy", default=None)
_directory: ContextVar[Path | None] = ContextVar("fg_config_directory", default=None)


@contextmanager
def in_force(policy: ImportPolicy, directory: Path | None = None) -> Iterator[None]:
    """Builds that begin inside inherit `policy`, and other projects are relative to `directory`."""
    token, place = _in_force.set(policy), _directory.set(directory)
    try:
        yield
    finally:
        _in_force.reset(token)
        _directory.reset(place)


def policy_in_force() -> ImportPolicy | None:
    """The policy of the build that is running; None outside of a build."""
    return _in_force.get()


def directory_in_force() -> Path | None:
    """The directory of the config that is being built; None outside of a build."""
    return _directory.get()


def chosen_policy(given: ImportPolicy | None, directory: Path | None) -> ImportPolicy:
    """`given`, else the policy of the build that is running, else the default one.

    A policy without directories of its own holds for files below `directory` (default: the working directory).
    """
    policy = given or _in_force.get() or ImportPolicy.default()
    return policy if policy.roots or policy.trusted else policy.with_roots(directory or Path.cwd())
