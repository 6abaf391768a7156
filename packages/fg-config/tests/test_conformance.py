"""The rules of the language that only show in the rendered whole: one row, one rule."""

import time
from datetime import UTC, datetime
from importlib import metadata

import pytest

from fg_config import ConfigEnvironment, TemplateError
from fg_config.rendering.names import template_globals
from fg_config.rendering.preprocess import preprocess

PARENT = "a: 1\n[body]\nb: 2\n\n[tail]\nz: 9\n\n"


@pytest.fixture
def environment():
    environment = ConfigEnvironment()
    environment.add_template("parent", PARENT)
    environment.add_template("part", "i: 1\n[inner]\nj: 2\n\n")
    environment.add_template("macros", "-- macro twice(x)\n{{ x }}{{ x }}\n-- endmacro\n")
    environment.add_template("root", "-- set ns = namespace(k=1)\n[head]\n\n[body]\nk: {{ ns.k }}\n\n")
    return environment


# --- line pass: blind to what it stands in -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: |\n  -- item", "x: |\n{% item %}"),
        ("x: |\n  >> quote", "x: |\n{% quote -%}"),
        ("{% raw %}\n== y\n{% endraw %}", "{% raw %}\n{{ y }}\n{% endraw %}"),
        ("'-- x'", "'-- x'"),
        ("a: b -- c", "a: b -- c"),
        ("--  set x = 1", "{%  set x = 1 %}"),
        ("=>\tx", "{{ x|trim('\\n')}}"),
        ("a: 1 ### why", "a: 1"),
        ("## -- not a statement", "{#  -- not a statement #}"),
    ],
)
def test_line_pass(text, expected):
    assert preprocess(text) == expected


# --- block pass --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a flow list alone on a line is a header
        ("x:\n    [foo]\n", "x:\n{% block foo %}{{'\\n'}}{% endblock foo +%}\n"),
        # a tab counts one
        (
            "[a]\n\t[b]\n  [c]\n",
            "{% block a %}\n{% block b %}\n{% block c %}"
            "{{'\\n'}}{% endblock c +%}{{'\\n'}}{% endblock b +%}{{'\\n'}}{% endblock a +%}\n",
        ),
        # content never closes a block
        (
            "    [a]\nx: 1\n    [b]\n",
            "{% block a %}\nx: 1{{'\\n'}}{% endblock a +%}\n{% block b %}{{'\\n'}}{% endblock b +%}\n",
        ),
        # every closing on one line brings its newline
        (
            "[a]\n [b]\n\n[c]\n",
            "{% block a %}\n{% block b %}\n{% endblock b +%}{{'\\n'}}{% endblock a +%}\n"
            "{% block c %}{{'\\n'}}{% endblock c +%}\n",
        ),
        # a trimmed block closes its filter
        (
            "[a!]\nx: 1\n[b]",
            "{% filter trim %}{% block a %}\nx: 1{{'\\n'}}{% endblock a +%}{% endfilter %}\n"
            "{% block b %}{{'\\n'}}{% endblock b +%}",
        ),
    ],
)
def test_block_pass(text, expected):
    assert preprocess(text) == expected


# --- Jinja2 as it is set up --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("[x!]\na: 1\n\n[y]\nb: 2\n", "a: 1b: 2\n"),  # the trimmed block swallows the newline behind it …
        ("[x!]\na: 1\n\n\n[y]\nb: 2\n", "a: 1b: 2\n"),  # … however many blank lines are inside the block
        ("x: 1\n\n<< set q = 1\n\ny: 2", "x: 1\ny: 2"),
        ("x: 1\n>> set q = 1\n\n\ny: 2", "x: 1\ny: 2"),
        ("=> '\\n\\nx: 1\\n'", "x: 1"),
        ("-- for i in [1, 2]:\nx{{ i }}: 1\n-- endfor", "x1: 1\nx2: 1\n"),
        ("a: {{ '<&>' }}", "a: <&>"),
        ("{# a comment #}\na: 1", "a: 1"),
        ("a: 1 # {{ 1 + 1 }}", "a: 1 # 2"),
        ("a: 0\n-- include 'part'\n\nb: 2", "a: 0\ni: 1\nj: 2\n\nb: 2"),
        ("-- from 'macros' import twice\na: {{ twice(1) }}", "a: 11\n"),
        ("-- extends 'par' ~ 'ent'\n[body]\nb: 3\n\n", "a: 1\nb: 3\n\nz: 9\n"),
        ("-- extends 'parent'\n[body]\nb: 3\n    == super()\n\n", "a: 1\nb: 3\nb: 2\n\n\nz: 9\n"),
        ("-- extends 'parent'\n-- set v = 5\n[body]\nb: {{ v }}\n\n", "a: 1\nb: 5\n\nz: 9\n"),
        ("-- extends 'root'\n[head]\n-- set ns.k = 2\n\n", "\nk: 2\n"),
        # blocks of an included template are not the includer's to override
        ("-- include 'part'\n\n[outer]\nj: 3\n\n", "i: 1\nj: 2\n\nj: 3\n"),
    ],
)
def test_rendering(environment, template, rendered):
    assert environment.preprocess_from_string(template) == rendered


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("-- do x.append(1)", "unknown statement 'do'"),
        ("-- for i in [1]\n-- break\n-- endfor", "unknown statement 'break'"),
        ("-- ", "tag name expected"),
        ("[a]\nx: 1\n[a]\ny: 1", "block 'a' defined twice"),
        ("-- extends 'root'\n-- set ns.k = 2\n", "set before 'ns' exists"),
        ("-- extends 'required'\n", "block 'x' is required"),
    ],
)
def test_what_cannot_be_rendered(environment, template, message):
    environment.add_template("required", "-- block x required\n-- endblock\n")
    with pytest.raises(TemplateError) as caught:
        environment.preprocess_from_string(template)
    assert message.lower() in caught.value.message.lower()
    assert caught.value.span is not None


