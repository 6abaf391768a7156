"""Every code of `check`: a project that shows it, at which line, and one that comes close and does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fg_config.lint.checking import CheckOptions, check
from fg_config.lint.codes import CODES

META = "meta: { config_name: c }\n"
CONFIG = "templates/configs/c.yaml"
BASE = "templates/base.yaml"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files of a project, and the (file, line) pairs of the findings with this code."""

    code: str
    bad: dict[str, str]
    at: list[tuple[str, int]]
    good: dict[str, str] = field(default_factory=dict)
    signatures: bool = False
    says: str = ""


def config(text: str) -> dict[str, str]:
    return {CONFIG: META + text}


def child(text: str, base: str) -> dict[str, str]:
    return {CONFIG: f"-- extends 'base.yaml'\n{text}", BASE: META + base}


PART = "#---- my.part ----\nx: 1\n"
MODULE = """\
from typing import Literal

def train(steps: int, *, lr: float = 0.1, mode: Literal["a", "b"] = "a"): ...

def old():
    '''Old.

    .. deprecated:: 1.0
        use new
    '''
"""


def calling(arguments: str, module: str = MODULE) -> dict[str, str]:
    return config(f"main: !call:job.py:{arguments}\n") | {"job.py": module}


def training(name: str, directory: str, kind: str = "type.training_script.causal_lm") -> dict[str, str]:
    text = f"meta:\n    config_class: {kind}\n    output_dir: {directory}\n"
    return {f"templates/configs/{name}.yaml": text}


D = "templates/configs/d.yaml"
CHILD = "-- extends 'base.yaml'\n"
TRAINS = {BASE: "meta: { config_class: type.training_script, output_dir: out }\n"}


