"""The table of tokens: what it says of a fixture, and that it agrees with what templates and YAML really do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fg_config import commands
from fg_config.command_line import main
from fg_config.editors.files import EDITORS
from fg_config.editors.tokenizer import PlacedToken, tokenize
from fg_config.editors.tokens import FUNCTIONS, GROUPS, TOKENS, Match, Region, rules_of
from fg_config.rendering.names import template_globals
from fg_config.rendering.preprocess import preprocess

DATA = Path(__file__).with_name("data")
COMMITTED = Path(__file__).parents[3] / "tools" / "editors"


def shown(text: str) -> str:
    """One line for each line of `text`: its number and its tokens as `name'text'`."""
    lines = enumerate(tokenize(text), 1)
    return "".join(f"{number}:" + "".join(f" {t.name}‹{t.text}›" for t in tokens) + "\n" for number, tokens in lines)


def test_every_token_of_the_fixture() -> None:
    assert shown((DATA / "editor.yaml").read_text()) == (DATA / "editor.tokens").read_text()


def test_the_fixture_has_every_token() -> None:
    found = {token.name for line in tokenize((DATA / "editor.yaml").read_text()) for token in line}
    assert found == set(TOKENS)


@pytest.mark.parametrize("editor", EDITORS)
def test_the_committed_files_are_those_of_the_table(editor: str) -> None:
    if not COMMITTED.is_dir():
        pytest.skip("installed without the repository")
    files = EDITORS[editor]()
    assert {name: (COMMITTED / editor / name).read_text() for name in files} == files


def test_groups_and_tokens_of_the_rules_exist() -> None:
    for group in GROUPS:
        for rule in rules_of(group):
            parts = rule.parts if isinstance(rule, Match) else rule.begin + rule.end
            assert {name for _, name in parts if name} <= set(TOKENS)
            if isinstance(rule, Region):
                assert rule.inside in GROUPS and (rule.token is None or rule.token in TOKENS)


def test_the_functions_of_templates_are_known() -> None:
    callables = {name for name, value in template_globals().items() if callable(value)}
    assert callables <= set(FUNCTIONS)


# --- against the preprocessor ---------------------------------------------------------------------------------------

# No braces: what has some after preprocessing was rewritten.
PIECES = [
    *("--", "<<", ">>", "==", "=>", "##", "###", "#", " ", "  ", "\t", "[", "]", "[a]", "[b!]", "!", "x", "set a = 1"),
    *("key:", "'", '"', "- ", "|", "*a", "&b", "!call:m:F", "<<: *a", "1.0", "\\", "---", ":", ",", "no"),
]
LINE = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


def first(line: str) -> PlacedToken | None:
    tokens = tokenize(line)[0]
    return tokens[0] if tokens else None


def kind_by_preprocessor(line: str) -> str:
    """What the line is turned into."""
    result = preprocess(line)
    if result.startswith("{#"):
        return "comment line"
    if result.startswith(("{% block", "{% filter")) and "endblock" in result:
        return "header"
    return "operator" if result.startswith(("{%", "{{")) else "plain"


def kind_by_tokens(line: str) -> str:
    token = first(line)
    if token is None:
        return "plain"
    if token.name == "comment" and token.text.startswith("##") and not line[: token.start].strip():
        return "comment line"
    return {"bracket": "header", "operator": "operator"}.get(token.name, "plain")


@given(LINE)
def test_lines_are_what_the_preprocessor_makes_of_them(line: str) -> None:
    assert kind_by_tokens(line) == kind_by_preprocessor(line)


@given(st.lists(LINE, min_size=1, max_size=6))
def test_a_line_is_the_same_behind_open_strings_and_blocks(lines: list[str]) -> None:
    """The line pass is blind to what is around it, and so are the line rules."""
    together = tokenize("\n".join(lines))
    assert together == [tokenize(line)[0] for line in lines]


@given(LINE)
def test_a_trailing_comment_is_what_the_preprocessor_cuts(line: str) -> None:
    if kind_by_preprocessor(line) != "plain":
        return
    kept = preprocess(line)
    cut = line[len(kept) :]
    tokens = tokenize(line)[0]
    if cut:
        assert tokens[-1].name == "comment" and tokens[-1].end == len(line)
        assert tokens[-1].start <= len(kept) + 1
    else:
        assert not any(token.name == "comment" and " ##" in f" {token.text}" for token in tokens)


@given(st.text(alphabet="ab#{}%-[]!<>=:|'\"*& \n\t.0", max_size=60))
def test_tokens_are_in_order_and_show_the_text(text: str) -> None:
    for line, tokens in zip(text.split("\n"), tokenize(text), strict=True):
        ends = [0, *(token.end for token in tokens)]
        assert all(end <= token.start < token.end for end, token in zip(ends, tokens, strict=False))
        assert all(line[token.start : token.end] == token.text for token in tokens)


# --- against YAML ---------------------------------------------------------------------------------------------------

SCALAR = st.from_regex(r"[-+0-9.exXinfatruyo:_]{1,8}", fullmatch=True) | st.sampled_from(
    ["1e-3", "1.0e5", "1.0e-3", "010", "0b1", "0x1F", "1:30", "1:30.5", ".inf", "-.INF", ".nan", "1_000", "yes", "~"]
)


@given(SCALAR)
def test_numbers_and_constants_are_those_of_yaml(word: str) -> None:
    try:
        node = yaml.compose(f"key: {word}", Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return
    value = node.value[0][1]
    if value.value != word:
        return  # not one plain scalar
    kind = value.tag.removeprefix("tag:yaml.org,2002:")
    wanted = {"int": "number", "float": "number", "bool": "constant", "null": "constant"}.get(kind, "text")
    assert [token.name for token in tokenize(f"key: {word}")[0]] == ["key", "punctuation", wanted]


# --- the verb -------------------------------------------------------------------------------------------------------


def test_the_verb_writes_a_folder_and_names_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pack" / "forgather"
    assert main(commands, ["editor", "vim", "-o", str(folder)]) == 0
    written = {str(path) for path in folder.rglob("*.vim")}
    assert written == set(capsys.readouterr().out.split())
    assert (folder / "syntax" / "forgather.vim").read_text() == EDITORS["vim"]()["syntax/forgather.vim"]


def test_the_verb_lists_the_files_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(commands, ["editor", "tokens"]) == 0
    assert capsys.readouterr().out == "tokens.json\n"
