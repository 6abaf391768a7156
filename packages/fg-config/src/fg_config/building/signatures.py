"""What callables accept, asked of another process, so that the one that asks imports nothing.

The child resolves each spec under the import policy and answers with one line of JSON. A module that raises, exits,
crashes or hangs while it is imported takes only the child with it: that spec is a failure, and a new child goes on
with the rest.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from fg_config.building.policy import ImportPolicy, chosen_policy

ParameterKind: TypeAlias = Literal["positional_only", "positional", "var_positional", "keyword_only", "var_keyword"]
FailureKind: TypeAlias = Literal["refused", "missing", "failed", "opaque", "timeout"]

_CHILD: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from fg_config.building.signatures_child import main; main()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRequest:
    """An import spec, and the directories that its file may import siblings from."""

    spec: str
    submodule_searchpath: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. `default` is set when it is plain JSON, `default_text` whenever there is one."""

    name: str
    kind: ParameterKind
    has_default: bool = False
    default: Any = None
    default_text: str | None = None
    annotation: str | None = None
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a callable accepts. `deprecated` is the reason when it is; `file` and `line` are where it is defined."""

    spec: str
    parameters: tuple[Parameter, ...]
    deprecated: str | None = None
    summary: str | None = None
    file: str | None = None
    line: int | None = None

    @property
    def by_keyword(self) -> dict[str, Parameter]:
        """The parameters that can be given by keyword."""
        return {each.name: each for each in self.parameters if each.kind in ("positional", "keyword_only")}

    @property
    def positional(self) -> tuple[Parameter, ...]:
        """The parameters that can be given by position, in order, without `*args`."""
        return tuple(each for each in self.parameters if each.kind in ("positional_only", "positional"))

    @property
    def any_keyword(self) -> bool:
        """Whether there is a `**kwargs`."""
        return any(each.kind == "var_keyword" for each in self.parameters)

    @property
    def any_position(self) -> bool:
        """Whether there is a `*args`."""
        return any(each.kind == "var_positional" for each in self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFailure:
    """Why there is no signature.

    `refused` by the policy, `missing` module or name, `failed` while importing, `opaque` (a builtin that does not say
    what it accepts), `timeout`.
    """

    spec: str
    kind: FailureKind
    message: str


def signatures_of(
    specs: Iterable[SpecRequest | str],
    policy: ImportPolicy | None = None,
    directory: Path | None = None,
    timeout: float = 60.0,
) -> dict[str, Signature | SignatureFailure]:
    """The signatures of `specs` by spec, in their order. This process imports nothing that they name.

    `directory` is what relative files are relative to, `timeout` the seconds for everything together. Never raises
    for what a spec does; relative specs (`.module:Name`) are failures like any other that cannot be imported.
    """
    requests = {
        each.spec: each for each in (SpecRequest(spec=each) if isinstance(each, str) else each for each in specs)
    }
    answers: dict[str, Signature | SignatureFailure] = {}
    end = time.monotonic() + timeout
    while open_requests := [each for spec, each in requests.items() if spec not in answers]:
        lines, reason = _ask(open_requests, chosen_policy(policy, directory), directory, end - time.monotonic())
        answers.update((answer.spec, answer) for answer in map(_decode, lines))
        if len(lines) < len(open_requests):
            culprit = open_requests[len(lines)].spec
            answers[culprit] = SignatureFailure(spec=culprit, kind=reason[0], message=reason[1])
    return {spec: answers[spec] for spec in requests}


def _ask(
    requests: Sequence[SpecRequest], policy: ImportPolicy, directory: Path | None, seconds: float
) -> tuple[list[str], tuple[FailureKind, str]]:
    """The answers of one child, and what to say of the first request that it did not answer."""
    if seconds <= 0:
        return [], ("timeout", "not looked at: the time was used up by others")
    order = {
        "directory": str(directory or Path.cwd()),
        "policy": policy.to_json(),
        "requests": [dataclasses.asdict(each) for each in requests],
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        answers, said = process.communicate(json.dumps(order), timeout=seconds)
        return answers.splitlines(), ("failed", _how_it_ended(process.returncode, said))
    except subprocess.TimeoutExpired:
        _kill(process)
        answers, said = process.communicate()
        return answers.splitlines(), ("timeout", f"importing it did not end within {seconds:.0f} s")
    finally:
        if process.poll() is None:  # Ctrl-C: the child is in a session of its own and has not heard it
            _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    """End the child and whatever it started, which would keep the pipes open."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _how_it_ended(code: int, said: str) -> str:
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    if code < 0:
        return f"importing it crashed the interpreter ({signal.Signals(-code).name})"
    if code == 1 and last:
        return f"importing it raised {last}"
    return f"importing it ended the process with exit code {code}"


def _decode(line: str) -> Signature | SignatureFailure:
    data = json.loads(line)
    if "kind" in data:
        return SignatureFailure(**data)
    parameters = tuple(Parameter(**each) for each in data.pop("parameters"))
    return Signature(parameters=parameters, **data)


def requests_of(specs: Iterable[tuple[str, Any]]) -> Iterator[SpecRequest]:
    """Requests for (spec, value of `submodule_searchpath`) pairs; a search path that is not plain text is dropped."""
    for spec, searchpath in specs:
        plain = isinstance(searchpath, (list, tuple)) and all(isinstance(each, str) for each in searchpath)
        yield SpecRequest(spec=spec, submodule_searchpath=tuple(searchpath) if plain else ())
