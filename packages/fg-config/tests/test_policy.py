"""The import policy: rules and their names, what an object really is, and what a refusal says."""

from __future__ import annotations

import functools
import logging
import os
import pathlib
import random
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_config import GraphError, ImportPolicy, PolicyError, ProjectError, resolve
from fg_config.building.origins import base_names, names_of
from fg_config.building.rules import deciding_rule, default_rules, public_name, read_rules

DEFAULT = ImportPolicy.default()


class Shell(subprocess.Popen):
    """A class of a project whose base is denied."""


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (os.system, ["posix.system"]),
        (os.path.join, ["posixpath.join"]),
        (open, ["io.open"]),
        (len, ["builtins.len"]),
        (dict.fromkeys, ["builtins.dict.fromkeys"]),
        ("x".join, ["builtins.str.join"]),
        (random.sample, ["random.Random.sample", "random.Random"]),
        (datetime.now, ["datetime.datetime.now"]),
        (pathlib.Path("x").write_text, ["pathlib.Path.write_text", "pathlib.PosixPath"]),
        (pathlib.Path.write_text, ["pathlib.Path.write_text"]),
        (str.upper, ["builtins.str.upper"]),
        (logging, ["logging"]),
        (random.Random(), ["random.Random"]),
        (functools.partial(os.system, print), ["functools.partial", "posix.system", "builtins.print"]),
        (functools.lru_cache(os.system), ["posix.system", "posix.system"]),
    ],
)
def test_what_an_object_really_is(found: object, names: list[str]) -> None:
    assert list(names_of(found)) == names


def test_the_bases_of_a_class_are_names_too() -> None:
    assert list(base_names(Shell)) == ["subprocess.Popen"]
    assert not list(base_names(Shell.__init__))


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("posix.system", "os.system"),
        ("posixpath.join", "os.path.join"),
        ("_io.open", "io.open"),
        ("_pickle.loads", "pickle.loads"),
        ("_frozen_importlib._gcd_import", "importlib._gcd_import"),
        ("pathlib._local.PosixPath.write_text", "pathlib.Path.write_text"),
        ("_some_library.x", "_some_library.x"),
        ("torch._C._nn.gelu", "torch._C._nn.gelu"),
    ],
)
def test_rules_speak_of_public_names(name: str, public: str) -> None:
    assert public_name(name) == public


@given(rules=st.dictionaries(st.text("ab.", min_size=1, max_size=6), st.booleans()), name=st.text("ab.", max_size=9))
def test_the_longest_rule_that_begins_a_name_decides(rules: dict[str, bool], name: str) -> None:
    begins = [rule for rule in rules if name == rule or name.startswith(f"{rule}.")]
    assert deciding_rule(rules, name) == max(begins, key=len, default=None)


def test_the_default_rules_are_the_ones_of_the_file() -> None:
    rules = default_rules()
    assert rules["torch"] and not rules["torch.hub"] and not rules["builtins"] and rules["builtins.len"]
    text = Path(resolve.__code__.co_filename).with_name("default_policy.yaml")
    assert read_rules(text) == rules


# --- judging ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("math:sqrt", "allowed"),
        ("os.path:join", "allowed"),
        ("os:getcwd", "denied"),
        ("torch.nn:Linear", "allowed"),
        ("torch:load", "denied"),
        ("torch.hub:load", "denied"),
        ("torchvision.models:resnet18", "allowed"),
        ("torch_something:f", "unknown"),
        ("wandb:init", "unknown"),
        ("len", "allowed"),
        ("eval", "denied"),
        ("getitem", "allowed"),
        ("collections:_sys.exit", "denied"),
        ("torch._C:_nn.gelu", "denied"),
        ("object.__subclasses__", "denied"),
        ("fg_models:construct_model", "allowed"),
        ("fg_config:from_project", "allowed"),
        ("fg_config:build", "denied"),
    ],
)
def test_the_word_of_the_default_policy_about_a_spec(spec: str, word: str) -> None:
    assert DEFAULT.judge(spec).word == word


