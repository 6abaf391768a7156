"""Import specs to objects, and what the import policy refuses."""

import re
import sys
from functools import partial

import pytest

from fg_config import GraphError, ImportPolicy, PolicyError, resolve
from fg_config.building.helpers import HELPERS


@pytest.fixture
def here(tmp_path):
    """Resolve as a config in `tmp_path` would."""
    return partial(resolve, directory=tmp_path)


def test_builtins_and_helpers():
    assert resolve("dict.fromkeys")("ab") == {"a": None, "b": None}
    assert resolve("len") is len
    assert resolve("getitem")({"a": 1}, "a") == 1
    assert list(resolve("items")({"a": 1})) == [("a", 1)]
    assert resolve("call")(max, 1, 2) == 2
    assert resolve("named_dict")({1: 2}, a=3) == {1: 2, "a": 3}
    accessors = {"items", "keys", "values", "getitem", "getattr", "hasattr", "call"}
    assert set(HELPERS) == accessors | {"named_list", "named_tuple", "named_dict"}


def test_modules_and_attribute_paths():
    import collections.abc

    assert resolve("collections.abc:Mapping") is collections.abc.Mapping
    assert resolve("pathlib:Path.joinpath")
    assert resolve("fg_config.building.helpers:getitem") is HELPERS["getitem"]


@pytest.mark.parametrize(
    ("spec", "help"),
    [
        ("torch.nn.ReLU", "write torch.nn:ReLU"),
        ("lenn", "did you mean 'len'?"),
        ("collections:OrderdDict", "did you mean 'OrderedDict'"),
        ("no_such_package.mod:Name", "is the package installed in this environment?"),
        (".mod:Name", "relative specs are for graphs"),
        ("a:b:c", "write module:Name"),
        ("collections:", "write module:Name"),
    ],
)
def test_what_cannot_be_found(spec, help):
    with pytest.raises(GraphError) as caught:
        resolve(spec)
    assert help in caught.value.help


def test_a_module_that_lacks_one_of_its_own_imports_keeps_its_error(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        resolve("needs_more:x", directory=tmp_path)


# --- files --------------------------------------------------------------------------------------------------------


def test_files_with_the_same_base_name_are_different_modules(tmp_path, here):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "json.py").write_text(f"def where(): return {name!r}\n")
    found = [here(f"{tmp_path}/{name}/json.py:where")() for name in ("one", "two")]
    assert found == ["one", "two"]
    assert sys.modules.get("json") is not None
    assert not hasattr(sys.modules["json"], "where")


def test_a_file_is_imported_once_per_content(tmp_path, here):
    path = tmp_path / "m.py"
    path.write_text("class A: value = 1\n")
    first = here(f"{path}:A")
    assert here(f"{path}:A") is first
    path.write_text("class A: value = 22\n")
    assert here(f"{path}:A").value == 22


def test_a_failed_import_leaves_nothing_behind(tmp_path, here):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\nraise OSError('first time')\n")
    known = set(sys.modules)
    with pytest.raises(OSError, match="first time"):
        here(f"{path}:x")
    assert not [name for name in set(sys.modules) - known if "broken" in name]
    with pytest.raises(OSError, match="first time"):
        here(f"{path}:x")


def test_relative_files_belong_to_the_given_directory(tmp_path):
    (tmp_path / "m.py").write_text("def f(): return 3\n")
    assert resolve("m.py:f", directory=tmp_path)() == 3
    with pytest.raises(GraphError, match="cannot read"):
        resolve("m.py:f", directory=tmp_path / "elsewhere")


def test_the_places_of_siblings_are_relative_to_it_too(tmp_path, here, monkeypatch):
    (tmp_path / "bits").mkdir()
    (tmp_path / "bits" / "bit.py").write_text("name = 'bit'\n")
    (tmp_path / "m.py").write_text("from .bit import name\ndef f(): return name\n")
    monkeypatch.chdir(tmp_path.parent)
    assert here("m.py:f", submodule_searchpath=["bits"])() == "bit"


def test_siblings_are_found_in_every_search_directory(tmp_path, here):
    for name in ("bits", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "bits" / "bit.py").write_text("class Bit: pass\n")
    (tmp_path / "out" / "model.py").write_text("from .bit import Bit\nfrom .other import Other\n")
    (tmp_path / "out" / "other.py").write_text("from .bit import Bit\nclass Other(Bit): pass\n")
    searchpath = [tmp_path / "bits", tmp_path / "out"]
    bit, other = (here(f"{tmp_path}/out/model.py:{name}", submodule_searchpath=searchpath) for name in ("Bit", "Other"))
    assert other.__mro__[1] is bit


def test_a_missing_name_is_missing_in_the_file(tmp_path, here):
    (tmp_path / "mine.py").write_text("class Thing:\n    pass\ndef f(): return 3\n")
    with pytest.raises(GraphError, match=f"{re.escape(str(tmp_path / 'mine.py'))}' has no 'ff'") as caught:
        here("mine.py:ff")
    assert "did you mean 'f'?" in caught.value.help
    with pytest.raises(GraphError, match="'Thing' has no 'size'"):
        here("mine.py:Thing.size")


@pytest.mark.parametrize("line", ["from .other import x", "from . import other", "from .other.more import x"])
@pytest.mark.parametrize(("searchpath", "looked"), [([], "it has none"), (["bits"], "looked in {}/bits")])
def test_a_missing_sibling_says_where_it_was_looked_for(tmp_path, here, line, searchpath, looked):
    (tmp_path / "bits").mkdir()
    (tmp_path / "m.py").write_text(f"{line}\ndef f(): return 3\n")
    with pytest.raises(ImportError) as caught:
        here("m.py:f", submodule_searchpath=searchpath)
    (note,) = caught.value.__notes__
    assert note.startswith(f"{tmp_path}/m.py imports siblings from the directories of its `submodule_searchpath`; ")
    assert note.endswith(looked.format(tmp_path))


def test_a_missing_library_is_no_sibling(tmp_path, here):
    (tmp_path / "m.py").write_text("import no_such_dependency\n")
    with pytest.raises(ModuleNotFoundError) as caught:
        here("m.py:f", submodule_searchpath=["bits"])
    assert not hasattr(caught.value, "__notes__")


# --- policy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "os:system",
        "eval",
        "__import__",
        "open",
        "subprocess:run",
        "logging:os.system",
        "io:open",
        "builtins:exec",
        "importlib:import_module",
        "pathlib:os.execv",
        "ctypes:CDLL",
        "pickle:loads",
        "shutil:rmtree",
        "logging:sys.exit",
    ],
)
def test_the_default_policy_refuses(spec):
    with pytest.raises(PolicyError, match="import policy"):
        resolve(spec)


def test_a_refused_module_is_not_even_imported(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "pty", raising=False)
    with pytest.raises(PolicyError):
        resolve("pty:spawn")
    assert "pty" not in sys.modules


def test_the_default_policy_lets_the_rest_pass():
    for spec in ("os.path:join", "math:sqrt", "dict", "getattr", "functools:partial", "pathlib:Path"):
        assert resolve(spec)


def test_an_alias_of_a_project_file_does_not_hide_what_it_imports(tmp_path, here):
    (tmp_path / "m.py").write_text("from os import system as harmless\n")
    with pytest.raises(PolicyError, match=r"os\.system"):
        here(f"{tmp_path}/m.py:harmless")


def test_without_restrictions_everything_resolves():
    import os

    assert resolve("os:system", policy=ImportPolicy.unrestricted()) is os.system