# --- sub-templates -----------------------------------------------------------------------------------------------


def test_a_label_wins_over_a_file_of_its_name(tmp_path):
    (tmp_path / "part.yaml").write_text("x: file\n")
    (tmp_path / "c.yaml").write_text("-- include 'part.yaml'\n\n#--- part.yaml ---\nx: label\n")
    assert ConfigEnvironment(tmp_path).load("c.yaml").graph.root == {"x": "label"}


def test_a_label_is_known_once_its_file_was_loaded(tmp_path):
    (tmp_path / "base.yaml").write_text("[body]\n\n#--- part ---\nx: 1\n")
    (tmp_path / "early.yaml").write_text("-- include 'part'\n\n-- include 'base.yaml'\n")
    (tmp_path / "late.yaml").write_text("-- extends 'base.yaml'\n[body]\n-- include 'part'\n\n")
    environment = ConfigEnvironment(tmp_path)
    assert environment.load("late.yaml").graph.root == {"x": 1}
    with pytest.raises(TemplateError, match="'part' not found"):
        environment.load("early.yaml")


def test_the_first_directory_wins_and_missing_ones_are_dropped(tmp_path):
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(f"from: {name}\n")
    places = [tmp_path / name for name in ("missing", "near", "far")]
    assert ConfigEnvironment(places).preprocess("x.yaml") == "from: near"


# --- names -------------------------------------------------------------------------------------------------------

NAMES = """
isotime utcisotime filetime utcfiletime now utcnow joinpath normpath abspath relpath dirname basename splitext repr
modname_from_path user_home_dir getcwd forgather_config_dir user_data_dir user_cache_dir user_config_dir site_data_dir
site_config_dir hostname uname versions
"""


@pytest.fixture
def utc(monkeypatch):
    """The local clock shows UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_names_of_the_language():
    assert set(template_globals()) == set(NAMES.split())


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("isotime()", "2024-05-06T07:08:09"),
        ("utcisotime()", "2024-05-06T07:08:09"),
        ("filetime()", "2024-05-06T07-08-09"),
        ("utcfiletime()", "2024-05-06T07-08-09"),
        ("now()", "2024-05-06 07:08:09.000123"),
        ("utcnow()", "2024-05-06 07:08:09.000123"),
        ("joinpath('/a', 'b', 'c')", "/a/b/c"),
        ("normpath('/a/./b/../c')", "/a/c"),
        ("abspath('/a/../b')", "/b"),
        ("relpath('/a/b', '/a/c')", "../b"),
        ("dirname('/a/b.c')", "/a"),
        ("basename('/a/b.c')", "b.c"),
        ("splitext('/a/b.c')[1]", ".c"),
        ("repr('a')", "'a'"),
        ("modname_from_path('/a/b.c.py')", "b.c"),
        ("user_home_dir()", "HOME"),
        ("getcwd()", "HERE"),
        ("forgather_config_dir()", "HOME/config"),
        ("user_data_dir('app')", "HOME/data/app"),
        ("user_cache_dir('app')", "HOME/cache/app"),
        ("user_config_dir('app')", "HOME/.config/app"),
        ("site_config_dir('app').endswith('/app')", "True"),
        ("site_data_dir('app').endswith('/app')", "True"),
        ("hostname == uname.node", "True"),
        ("versions | join(' ')", "python torch transformers accelerate"),
        ("versions['torch'] is defined", "True"),
    ],
)
def test_values_of_the_names(expression, text, tmp_path, monkeypatch, utc):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    places = {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": ".config", "HOME": "."}
    for name, place in {**places, "FORGATHER_CONFIG_DIR": "config"}.items():
        monkeypatch.setenv(name, str(tmp_path / place))
    environment = ConfigEnvironment(now=datetime(2024, 5, 6, 7, 8, 9, 123, tzinfo=UTC))
    expected = text.replace("HOME", str(tmp_path)).replace("HERE", str(tmp_path / "here"))
    assert environment.preprocess_from_string(f"{{{{ {expression} }}}}") == expected


def test_a_library_that_is_missing_has_the_version_not_installed(monkeypatch):
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert ConfigEnvironment().preprocess_from_string("{{ versions.accelerate }}") == "not installed"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: {{ learning_rte }}\nb: {{ learning_rate | default(1) }}", "did you mean 'learning_rate'?"),
        ("-- set layers = 4\na: {{ layrs }}", "did you mean 'layers'?"),
        ("a: {{ widht }}", "did you mean 'width'?"),
        ("a: {{ isotme() }}", "did you mean 'isotime' or 'utcisotime'?"),
        ("-- set ns = namespace(lr=1)\na: {{ ns.rl }}", "did you mean 'ns.lr'?"),
        ("a: {{ nothing_like_it }}", "give it a value (a dynamic argument, or `-- set`), or use `| default(...)`"),
    ],
)
def test_an_undefined_name_is_compared_with_what_there_is(text, hint):
    with pytest.raises(TemplateError) as caught:
        ConfigEnvironment().preprocess_from_string(text, width=3)
    assert (caught.value.code, caught.value.help) == ("FG0203", hint)