CASES = [
    # --- text -----------------------------------------------------------------------------------------------------
    Case(
        code="FG0101",
        bad=config("text: |\n    a\n    == b\n"),
        at=[(CONFIG, 4)],
        good=config("text: |\n    a\n    -- if true\n    == namespace()\n    -- endif\nb: '== c'\n"),
        says="inside a block scalar",
    ),
    Case(
        code="FG0101",
        bad=config("text: 'a\n\n  == repr\n  b'\n"),
        at=[(CONFIG, 4)],
        good=config("text: 'a\n\n  b'\n-- set y = 1\nz: {{ y }}\n"),
        says="inside a quoted string",
    ),
    Case(
        code="FG0102",
        bad=config('a: "x ## y"\n'),
        at=[(CONFIG, 2)],
        good=config("a: \"x\"  ## 'y' ## z\nb: it's  ## 'why'\nc: 'x##y'\nd: \"{{ '##' }}\"\n"),
        says="a quoted string",
    ),
    Case(
        code="FG0102",
        bad=config("a: |\n    # x\n    ## Y\n    b ## y\n"),
        at=[(CONFIG, 4), (CONFIG, 5)],
        good=config("a: >-  ## why\n  b\n"),
    ),
    Case(
        code="FG0103",
        bad=config("targets:\n    [train]\nother: 1\n"),
        at=[(CONFIG, 3)],
        good=config("targets:\n[entries]\n    - a\nothers:\n    [more]\n    - b\n"),
    ),
    Case(code="FG0103", bad=config("a: [ 1,\n[b]\n]\n"), at=[(CONFIG, 3)], good=config("a: [ 1,\n[b], 2\n]\n")),
    Case(
        code="FG0104",
        bad=config("a: 1\n# --- optimizer ---\nb: 2\n"),
        at=[(CONFIG, 3)],
        good=config("a: 1\n## --- optimizer ---\nb: 2\n# -- model --\n-- include 'part'\n\n# --- part ---\nc: 1\n"),
    ),
    Case(
        code="FG0105",
        bad=config("a: 1\n#\n---\nfoo\n---\nb: 1\n"),
        at=[(CONFIG, 3)],
        good=config("a: 1\n# ---\nb: 1\n"),
    ),
    Case(
        code="FG0106",
        bad=config("a: 1\n-- include 'part.yaml'\nb: 2\n") | {"templates/part.yaml": "i: 1\n"},
        at=[(CONFIG, 4)],
        good=config("a: 1\n-- include 'part.yaml'\n\nb: {% if true %}1{% else %}2{% endif %}\n")
        | {"templates/part.yaml": "i: 1\n"},
        says="'i: 1'",
    ),
    Case(
        code="FG0106",
        bad=config("-- block q\nx: 1\n\n<< endblock q\ny: 2\n"),
        at=[(CONFIG, 6)],
        good=config("-- block q\nx: 1\n\n<< endblock q\n\ny: 2\nz: {% include 'part' %}\n\n#--- part ---\n7\n"),
    ),
    Case(
        code="FG0106",
        bad=config("[x!]\na: 1\n[y]\nb: 1\n"),
        at=[(CONFIG, 5)],
        good=config("[x!]\na: 1\n\n[y]\n\nb: 1\n"),
    ),
    Case(
        code="FG0107",
        bad=config("a: 1e-3  ## check: FG0320\nb: 1  ## check: ignore FG9999\n"),
        at=[(CONFIG, 2), (CONFIG, 3)],
        good=config("a: 1e-3  ## check: ignore FG0320, FG01 because\n## to check: nothing\n"),
    ),
    # --- templates ------------------------------------------------------------------------------------------------
    Case(code="FG0201", bad=config("-- if\n"), at=[(CONFIG, 2)], good=config("-- if 1\n-- endif\n")),
    Case(code="FG0202", bad=config("a: {{ 1 // 0 }}\n"), at=[(CONFIG, 2)], good=config("a: {{ 1 // 1 }}\n")),
    Case(code="FG0203", bad=config("a: {{ lerning }}\n"), at=[(CONFIG, 2)], good=config("a: {{ lr | default(1) }}\n")),
    Case(
        code="FG0108",
        bad={"templates/configs/c.yaml": "a: 1\n--set lr = 4\n"},
        at=[(CONFIG, 2)],
        good={"templates/configs/c.yaml": "a: 1\n--settle: 4\ntext: >\n  --set lr = 4\n<<: {b: 1}\n"},
        says="write `-- set`, with a blank",
    ),
    Case(
        code="FG0203",
        bad=config("-- if debug | default(false)\nb: {{ levle }}\n-- endif\nc: {{ level | default(1) }}\n"),
        at=[(CONFIG, 3)],
        good=config(
            "-- if debug | default(false)\nb: {{ level }}{{ hostname }}{{ project_dir }}{{ range(3) }}\n"
            "-- for i in [1]\n{{ i }}{{ loop.index }}\n-- endfor\n-- macro m(x)\n{{ x }}\n-- endmacro\n{{ m(1) }}\n"
            "-- endif\n-- set c = level | default(1)\nd: {{ c }}\n"
        ),
        says="did you mean",
    ),
    Case(
        code="FG0203",
        bad=config("-- set ns = namespace(a=1)\n-- if false\nb: {{ ns.b }}\n-- endif\nc: {{ ns.a }}\n"),
        at=[(CONFIG, 4)],
        good=config("-- set ns = namespace(a=1)\n-- set ns.b = 1\n-- if false\nb: {{ ns.b }}{{ ns.a }}\n-- endif\n"),
    ),
    Case(
        code="FG0203",
        bad=config("-- if false\n{{ step }}\n-- endif\ndynamic_args: [ { names: '--steps' } ]\n"),
        at=[(CONFIG, 3)],
        good=config("-- if false\n{{ steps }}\n-- endif\ndynamic_args: [ { names: '--steps' } ]\n"),
    ),
    Case(
        code="FG0204",
        bad=config("-- include 'nothing'\n"),
        at=[(CONFIG, 2)],
        good=config("-- include 'nothing' ignore missing\n"),
    ),
    Case(
        code="FG0205",
        bad={CONFIG: "-- extends 'base.yaml'\n", BASE: "\n-- extends 'configs/c.yaml'\n"},
        at=[(CONFIG, 1)],
        good=child("", ""),
    ),
    Case(
        code="FG0206",
        bad=child("[x]\n\nstray: 1\n\n-- extends 'base.yaml'\nlost: 1\n", "[x]\n\n")
        | {CONFIG: "-- extends 'base.yaml'\nlost: 1\n[x]\na: 1\n\n"},
        at=[(CONFIG, 2)],
        good=child("# a remark\n## another\n[x]\na: 1\n\n", "[x]\n\n"),
    ),
    Case(
        code="FG0207",
        bad=child("[optt]\na: 1\n\n", "[opt]\n\n"),
        at=[(CONFIG, 2)],
        good=child("[opt]\n    == super()\n[inner]\n", "[opt]\n-- block inner\n-- endblock inner\n")
        | {"templates/configs/stopped.yaml": "-- extends 'broken.yaml'\n[optt]\n", "templates/broken.yaml": "-- if\n"},
        says="did you mean 'opt'?",
    ),
    Case(
        code="FG0208",
        bad=child("[b]\nx: 1\n\n", "[a]\ny: 1\n\n-- block b required\n-- endblock b\n"),
        at=[(BASE, 5)],
        good=child("[b]\nx: 1\n\n", "-- block a\ny: 1\n\n-- endblock a\n-- block b required\n-- endblock b\n"),
    ),
    Case(
        code="FG0209",
        bad=child("[a]\nx: 1\n\n", "-- block a\n-- endblock a\n-- block b required\n-- endblock b\n"),
        at=[(CONFIG, 1)],
        good=child("[b]\nx: 1\n\n", "-- block a\n-- endblock a\n-- block b required\n-- endblock b\n"),
    ),
    Case(
        code="FG0210",
        bad=child("[x]\n-- include 'part'\n\n#--- part ---\na: 1\n", "[x]\n\n-- block y\n-- endblock y\n")
        | {BASE: META + "[x]\n\n#--- part ---\nb: 1\n"},
        at=[(BASE, 4)],
        good=child("[x]\n-- include 'part'\n\n#--- part ---\na: 1\n", "[x]\n\n"),
    ),
    Case(
        code="FG0211",
        bad=config("-- set widht = 5\n-- set depth = 3\na: {{ depth }}{{ width | default(2) }}\n"),
        at=[(CONFIG, 2)],
        good=config("-- set width = 5\n-- set ns = namespace()\n-- set ns.a = 1\na: {{ width }}{{ ns.a }}\n"),
        says="did you mean 'width'?",
    ),
    Case(
        code="FG0212",
        bad=config("a: 1\n\n" + PART),
        at=[(CONFIG, 4)],
        good=config("-- set name = 'my.part'\n-- include name\n\n" + PART),
    ),
    Case(
        code="FG0213",
        bad=child("", "a: 1\n") | {"../forgather_workspace/base.yaml": "b: 1\n"},
        at=[(BASE, 1)],
        good=child("", "a: 1\n") | {"../forgather_workspace/other.yaml": "b: 1\n"},
    ),
    Case(
        code="FG0214",
        bad=config("a: {{ 'x' * 10 ** 9 }}\n"),
        at=[(CONFIG, 2)],
        good=config("a: {{ 'x' * 10 ** 3 }}\n"),
    ),
    # --- YAML -----------------------------------------------------------------------------------------------------
    Case(code="FG0300", bad=config("a: [ 1\n"), at=[(CONFIG, 2)], good=config("a: [ 1 ]\n")),
    Case(code="FG0302", bad=config("a: 2024-01-02\n"), at=[(CONFIG, 2)], good=config("a: '2024-01-02'\n")),
    Case(code="FG0303", bad=config("a: { [ 1 ]: 2 }\n"), at=[(CONFIG, 2)], good=config("a: { 1: 2 }\n")),
    Case(code="FG0304", bad=config("a: { <<: 1 }\n"), at=[(CONFIG, 2)], good=config("a: { <<: { b: 1 } }\n")),
    Case(
        code="FG0305",
        bad=config("a: !cal:dict []\n"),
        at=[(CONFIG, 2)],
        good=config("a: !call:dict []\n"),
        says="did you mean '!call'",
    ),
    Case(code="FG0306", bad=config("a: !call:int 5\n"), at=[(CONFIG, 2)], good=config("a: !call:int [ 5 ]\n")),
    Case(
        code="FG0307",
        bad=config("a: !call:int { arg1: 1, arg01: 2 }\n"),
        at=[(CONFIG, 2)],
        good=config("a: !call:int { arg0: 1, arg7: 2 }\n"),
    ),
    Case(code="FG0308", bad=config("a: !var { nam: x }\n"), at=[(CONFIG, 2)], good=config("a: !var { name: x }\n")),
    Case(code="FG0310", bad=config("1: 2\n"), at=[(CONFIG, 2)], good=config("'1': 2\n")),
    Case(
        code="FG0320",
        bad=config("a: 1e-3\nb: [ 1.0e5, -inf ]\n"),
        at=[(CONFIG, 2), (CONFIG, 3), (CONFIG, 3)],
        good=config("a: 1.0e-3\nb: '1e-3'\nc: !!float 1e-3\nd: .inf\ne: 1e-3x\nf: e5\n"),
    ),
    Case(code="FG0321", bad=config("a: !list@x [ 1 ]\n"), at=[(CONFIG, 2)], good=config("a: !list:@x [ 1 ]\n")),
    Case(
        code="FG0322",
        bad=config("a: &one 1\nb: &two 2\nc: *two\n"),
        at=[(CONFIG, 2)],
        good=child("b: 1\n", "a: &one 1\nb: *one\n"),
    ),
    Case(
        code="FG0323",
        bad=child("[args]\n    == super()\n    max_step: 5\n\n", "args:\n[args]\n    max_steps: 3\n    lr: 1\n\n"),
        at=[(CONFIG, 4)],
        good=child(
            "[args]\n    == super()\n    max_steps: 5\n    min_steps: 1\n    beta2: 1\n\n",
            "args:\n[args]\n    max_steps: 3\n    beta1: 1\n\n",
        ),
        says="did you mean 'max_steps'?",
    ),
    Case(
        code="FG0324",
        bad=config("a: !call:dict@ {}\n"),
        at=[(CONFIG, 2)],
        good=config("a: !call:dict@a {}\nb: !list:@b []\nc: !call:dict {}\n"),
        says="write a name behind it, or !call:dict",
    ),
    # --- graph ----------------------------------------------------------------------------------------------------
    Case(code="FG0407", bad=config("a: &a [ *a ]\n"), at=[(CONFIG, 2)], good=config("a: &a [ 1 ]\nb: *a\n")),
    Case(
        code="FG0402",
        bad=config("a: !call:int@n []\nb: !call:int@n []\n"),
        at=[(CONFIG, 3)],
        good=config("a: &a !call:int@n []\nb: *a\n"),
    ),
    Case(
        code="FG0421",
        bad=config("a: !var tokenizer\nb: !call:dict { x: !var tokenizer }\n"),
        at=[(CONFIG, 2)],
        good=config("a: !var { name: tokenizer, default: 1 }\nb: !var pp_config\n"),
        says="targets 'a', 'b'",
    ),
    Case(
        code="FG0422",
        bad=config(".define: &a !call:int []\n.define: &b !call:int []\nmain: *b\n"),
        at=[(CONFIG, 2)],
        good=config(".define: &a !call:int []\n.define: &b !call:list [ [ *a ] ]\nmain: { <<: { x: *b } }\n"),
    ),
    Case(
        code="FG0423",
        bad=config("a: !call:.bits:Attention []\n"),
        at=[(CONFIG, 2)],
        good=config("a: &a !call:.bits:Attention []\nb: !meta:fg_config:generate_code { obj: *a }\n"),
    ),
    Case(
        code="FG0423",
        bad=config("a: !call:.bits.py []\n"),
        at=[(CONFIG, 2)],
        good=config("a: !call:./mine.py:f []\nb: !call:../lib/mine.py:f []\n"),
    ),
    Case(
        code="FG0424",
        bad=config("a: &a [ !factory:list [] ]\nb: !call:dict { x: *a }\nc: !call:dict { x: *a }\n"),
        at=[(CONFIG, 2)],
        good=config(
            "a: &a !list [ !factory:list [] ]\nb: !call:dict { x: *a }\nc: !call:dict { x: *a }\n"
            "d: &d [ 0.9, 0.95 ]\ne: !call:dict { x: *d }\nf: !call:dict { x: *d }\n"
        ),
    ),
    Case(
        code="FG0425",
        bad=config("a: !call:torch.nn.ReLU []\n"),
        at=[(CONFIG, 2)],
        good=config("a: !call:torch.nn:ReLU []\nb: !call:dict.fromkeys []\nc: !call:items [ { x: 1 } ]\n"),
        says="write torch.nn:ReLU",
    ),
    Case(
        code="FG0426",
        bad=config("a: !call:dcit []\nb: !call:dict.fromkey []\n"),
        at=[(CONFIG, 2), (CONFIG, 3)],
        good=config("a: !call:dict []\nb: !call:getitem [ { x: 1 }, x ]\nc: !list:@c [ 1 ]\n"),
        says="did you mean 'dict.fromkeys'?",
    ),
    Case(
        code="FG0427",
        bad=config("a: !call:a:b:c []\nb: !call:a.b: []\nc: !call::c []\n"),
        at=[(CONFIG, 2), (CONFIG, 3), (CONFIG, 4)],
        good=config("a: !call:a:b.c []\nb: !call:a.py:b []\nc: !call:.a:b []\n"),
    ),
    # --- signatures -----------------------------------------------------------------------------------------------
    Case(
        code="FG0510",
        bad=calling("train\n    steps: 1\n    rl: 0.1"),
        at=[(CONFIG, 4)],
        good=calling("train\n    steps: 1\n    lr: 0.1"),
        signatures=True,
        says="known keywords: lr",
    ),
    Case(
        code="FG0511",
        bad=calling("train { lr: 0.1 }"),
        at=[(CONFIG, 2)],
        good=config("main: !partial:job.py:train { lr: 0.1 }\n") | {"job.py": MODULE},
        signatures=True,
    ),
    Case(
        code="FG0512",
        bad=calling("train\n    steps: 1e3\n    mode: c"),
        at=[(CONFIG, 3), (CONFIG, 4)],
        good=calling("train\n    steps: 1000\n    mode: b"),
        signatures=True,
    ),
    Case(code="FG0513", bad=calling("old []"), at=[(CONFIG, 2)], good=calling("train [ 1 ]"), signatures=True),
    Case(code="FG0514", bad=calling("trian [ 1 ]"), at=[(CONFIG, 2)], good=calling("train [ 1 ]"), signatures=True),
    Case(
        code="FG0515",
        bad=config("main: !call:os:system [ 'true' ]\n"),
        at=[(CONFIG, 2)],
        good=calling("train [ 1 ]"),
        signatures=True,
    ),
    Case(
        code="FG0515",
        bad=config("main: !partial:subprocess:run []\nfile: !call:/elsewhere/code.py:f []\n"),
        at=[(CONFIG, 2), (CONFIG, 3)],
        good=config("main: !partial:no_such_library:run []\nsum: !call:math:sqrt [ 4 ]\n"),
        says="subprocess is denied",
    ),
    Case(
        code="FG0516",
        bad=calling("train [ 1 ]", "raise RuntimeError('no')\n"),
        at=[(CONFIG, 2)],
        good=calling("train [ 1 ]"),
        signatures=True,
        says="RuntimeError: no",
    ),
    Case(
        code="FG0517",
        bad=calling("train [ 1, 2 ]"),
        at=[(CONFIG, 2)],
        good=calling("train [ 1 ]"),
        signatures=True,
    ),
    # --- project --------------------------------------------------------------------------------------------------
    Case(code="FG0603", bad=config("") | {"meta.yaml": "name: [ 1 ]\n"}, at=[("meta.yaml", 1)], good=config("")),
    Case(
        code="FG0604",
        bad=config("") | {"meta.yaml": "name: p\ndefault_config: x.yaml\n"},
        at=[("meta.yaml", 2)],
        good=config(""),
    ),
    Case(
        code="FG0610",
        bad=config("dynamic_args:\n    - names: '--output'\n"),
        at=[(CONFIG, 3)],
        good=config("dynamic_args:\n    - names: '--lr'\n"),
        says="which the command itself has",
    ),
    Case(
        code="FG0610",
        bad=config("dynamic_args:\n    - names: '--lr'\n      tpye: float\n"),
        at=[(CONFIG, 3)],
        good=config("dynamic_args:\n    - names: '--lr'\n      type: float\n"),
        says="did you mean 'type'?",
    ),
    Case(
        code="FG0630",
        bad=config("") | {"meta.yaml": "name: p\nsearchpath: [ templates ]\n"},
        at=[("meta.yaml", 2)],
        good=config("") | {"meta.yaml": "name: p\nsearchdir: [ templates ]\n"},
        says="did you mean 'searchdir'?",
    ),
    Case(
        code="FG0631",
        bad=config("") | {"meta.yaml": "searchdir:\n    - templates\n    - tempaltes\n"},
        at=[("meta.yaml", 3)],
        good=config("") | {"meta.yaml": "searchdir:\n    - templates\n"},
        says="did you mean 'templates'?",
    ),
    Case(
        code="FG0636",
        bad=config("") | {"templates/configs/d.yml": "main: 1\n"},
        at=[("templates/configs/d.yml", 1)],
        good=config("") | {"templates/configs/d.yaml": "meta: { config_name: d }\nmain: 1\n"},
        says="call it d.yaml",
    ),
    Case(
        code="FG0632",
        bad=config("dynamic_args:\n    - names: '--num-heads\"'\n"),
        at=[(CONFIG, 3)],
        good=config("dynamic_args:\n    - names: [ '--num-heads', '-H' ]\n"),
    ),
    Case(code="FG0633", bad={CONFIG: "a: 1\n"}, at=[(CONFIG, 1)], good=config("")),
    Case(
        code="FG0635",
        bad=training("c", "out") | training("d", "./out"),
        at=[(D, 3)],
        good=training("c", "out") | training("d", "out2") | training("e", "out", kind="type.tokenizer"),
        says="'d.yaml' trains in the output directory of 'c.yaml': out",
    ),
    Case(
        code="FG0635",
        bad=TRAINS | {"meta.yaml": "default_config: d.yaml\n", CONFIG: CHILD, D: f"\n## Same.\n{CHILD}"},
        at=[(CONFIG, 1)],
        good=TRAINS | {CONFIG: CHILD, D: f"## As meant.\n## check: ignore FG0635 goes on from c\n{CHILD}"},
        says="`-- set ns.model_name = model_name | default('c')`",
    ),
    Case(
        code="FG0635",
        bad=TRAINS | {CONFIG: CHILD, D: f"\n## Same.\n{CHILD}"},
        at=[(D, 3)],
        good=training("d", "out") | training("e", "!var out") | training("f", "!var out") | {CONFIG: "meta: [ 1 ]\n"},
    ),
]


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The findings with one code of a project with these files, and their (file, line) pairs."""
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    project = tmp_path / "project"

    def found(code: str, files: dict[str, str], *, signatures: bool = False):
        for name, text in {"meta.yaml": "", **files}.items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        options = CheckOptions(signatures=signatures, reserved=frozenset({"--output"}))
        findings = [finding for finding in check(project, options=options) if finding.code == code]
        places = [
            (Path(each.span.file).relative_to(project).as_posix(), each.span.line) for each in findings if each.span
        ]
        return findings, places

    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{CASES.index(case)}")
def test_a_mistake_is_found_at_its_line(case: Case, found):
    findings, places = found(case.code, case.bad, signatures=case.signatures)
    assert findings and places == case.at
    assert case.says in "\n".join(map(str, findings))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{CASES.index(case)}")
def test_what_comes_close_is_not_found(case: Case, found):
    assert case.good
    findings, _ = found(case.code, case.good, signatures=case.signatures)
    assert [str(finding) for finding in findings] == []


def test_every_code_has_a_case():
    assert {case.code for case in CASES} == set(CODES) - {"FG0601"}  # no workspace: see the test of the command


def test_an_unused_label_is_a_slip_only_of_one_that_is_asked_for(found):
    unused = "\n#---- opt.adam ----\nx: 1\n"
    helps = [
        found("FG0212", config(asks + unused))[0][0].help
        for asks in ("", "-- include 'opt.sgd'\n\n#---- opt.sgd ----\ny: 1\n", "-- include 'opt.adm'\n")
    ]
    assert helps == ["include it, or take it out", "include it, or take it out", "did you mean 'opt.adm'?"]


@pytest.mark.parametrize(("name", "help"), [("ns.steps", None), ("ns.lerning", "did you mean 'ns.learning'?")])
def test_an_unused_set_is_a_slip_only_of_a_name_that_differs_by_one(name, help, found):
    head = f"-- set ns = namespace(lr=1)\n-- set ns.learning = 2\n-- set {name} = 3\n"
    findings, _ = found("FG0211", config(head + "a: {{ ns.lr }} {{ ns.learning }}\n"))
    assert [finding.help for finding in findings] == [help]


CUT_OFF = [
    """a:\n    - "chat ## general"\n    - b\n""",
    """a: "chat ## general"\nb: "two"\nc: 3\n""",
    """a: 'chat ## it''s general'\nb: 2\nc: 'three'\n""",
    """a: [ "chat ## general", "other ## general" ]\nb: [ "c" ]\n""",
    """a: "chat ## general"\nb: "\\d"\n""",
    """b: "chat ## general"\n""",
]


@pytest.mark.parametrize("text", CUT_OFF)
def test_a_string_that_is_cut_off_is_the_only_mistake(text: str, found, tmp_path):
    findings, places = found("FG0102", config(text))
    assert [finding.severity for finding in findings] == ["error"]
    assert (tmp_path / "project" / CONFIG).read_text().split("\n")[places[0][1] - 1][findings[0].span.column - 1 :][
        :3
    ] == "## "
    assert places[0][1] == (3 if text.startswith("a:\n") else 2)
    assert not [each for each in check(tmp_path / "project") if each.code == "FG0300"]


def test_another_mistake_below_a_closed_string_is_told_as_what_it_is(found):
    text = """a: "chat ## general"\nb: "\nc: 3\nd: [ 1\n"""
    findings, places = found("FG0300", config(text))
    assert "'[' is never closed" in str(findings[0])
    assert places == [(CONFIG, 5)]


def test_a_spec_that_is_only_exported_may_be_written_as_python_writes_it(found):
    findings, _ = found("FG0425", config("a: !meta:fg_config:generate_code { obj: !call:torch.nn.ReLU [] }\n"))
    assert [finding.severity for finding in findings] == ["note"]


def test_a_symbol_that_is_missing_is_named_once(found):
    findings, _ = found("FG0514", config("a: !call:fnmatch:fnmacth []\n"), signatures=True)
    assert [finding.message.count("fnmatch:fnmacth") for finding in findings] == [1]


def test_the_form_of_a_spec_is_not_told_again_by_its_signature(found):
    text = "a: !call:prnt []\nb: !call:a:b:c []\nc: !call:./job.py:train []\n"
    findings, _ = found("FG0514", config(text) | {"job.py": MODULE}, signatures=True)
    assert findings == []
    findings, places = found("FG0511", config(text) | {"job.py": MODULE}, signatures=True)
    assert places == [(CONFIG, 4)]
