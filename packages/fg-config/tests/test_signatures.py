"""Signatures are read by another process; whatever happens to it, there is an answer for every spec."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from fg_config import ImportPolicy
from fg_config.building.signatures import Signature, SignatureFailure, SpecRequest, signatures_of
from fg_config.schema.annotations import accepts, schema_of

MODULE = '''\
"""Things to call."""
from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .sibling import Kind

if TYPE_CHECKING:
    from nowhere import Ghost

print("a module may talk while it is imported")


@dataclass(kw_only=True)
class Options:
    """Options of a thing.

    More about them.
    """

    lr: float
    steps: int | None = None
    mode: Literal["fast", "slow"] = "fast"
    kind: Kind = Kind.RED
    where: Path = Path("here")
    names: list[str] = field(default_factory=list)
    ghost: Ghost | None = None


def old(a, /, b, *rest, c=1, **more):
    """Does little.

    .. deprecated:: 2.0
        Use Options.
    """


not_callable = 3
'''
SIBLING = "import enum\n\n\nclass Kind(str, enum.Enum):\n    RED = 'red'\n    BLUE = 'blue'\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "things.py").write_text(MODULE)
    (tmp_path / "sibling.py").write_text(SIBLING)
    (tmp_path / "raises.py").write_text("raise RuntimeError('no such device')\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "crashes.py").write_text("import signal\nsignal.raise_signal(signal.SIGKILL)\n")
    (tmp_path / "hangs.py").write_text("import threading\nthreading.Event().wait()\n")
    (tmp_path / "lacks.py").write_text("import there_is_no_such_module\n")
    return tmp_path


def read(folder: Path, *specs: str, timeout: float = 60.0) -> dict[str, Signature | SignatureFailure]:
    requests = [SpecRequest(spec=spec, submodule_searchpath=(str(folder),)) for spec in specs]
    return signatures_of(requests, ImportPolicy.default(), folder, timeout)


def test_a_dataclass_tells_names_defaults_and_types(folder: Path) -> None:
    found = read(folder, "things.py:Options")["things.py:Options"]
    assert isinstance(found, Signature)
    parameters = found.by_keyword
    assert list(parameters) == ["lr", "steps", "mode", "kind", "where", "names", "ghost"]
    assert not parameters["lr"].has_default and parameters["lr"].schema == {"type": "number"}
    assert parameters["steps"].has_default and parameters["steps"].default is None
    assert parameters["steps"].schema == {"type": ["integer", "null"]}
    assert parameters["mode"].schema == {"enum": ["fast", "slow"]} and parameters["mode"].default == "fast"
    assert parameters["kind"].schema == {"enum": ["red", "blue"]}
    assert parameters["where"].schema == {"type": "string"}
    assert parameters["names"].schema == {"type": "array", "items": {"type": "string"}}
    assert parameters["ghost"].schema == {} and parameters["ghost"].annotation == "Ghost | None"
    assert (found.summary, found.deprecated, found.line) == ("Options of a thing.", None, 17)
    assert found.file == str(folder / "things.py")


def test_kinds_of_parameters_and_a_deprecation(folder: Path) -> None:
    found = read(folder, "things.py:old")["things.py:old"]
    assert isinstance(found, Signature)
    kinds = {each.name: each.kind for each in found.parameters}
    assert kinds == {
        "a": "positional_only",
        "b": "positional",
        "rest": "var_positional",
        "c": "keyword_only",
        "more": "var_keyword",
    }
    assert (found.any_keyword, found.any_position) == (True, True)
    assert [each.name for each in found.positional] == ["a", "b"]
    assert found.deprecated == "2.0 Use Options."


def test_modules_that_raise_exit_or_crash_fail_alone(folder: Path) -> None:
    specs = ["raises.py:A", "things.py:old", "leaves.py:A", "crashes.py:A", "lacks.py:A", "random:sample"]
    found = read(folder, *specs)
    assert list(found) == specs
    assert isinstance(found["things.py:old"], Signature) and isinstance(found["random:sample"], Signature)
    messages = {spec: answer.message for spec, answer in found.items() if isinstance(answer, SignatureFailure)}
    assert messages == {
        "raises.py:A": "importing it raised RuntimeError: no such device",
        "leaves.py:A": "importing it ended the process with exit code 0",
        "crashes.py:A": "importing it crashed the interpreter (SIGKILL)",
        "lacks.py:A": "importing it raised ModuleNotFoundError: No module named 'there_is_no_such_module'",
    }


def test_a_module_that_hangs_costs_its_time_and_the_rest_says_so(folder: Path) -> None:
    found = read(folder, "random:sample", "hangs.py:A", "things.py:old", timeout=3.0)
    assert isinstance(found["random:sample"], Signature)
    hung, unread = found["hangs.py:A"], found["things.py:old"]
    assert isinstance(hung, SignatureFailure) and hung.kind == "timeout" and "did not end" in hung.message
    assert isinstance(unread, SignatureFailure) and unread.kind == "timeout"


def test_what_cannot_be_called_or_found_or_is_forbidden(folder: Path) -> None:
    found = read(folder, "things.py:not_callable", "things.py:Option", "os:system", "logging:os.system", "dict")
    kinds = {spec: answer.kind for spec, answer in found.items() if isinstance(answer, SignatureFailure)}
    assert kinds == {
        "things.py:not_callable": "opaque",
        "things.py:Option": "missing",
        "os:system": "refused",
        "logging:os.system": "refused",
        "dict": "opaque",
    }


def test_the_asking_process_imports_nothing(folder: Path) -> None:
    (folder / "unseen_module.py").write_text("def f(x): ...\n")
    policy = ImportPolicy.default().with_rules(allow=["sched"])
    found = signatures_of(["unseen_module.py:f", "sched:scheduler"], policy, folder)
    assert all(isinstance(answer, Signature) for answer in found.values())
    assert "sched" not in sys.modules
    assert not [name for name in sys.modules if "unseen_module" in name]


@pytest.mark.parametrize(
    ("annotation", "schema", "good", "bad"),
    [
        (int, {"type": "integer"}, [3, 3.0], [3.5, True, "3", None]),
        (float, {"type": "number"}, [3, 0.5], [True, "1e-3"]),
        (bool, {"type": "boolean"}, [True], [1, "true"]),
        (Optional[str], {"type": ["string", "null"]}, ["a", None], [1]),  # noqa: UP045  # the old spelling too
        (int | Literal["auto"], {"anyOf": [{"type": "integer"}, {"enum": ["auto"]}]}, [1, "auto"], ["autos", None]),
        (Literal[1, "a", None], {"enum": [1, "a", None]}, [1, "a", None], [True, "b"]),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "b"}, []]),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [[1, 2], (3,)], [["a"], 1]),
        (list[Any], {"type": "array"}, [[], ["a", 1]], ["a", {}]),
        (Any, {}, [1, "a", None, []], []),
        (int | Path.__class__, {}, [1, "anything"], []),
    ],
)
def test_annotations_as_schema(annotation: Any, schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    assert schema_of(annotation) == schema
    assert all(accepts(schema, value) for value in good)
    assert not any(accepts(schema, value) for value in bad)


def test_a_fixed_tuple_has_its_length_and_types() -> None:
    schema = schema_of(tuple[float, str])
    assert accepts(schema, [0.5, "a"]) and accepts(schema, (1, "a"))
    assert not accepts(schema, [0.5]) and not accepts(schema, ["a", 0.5])
