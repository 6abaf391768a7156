"""The text that `to_yaml` writes: what it looks like, and what it refuses."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from fg_config.environment import ConfigEnvironment
from fg_config.errors import GraphError
from fg_config.exporting.export_yaml import to_yaml
from fg_config.graph import Graph
from fg_config.nodes import Call, Span

CONFIG = """\
.define: &norm !factory:torch.nn:LayerNorm@norm
    eps: 1.0e-8
meta: {name: demo, empty: [], nothing: {}, missing: ~}
model: &model !call:pkg.models:Model
    norm: *norm
    sizes: !list [1, 2]
    betas: !tuple:@betas [0.9, 0.95]
    table: !dict {1: one, null: none}
optimizer: !partial:torch.optim:AdamW
    arg0: !var params
    lr: !var {name: lr, default: 1.0e-3}
trainer: !call:pkg:Trainer
    args: [*model]
    kwargs: {arg0: x, args: y, latent_args: !var {name: late, default: {}}, submodule_searchpath: ["/a"]}
"""

EXPECTED = """\
.define: &norm !factory:torch.nn:LayerNorm@norm
    eps: 1.0e-08

.define: &betas !tuple:@betas
    - 0.9
    - 0.95

.define: &alpha_ !call:pkg.models:Model
    norm: *norm
    sizes: !list
        - 1
        - 2
    betas: *betas
    table: !dict
        1: one
        null: none

meta:
    name: demo
    empty: []
    nothing: {}
    missing: null
model: *alpha_
optimizer: !partial:torch.optim:AdamW
    arg0: !var params
    lr: !var
        name: lr
        default: 0.001
trainer: !call:pkg:Trainer
    args:
        - *alpha_
    kwargs:
        arg0: x
        args: y
        latent_args: !var
            name: late
            default: {}
        submodule_searchpath:
            - /a
"""


def load(text: str) -> Graph:
    return ConfigEnvironment().load_from_string(text).graph


def test_a_config_is_written_with_names_first_and_current_tags():
    assert to_yaml(load(CONFIG).root) == EXPECTED


def test_the_text_reads_back_as_the_same_graph():
    assert load(EXPECTED).to_json() == load(CONFIG).to_json()


@pytest.mark.parametrize(
    ("policy", "anchors"),
    [("required", ["alpha_"]), ("named", ["norm", "betas", "alpha_"]), ("all", None)],
)
def test_the_policy_says_which_nodes_get_a_name(policy, anchors):
    graph = load(CONFIG)
    text = to_yaml(graph.root, name_policy=policy)
    written = [line.split("&")[1].split()[0] for line in text.splitlines() if "&" in line]
    assert written == anchors if anchors is not None else len(written) == 7
    assert load(text).to_json() == graph.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "!call:dict {a: 1}",
        "- 1\n- &x !call:object []\n- *x\n",
        "!var {name: a, default: ~}",
        "!list []",
        "just text",
        "a: &shared [1, {b: 2}]\nc: *shared\nd: [[], [[1]], {}]\n",
        "t: !tuple [&a !list [1], *a]\n",
        "a: !call:dict@a%20b []\nb: !call:dict@a-20-b []\n",
        "a: !var &v\n    name: x\n    default: &n !factory:object []\nb: *n\n",
    ],
)
def test_every_kind_of_root_and_sharing_reads_back(text):
    graph = load(text)
    assert load(to_yaml(graph.root)).to_json() == graph.to_json()


def test_strings_that_look_like_something_else_stay_strings():
    values: dict[str, Any] = {
        f"k{index}": text for index, text in enumerate(["1e-3", "yes", "x ## y", "{{ a }}", "-- b"])
    }
    text = to_yaml(values)
    assert 'k2: "x #\\x23 y"' in text and 'k3: "\\x7b{ a }}"' in text
    assert load(text).root == values


def test_long_keys_and_odd_numbers_read_back():
    values = {"k" * 1500: {"a" * 2000: [1, 2]}, "numbers": [1e-08, 1e300, -0.0, float("inf"), 10**30]}
    assert repr(load(to_yaml(values)).root) == repr(values)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({"a": (1, 2)}, "a value of type tuple"),
        ({"a": {3}}, "a value of type set"),
        ({".hidden": 1}, "'.hidden'"),
        ({"a": Call(kind="call", spec="a@b:c", span=Span(file="f", line=1))}, "holds '@'"),
        ({"a": "\ud800"}, "lone surrogate"),
        (reduce(lambda inner, _: [inner], range(2000), None), "nest too deeply"),
    ],
)
def test_what_cannot_be_written_is_an_error(root, message):
    with pytest.raises(GraphError, match=message):
        to_yaml(root)


def test_an_unknown_policy_names_the_known_ones():
    with pytest.raises(GraphError, match="required, named, all"):
        to_yaml({}, name_policy="some")
