"""Rendering: hermetic, mapped back to the templates, with errors and warnings that name the line."""

import logging
from datetime import UTC, datetime

import pytest

from fg_config import ConfigEnvironment, TemplateError, YamlError


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def write(folder):
    def write(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def environment(folder):
    return ConfigEnvironment([folder])


def failure(environment, name, **variables):
    with pytest.raises(TemplateError) as caught:
        environment.preprocess(name, **variables)
    return caught.value


# --- inheritance and sub-templates --------------------------------------------------------------------------------


def test_a_sub_template_extends_another_file(environment, write):
    write("trainer.yaml", "[args]\nseed: 1\n\nend: true\n")
    write(
        "c.yaml",
        "a: 0\n-- include 'mine.trainer'\n\n"
        "#---- mine.trainer ----\n-- extends 'trainer.yaml'\n[args]\n    == super()\nseed: 7\n",
    )
    assert environment.load("c.yaml").graph.root == {"a": 0, "seed": 7, "end": True}


def test_labels_of_one_render_do_not_reach_the_next(environment, write):
    write("a.yaml", "-- include 'part'\n\n#--- part ---\nx: 1\n")
    write("b.yaml", "-- include 'part'\n")
    assert environment.preprocess("a.yaml").strip() == "x: 1"
    error = failure(environment, "b.yaml")
    assert error.message == "template 'part' not found"
    assert (error.span.line, error.snippet) == (1, "-- include 'part'")


def test_the_same_label_in_two_configs_is_two_templates(environment, write):
    for name in ("a", "b"):
        write(f"{name}.yaml", f"-- include 'part'\n\n#--- part ---\nx: {name}\n")
    assert [environment.preprocess(f"{name}.yaml").strip() for name in ("a", "b", "a")] == ["x: a", "x: b", "x: a"]


def test_a_later_label_replaces_an_earlier_one_with_a_warning(environment, write):
    write("base.yaml", "-- include 'part'\n\n#--- part ---\nx: base\n")
    write("c.yaml", "-- include 'base.yaml'\n\n-- include 'part'\n\n#--- part ---\nx: own\n")
    loaded = environment.load("c.yaml")
    assert loaded.pp_config.split() == ["x:", "base", "x:", "base"]
    assert "sub-template 'part' replaces the one in" in loaded.warnings[0].message


def test_strings_are_not_split(environment):
    assert environment.preprocess_from_string("a: 1\n#--- part ---\nb: 2") == "a: 1\n#--- part ---\nb: 2"


def test_in_memory_templates_outlive_renders_and_hide_files(environment, write):
    write("x.yaml", "a: file")
    environment.add_template("x.yaml", "a: memory")
    assert [environment.preprocess("x.yaml") for _ in range(2)] == ["a: memory", "a: memory"]


def test_names_stay_inside_the_search_path(environment, folder, write):
    write("sub/x.yaml", "a: 1")
    (folder.parent / "outside.yaml").write_text("a: 2")
    assert environment.preprocess("sub/x.yaml") == "a: 1"
    for name in ("../outside.yaml", str(folder / "sub/x.yaml"), "sub/../sub/x.yaml"):
        assert "not found" in failure(environment, name).message


# --- errors -------------------------------------------------------------------------------------------------------


def test_an_undefined_name_in_a_sub_template_names_the_line_of_the_file(environment, write):
    path = write("c.yaml", "a: 0\n-- include 'part'\n\n#--- part ---\nb: 1\nc: {{ batch_sise }}\n")
    error = failure(environment, "c.yaml", batch_size=4)
    assert (error.span.file, error.span.line, error.span.label) == (str(path), 6, "part")
    assert error.snippet == "c: {{ batch_sise }}"
    assert error.help == "did you mean 'batch_size'?"
    assert [(step.file, step.line) for step in error.span.via] == [(str(path), 2)]
    assert f"--> {path}:6 (in sub-template part)" in str(error)


def test_an_undefined_namespace_entry(environment, write):
    write("base.yaml", "-- set ns = namespace(segments=1)\n[body]\n\n")
    path = write("c.yaml", "-- extends 'base.yaml'\n[body]\n# layers: {{ ns.segment }}\n\n")
    error = failure(environment, "c.yaml")
    assert (error.message, error.span.line, error.span.file) == ("'ns.segment' is not defined", 3, str(path))
    assert error.help == "did you mean 'ns.segments'?"


def test_an_error_in_a_parent_says_how_one_got_there(environment, write):
    base = write("base.yaml", "x: 1\ny: {{ missing }}\n")
    child = write("c.yaml", "\n-- extends 'base.yaml'\n")
    error = failure(environment, "c.yaml")
    assert (error.span.file, error.span.line) == (str(base), 2)
    assert [(step.file, step.line) for step in error.span.via] == [(str(child), 2)]


def test_an_error_in_a_template_that_is_included_twice_names_the_include_that_failed(environment, write):
    write("part.yaml", "v: {{ v + 1 }}\n")
    text = "-- set v = 1\n-- include 'part.yaml'\n\n-- set v = 'x'\n-- include 'part.yaml'\n"
    path = write("c.yaml", text)
    error = failure(environment, "c.yaml")
    assert (error.span.file, error.span.line) == (str(path.parent / "part.yaml"), 1)
    assert [(step.file, step.line) for step in error.span.via] == [(str(path), 5)]


def test_the_chain_of_an_error_leads_through_parents_and_includes(environment, write):
    deep = write("deep.yaml", "[inner]\nx: {{ nowhere }}\n\n")
    mid = write("mid.yaml", "## nothing\n-- extends 'deep.yaml'\n")
    base = write("base.yaml", "[body]\n\n")
    child = write("c.yaml", "-- extends 'base.yaml'\n[body]\n-- include 'mid.yaml'\n\n")
    error = failure(environment, "c.yaml")
    assert (error.span.file, error.span.line) == (str(deep), 2)
    assert [(step.file, step.line) for step in error.span.via] == [(str(mid), 2), (str(child), 3)]
    assert str(base) not in str(error)


def test_a_required_block_is_asked_of_the_sub_template_that_lacks_it(environment, write):
    base = write("base.yaml", "-- block must required\n-- endblock\n")
    write("outer.yaml", "[body]\n\n")
    path = write(
        "c.yaml", "-- extends 'outer.yaml'\n[body]\n-- include 'part'\n\n#--- part ---\n-- extends 'base.yaml'\n"
    )
    error = failure(environment, "c.yaml")
    assert (error.code, error.span.file, error.span.line, error.span.label) == ("FG0209", str(path), 6, "part")
    assert "'must'" in error.message
    assert f"{base}:1" in error.help
    assert [(step.file, step.line) for step in error.span.via] == [(str(path), 3)]


def test_undefined_arguments_of_path_functions_name_the_variable(environment):
    for expression in ("joinpath(a, nowhere)", "normpath(nowhere)", "basename(nowhere)"):
        with pytest.raises(TemplateError, match="'nowhere' is not defined"):
            environment.preprocess_from_string(f"x: {{{{ {expression} }}}}", a="/a")


def test_a_missing_include_suggests_labels_and_files(environment, write):
    write("trainers/trainer.yaml", "t: 1")
    write("c.yaml", "-- include 'mine.trainr'\n\n#--- mine.trainer ---\nx: 1\n")
    assert failure(environment, "c.yaml").help == "did you mean 'mine.trainer'?"
    write("d.yaml", "-- extends 'trainers/trainr.yaml'\n")
    assert "'trainers/trainer.yaml'" in failure(environment, "d.yaml").help


def test_a_syntax_error_names_file_line_and_chain(environment, write):
    base = write("base.yaml", "a: 1\n#--- part ---\nb: 2\n-- if\n")
    child = write("c.yaml", "-- include 'base.yaml'\n\n-- include 'part'\n")
    error = failure(environment, "c.yaml")
    assert (error.span.file, error.span.line, error.snippet) == (str(base), 4, "-- if")
    assert [(step.file, step.line) for step in error.span.via] == [(str(child), 3)]


def test_a_template_that_extends_itself_through_the_search_path(tmp_path):
    for place in ("near", "far"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "t.yaml").write_text("-- extends 't.yaml'\n")
    error = failure(ConfigEnvironment([tmp_path / "near", tmp_path / "far"]), "t.yaml")
    near = tmp_path / "near" / "t.yaml"
    assert error.message == f"templates extend each other in a circle: t.yaml ({near}) -> t.yaml ({near})"


def test_a_longer_cycle_shows_every_file(environment, write):
    files = [write(f"{name}.yaml", f"-- extends '{parent}.yaml'\n") for name, parent in ("ab", "bc", "ca")]
    message = failure(environment, "a.yaml").message
    assert [name for name in map(str, files) if name in message] == [str(name) for name in files]


def test_an_exception_inside_an_expression_names_the_line(environment):
    with pytest.raises(TemplateError) as caught:
        environment.preprocess_from_string("a: 1\nb: {{ 1 // 0 }}\n")
    assert (caught.value.span.line, "ZeroDivisionError" in caught.value.message) == (2, True)


def test_a_mistake_of_yaml_in_an_inherited_block_names_the_parent(environment, write):
    base = write("base.yaml", "[body]\nx: [1\n\n[tail]\ny: 1\n\n")
    write("c.yaml", "-- extends 'base.yaml'\n[tail]\nz: 2\n\n")
    with pytest.raises(YamlError) as caught:
        environment.load("c.yaml")
    assert (caught.value.span.file, caught.value.span.line) == (str(base), 2)


def test_a_mistake_of_yaml_in_a_sub_template_names_its_line_and_the_include(environment, write):
    write("base.yaml", "[body]\nx: 1\n\n[tail]\ny: !cal:f []\n\n")
    path = write(
        "c.yaml", "a: 0\n-- include 'part'\n\n#--- part ---\n-- extends 'base.yaml'\n[tail]\n\nz: !call:f 5\n\n"
    )
    with pytest.raises(YamlError) as caught:
        environment.load("c.yaml")
    assert (caught.value.span.file, caught.value.span.line, caught.value.span.label) == (str(path), 8, "part")
    assert [(step.file, step.line) for step in caught.value.span.via] == [(str(path), 2)]


def test_a_file_that_is_no_text_is_named(environment, folder, write):
    (folder / "part.yaml").write_bytes(b"a: \xff\n")
    write("c.yaml", "-- include 'part.yaml'\n")
    error = failure(environment, "c.yaml")
    assert "'part.yaml' cannot be read" in error.message
    assert error.span.file == str(folder / "part.yaml")


def test_the_sandbox_holds(environment):
    with pytest.raises(TemplateError):
        environment.preprocess_from_string("{{ ''.__class__.__mro__ }}")


# --- warnings -----------------------------------------------------------------------------------------------------


def test_blocks_and_text_that_are_never_rendered(environment, write, caplog):
    write("base.yaml", "[optimizer]\nlr: 1\n\n")
    path = write("c.yaml", "-- extends 'base.yaml'\n# a comment is fine\nlost: true\n[optimzer]\nlr: 2\n\n")
    with caplog.at_level(logging.WARNING):
        warnings = environment.load("c.yaml").warnings
    assert [(warning.span.line, warning.code) for warning in warnings] == [(3, "FG0206"), (4, "FG0207")]
    assert warnings[1].help == "did you mean 'optimizer'?"
    assert f"{path}:4" in caplog.text


def test_a_required_block_beside_a_header_is_inside_it(environment, write):
    path = write("base.yaml", "[first]\na: 1\n\n-- block second required\n-- endblock\n\n[third]\nc: 1\n\n")
    write("c.yaml", "-- extends 'base.yaml'\n[first]\na: 2\n\n[second]\nb: 2\n\n")
    loaded = environment.load("c.yaml")
    assert "b" not in loaded.graph.root
    (warning,) = loaded.warnings
    assert (warning.code, warning.span.file, warning.span.line) == ("FG0208", str(path), 4)
    assert warning.message == "block 'second' lies inside [first], which ends only at the next header"
    assert "`-- block first` … `-- endblock`" in warning.help


@pytest.mark.parametrize(
    "text",
    [
        "-- block second required\n-- endblock\n[first]\na: 1\n\n",
        "[first]\na: 1\n    -- block second required\n    -- endblock\n\n",
        "[first]\na: 1\n-- block second\n-- endblock\n\n",
    ],
)
def test_other_places_of_explicit_blocks_are_no_trap(environment, write, text):
    write("base.yaml", text)
    write("c.yaml", "-- extends 'base.yaml'\n[second]\nb: 2\n\n")
    assert environment.load("c.yaml").warnings == ()


def test_an_overridden_block_may_get_required_parts(environment, write):
    write("base.yaml", "[body]\n\n")
    write("mid.yaml", "-- extends 'base.yaml'\n[body]\n-- block part required\n-- endblock\n")
    write("c.yaml", "-- extends 'mid.yaml'\n[part]\nx: 1\n\n")
    loaded = environment.load("c.yaml")
    assert (loaded.graph.root, loaded.warnings) == ({"x": 1}, ())


def test_new_blocks_inside_an_overridden_block_are_fine(environment, write):
    write("base.yaml", "[body]\na: 1\n\n")
    write("mid.yaml", "-- extends 'base.yaml'\n[body]\n    [inner]\nb: 1\n\n")
    write("c.yaml", "-- extends mid\n[inner]\nb: 2\n\n")
    loaded = environment.load("c.yaml", mid="mid.yaml")
    assert (loaded.graph.root, loaded.warnings) == ({"b": 2}, ())


# --- source map ---------------------------------------------------------------------------------------------------


def test_every_value_knows_the_template_line_it_came_from(environment, write):
    base = write("base.yaml", "-- set ns = namespace(lr=1)\n[args]\nseed: 1\nlr: {{ ns.lr }}\n\ntail: {{ tail }}\n")
    child = write(
        "c.yaml", "-- extends 'base.yaml'\n\n[args]\n    == super()\nsteps: 5\n# note\nlist:\n    - a\n    - {b: 2}\n\n"
    )
    graph = environment.load("c.yaml", tail=3).graph
    places = {path: graph.span(path) for path in ("seed", "lr", "tail", "steps", "list.0", "list.1.b")}
    assert {path: (span.file, span.line) for path, span in places.items()} == {
        "seed": (str(base), 3),
        "lr": (str(base), 4),
        "tail": (str(base), 6),
        "steps": (str(child), 5),
        "list.0": (str(child), 8),
        "list.1.b": (str(child), 9),
    }
    assert [(step.file, step.line) for step in places["seed"].via] == [(str(child), 1)]


def test_a_block_inside_a_line_is_mapped_to_the_child(environment, write):
    write("base.yaml", "a: {% block v %}1{% endblock +%}\nb: 2\n")
    child = write("c.yaml", "-- extends 'base.yaml'\n{% block v %}7{% endblock %}\n")
    span = environment.load("c.yaml").graph.span("a")
    assert (span.file, span.line) == (str(child), 2)


def test_a_value_from_a_template_that_is_included_twice_names_its_own_include(environment, write):
    write("part.yaml", "-- extends 'base.yaml'\n")
    base = write("base.yaml", "{{ key }}: 1\n[more]\n\n")
    text = "-- set key = 'a'\n-- include 'part.yaml'\n\n-- set key = 'b'\n-- include 'part.yaml'\n\nc: 2\n"
    path = write("c.yaml", text)
    graph = environment.load("c.yaml").graph
    steps = {key: [(step.file, step.line) for step in graph.span(key).via] for key in "abc"}
    part = (str(path.parent / "part.yaml"), 1)
    assert (graph.span("a").file, graph.span("a").line) == (str(base), 1)
    assert steps == {"a": [part, (str(path), 2)], "b": [part, (str(path), 5)], "c": []}


def test_literal_text_has_its_column_and_computed_text_has_none(environment, write):
    write("part.yaml", "p: [1, {q: 2}]\n")
    text = (
        "a:\n    b: [10, 20]\n{% if true %}c: 3{% endif +%}\nd: {{ 4 }}\ne: {{ 5 }}{# x #} # {{ a1 }} a\n"
        "-- include 'part.yaml'\n\nf: {% raw %}'{{6}}'{% endraw +%}\ng: {{ 'h' -}}    i\n"
    )
    write("c.yaml", text)
    graph = environment.load("c.yaml", a1="k").graph
    paths = ["a.b", "a.b.0", "a.b.1", "c", "d", "p", "p.1.q", "f"]
    assert [(path, graph.span(path).line, graph.span(path).column) for path in paths] == [
        ("a.b", 2, 8),
        ("a.b.0", 2, 9),
        ("a.b.1", 2, 13),
        ("c", 3, 17),
        ("d", 4, 0),
        ("p", 1, 4),
        ("p.1.q", 1, 12),
        ("f", 8, 13),
    ]


def test_text_of_macros_is_clean_and_maps_to_the_call(environment, write):
    write("inc.jinja", "-- macro m(x)\nm{{ x }}: 1\n-- endmacro\n")
    text = (
        "-- from 'inc.jinja' import m\n-- set t\nabc\n-- endset\n"
        "length: {{ t | length }}\nsame: {{ m(1) == 'm1: 1\\n' }}\n== m(2)\n"
    )
    path = write("c.yaml", text)
    loaded = environment.load("c.yaml")
    assert loaded.graph.root == {"length": 4, "same": True, "m2": 1}
    assert (loaded.graph.span("m2").file, loaded.graph.span("m2").line) == (str(path), 7)


def test_captured_includes_are_clean(environment, write):
    write("part", "xyz")
    text = "-- set a\n-- include 'part'\n-- endset\n-- set b | upper\n-- include 'part'\n-- endset\n"
    assert environment.preprocess_from_string(text + "{{ a | length }} {{ b }} {{ b == 'XYZ' }}") == "3 XYZ True"


def test_an_undefined_parent_is_named(environment):
    text = "-- set ns = namespace(trainer='t.yaml')\n-- extends ns.trainr\n"
    with pytest.raises(TemplateError) as caught:
        environment.preprocess_from_string(text)
    assert (caught.value.message, caught.value.span.line) == ("'ns.trainr' is not defined", 2)


def test_trim_sees_through_marks(environment):
    text = "{% filter trim %}\n\n    a: 1\n\n{% endfilter %}|{{ 'xxbxx' | trim('x') }}"
    assert environment.preprocess_from_string(text) == "a: 1|b"


def test_templates_used(environment, write):
    write("base.yaml", "-- include 'part.yaml'\n")
    write("part.yaml", "a: 1")
    write("c.yaml", "-- extends 'base.yaml'\n-- include 'nothing' ignore missing\n")
    used = environment.load("c.yaml").templates_used
    assert [(use.name, use.includer) for use in used] == [
        ("c.yaml", None),
        ("base.yaml", "c.yaml"),
        ("part.yaml", "base.yaml"),
    ]


# --- names --------------------------------------------------------------------------------------------------------


def test_the_clock_stands_still_and_can_be_set():
    environment = ConfigEnvironment(now=datetime(2024, 5, 6, 7, 8, 9, 123, tzinfo=UTC))
    assert environment.preprocess_from_string("{{ utcisotime() }} {{ utcfiletime() }} {{ utcnow().microsecond }}") == (
        "2024-05-06T07:08:09 2024-05-06T07-08-09 123"
    )
    running = ConfigEnvironment().preprocess_from_string(
        "{{ now() == now() }} {{ (utcnow() - utcnow()).microseconds }}"
    )
    assert running == "True 0"


def test_functions(environment):
    calls = ["joinpath('/a', 'b')", "normpath('/a/../b')", "basename('/x/y.z')", "modname_from_path('/m/n.o.py')"]
    text = " ".join(f"{{{{ {call} }}}}" for call in calls)
    assert environment.preprocess_from_string(text) == "/a/b /b y.z n.o"


def test_versions_are_looked_up_lazily(environment):
    text = "{{ versions.python }} {{ versions['accelerate'] or 'empty' }}"
    python, accelerate = environment.preprocess_from_string(text).split(" ", 1)
    assert python.count(".") == 2
    assert accelerate == "not installed" or accelerate[0].isdigit()


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("nowhere | toyaml(3)", "3"),
        ("nowhere | toyaml(none)", "null"),
        ("true | toyaml", "True"),
        ("'a: b' | toyaml", "'a: b'"),
        ("'plain' | toyaml", "plain"),
        ("[1, 'x', none] | toyaml", "[1, x, null]"),
        ("none | toyaml", "null"),
        ("1.5 | toyaml", "1.5"),
    ],
)
def test_toyaml(environment, expression, text):
    assert environment.preprocess_from_string(f"{{{{ {expression} }}}}") == text


def test_toyaml_of_an_undefined_name_is_an_error(environment):
    with pytest.raises(TemplateError, match="'nowhere' is not defined"):
        environment.preprocess_from_string("{{ nowhere | toyaml }}")


def test_line_numbers():
    text = ConfigEnvironment().preprocess_from_string("a: 1\nb: 2")
    assert text.with_line_numbers() == "1: a: 1\n2: b: 2"
