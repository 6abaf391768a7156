"""Templates and aliases of installed distributions, found as files."""

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from fg_config import ConfigEnvironment, ProjectError, build, distributions
from fg_config.building.resolver import resolve_alias
from fg_config.entry_points import entry_points
from fg_config.parsing.parse import parse_graph


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with templates and aliases on `sys.path`; importing its package is an error."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(name, templates=None, aliases="", entry=None):
        package = site / name
        (package / "templates").mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
        for template, text in (templates or {}).items():
            path = package / "templates" / template
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (package / "aliases.yaml").write_text(aliases)
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        value = entry or f"{name}:templates"
        points = f"[forgather.templates]\n{name} = {value}\n[forgather.aliases]\n{name} = {name}:aliases.yaml\n"
        (info / "entry_points.txt").write_text(points)
        return package

    distributions.template_directories.cache_clear()
    distributions.aliases.cache_clear()
    yield install
    distributions.template_directories.cache_clear()
    distributions.aliases.cache_clear()


def test_templates_are_found_last_and_nothing_is_imported(install, tmp_path):
    package = install("fgtest_one", {"fgtest/a.yaml": "from: distribution", "fgtest/b.yaml": "b: 1"})
    (tmp_path / "own" / "fgtest").mkdir(parents=True)
    (tmp_path / "own" / "fgtest" / "a.yaml").write_text("from: project")
    environment = ConfigEnvironment([tmp_path / "own"])
    assert environment.load("fgtest/a.yaml").graph.root == {"from": "project"}
    assert environment.load("fgtest/b.yaml").graph.root == {"b": 1}
    assert package / "templates" in environment.search_path
    assert "fgtest_one" not in sys.modules


def test_one_name_in_two_distributions_is_an_error(install):
    install("fgtest_one", {"fgtest/a.yaml": "a: 1"})
    install("fgtest_two", {"fgtest/a.yaml": "a: 2"})
    with pytest.raises(ProjectError) as caught:
        ConfigEnvironment().load("fgtest/a.yaml")
    assert "fgtest_one" in caught.value.message
    assert "fgtest_two" in caught.value.message


def test_an_entry_point_names_a_top_level_package(install):
    install("fgtest_one", entry="fgtest_one.deep:templates")
    with pytest.raises(ProjectError, match=r"fgtest_one\.deep:templates"):
        distributions.template_directories()


def test_aliases_rewrite_specs_when_they_are_built(install):
    install("fgtest_one", aliases='"forgather.ml.old:Thing": "collections:OrderedDict"\n')
    assert resolve_alias("forgather.ml.old:Thing") == "collections:OrderedDict"
    assert resolve_alias("forgather.ml.old:Other") == "forgather.ml.old:Other"
    graph = parse_graph("a: !call:forgather.ml.old:Thing {x: 1}\n")
    assert type(build(graph, ["a"])["a"]).__name__ == "OrderedDict"
    assert graph.at("a").spec == "forgather.ml.old:Thing"


def test_contradicting_aliases_are_an_error(install):
    install("fgtest_one", aliases='"old:X": "collections:OrderedDict"\n')
    install("fgtest_two", aliases='"old:X": "collections:Counter"\n')
    with pytest.raises(ProjectError, match="'old:X' differs"):
        distributions.aliases()


def test_a_broken_alias_file_is_named(install):
    package = install("fgtest_one", aliases="- 1\n")
    with pytest.raises(ProjectError, match=str(package / "aliases.yaml")):
        distributions.aliases()


def test_our_own_templates_need_no_other_distribution(tmp_path):
    templates = Path(distributions.__file__).parent / "templates"
    environment = ConfigEnvironment([templates], {"project_dir": str(tmp_path), "workspace_root": str(tmp_path)})
    text = "-- extends 'config_type.yaml'\n[main_body]\nx: &x 1\n\n[main_output]\nmain: *x\n\n"
    graph = environment.load_from_string(text).graph
    assert (graph.at("main"), graph.at("meta.models_dir")) == (1, f"{tmp_path}/output_models")


def test_reading_a_config_imports_nothing_it_names(tmp_path):
    (tmp_path / "bomb.py").write_text("raise SystemExit('imported')\n")
    code = (
        "import sys; from fg_config import ConfigEnvironment\n"
        "graph = ConfigEnvironment().load_from_string('a: !call:bomb:x []').graph\n"
        "graph.to_json(); print(graph.targets)\n"
        "heavy = {'torch', 'transformers', 'numpy', 'bomb'} & set(sys.modules); assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("('a',)\n", 0), done.stderr


@pytest.mark.parametrize("group", [distributions.TEMPLATES, distributions.ALIASES, "console_scripts", "pytest11"])
def test_entry_points_are_those_of_the_standard_library(install, group):
    install("fgtest_one")
    known = [(point.dist.name, point.value) for point in metadata.entry_points(group=group) if point.dist]
    assert sorted(entry_points(group)) == sorted(known)
    assert known


def test_entry_points_of_an_archive_are_found(install, tmp_path, monkeypatch):
    archive = tmp_path / "fgtest_zip.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("fgtest_zip-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: fgtest-zip\nVersion: 1.0\n")
        stream.writestr("fgtest_zip-1.0.dist-info/entry_points.txt", "[forgather.templates]\nz = fgtest_zip:t\n")
    monkeypatch.syspath_prepend(archive)
    assert ("fgtest-zip", "fgtest_zip:t") in entry_points(distributions.TEMPLATES)


def test_of_a_distribution_that_is_installed_twice_the_first_counts(install, tmp_path, monkeypatch):
    install("fgtest_one", entry="fgtest_one:far")
    near = tmp_path / "near" / "fgtest_one-2.0.dist-info"
    near.mkdir(parents=True)
    (near / "METADATA").write_text("Metadata-Version: 2.1\nName: fgtest_one\nVersion: 2.0\n")
    (near / "entry_points.txt").write_text("[other]\nx = y:z\n[forgather.templates]\n# why\nx = fgtest_one:near\n")
    monkeypatch.syspath_prepend(near.parent)
    found = [point.value for point in entry_points(distributions.TEMPLATES) if point.distribution == "fgtest_one"]
    assert found == ["fgtest_one:near"]