def test_rules_of_the_user_go_before_the_default_ones() -> None:
    assert DEFAULT.with_rules(allow=["wandb"]).judge("wandb:init").allowed
    assert DEFAULT.with_rules(allow=["os"]).judge("posix:getcwd").allowed
    assert DEFAULT.with_rules(allow=["torch"]).judge("torch:load").word == "denied"
    assert DEFAULT.with_rules(allow=["torch:load"]).judge("torch:load").allowed
    assert DEFAULT.with_rules(deny=["math"]).judge("math:sqrt").word == "denied"
    assert DEFAULT.with_rules(allow=["math"], deny=["math"]).judge("math:sqrt").word == "denied"
    assert DEFAULT.with_rules(allow=["torch._C"]).judge("torch._C:Generator").allowed
    assert resolve("os:getcwd", policy=DEFAULT.with_rules(allow=["os.getcwd"])) is os.getcwd


def test_a_module_below_the_project_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_only.py").write_text("def f(): return 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("mine_only:f", directory=tmp_path)() == 3
    with pytest.raises(PolicyError, match="on no list") as caught:
        resolve("mine_only:f", directory=tmp_path.parent / "elsewhere")
    assert caught.value.code == "FG0451"


def test_an_installed_module_below_the_project_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / ".venv" / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "installed_there.py").write_text("def f(): return 3\n")
    monkeypatch.syspath_prepend(library)
    with pytest.raises(PolicyError, match="on no list"):
        resolve("installed_there:f", directory=tmp_path)


def test_what_is_misspelt_is_said_before_what_is_refused() -> None:
    with pytest.raises(GraphError, match="no module named 'wandbb'"):
        resolve("wandbb:init")
    with pytest.raises(GraphError, match="is no builtin"):
        resolve("evall")


def test_a_refusal_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    with pytest.raises(PolicyError) as caught:
        resolve("yaml:safe_load", directory=tmp_path)
    help = caught.value.help
    assert help is not None
    assert "--allow yaml" in help
    assert f"`allow: [yaml]` in {tmp_path}/user/policy.yaml" in help
    assert f"`forgather trust {tmp_path}`" in help


def test_what_is_denied_is_not_to_be_allowed_lightly(tmp_path: Path) -> None:
    folder = tmp_path / "my lab"
    folder.mkdir()
    with pytest.raises(PolicyError) as caught:
        resolve("subprocess:run", directory=folder)
    assert caught.value.help == (
        f"it is denied on purpose; `forgather trust '{folder}'`, once, if you trust all of the project, or --allow "
        "subprocess.run for one command"
    )


def test_a_policy_as_json() -> None:
    policy = DEFAULT.with_rules(allow=["wandb"]).with_roots(Path("/tmp"))
    assert ImportPolicy.from_json(policy.to_json()) == policy
    assert ImportPolicy.from_json(ImportPolicy.unrestricted().to_json()).trusted


# --- results ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [os.system, eval, os, subprocess.Popen, Shell, functools.partial(exec), [len, eval], {"m": os}]
)
def test_a_result_that_is_denied_code_is_refused(value: object) -> None:
    with pytest.raises(PolicyError):
        DEFAULT.check_result("x", value)
    ImportPolicy.unrestricted().check_result("x", value)


@pytest.mark.parametrize("value", [len, int, pytest.fixture, 3, None, random.Random(), Path.cwd, "x".join])
def test_other_results_are_free(value: object) -> None:
    DEFAULT.check_result("x", value)


def test_remote_code_is_for_directories_of_the_project(tmp_path: Path) -> None:
    policy = DEFAULT.with_roots(tmp_path)
    flag = {"trust_remote_code": True}
    policy.check_arguments("x", [str(tmp_path)], flag)
    policy.check_arguments("x", [], {**flag, "pretrained_model_name_or_path": str(tmp_path)})
    policy.check_arguments("x", ["some/model"], {"trust_remote_code": False})
    for args, keywords in ((["some/model"], {}), ([str(tmp_path.parent)], {}), ([], {}), ([], {"model": "some/model"})):
        with pytest.raises(PolicyError, match="trust_remote_code"):
            policy.check_arguments("x", args, {**flag, **keywords})


# --- files --------------------------------------------------------------------------------------------------------


def test_a_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("allow: [wandb, 'mlflow:log']\ndeny: [torch.compile]\n")
    policy = DEFAULT.with_file(path)
    words = [policy.judge(spec).word for spec in ("wandb:init", "mlflow:log", "mlflow:run", "torch:compile")]
    assert words == ["allowed", "allowed", "unknown", "denied"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- wandb\n", "must be a mapping"),
        ("alow: [x]\n", "'alow'"),
        ("allow: wandb\n", "a list"),
        ("allow: [1]\n", "a list"),
    ],
)
def test_a_policy_file_with_mistakes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ProjectError, match=message):
        DEFAULT.with_file(path)
