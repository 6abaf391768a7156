"""Links, running snippets and the site: what is wrong in a page is found where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import markdown
from tools.checks.links import check_links
from tools.checks.sessions import check_sessions
from tools.checks.snippets import check_snippets
from tools.docs.drawing import draw, levels
from tools.docs.stage import stage
from tools.workspace import load_arrows, load_workspace


def page(workspace, text, name="README.md"):
    path = workspace.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return workspace


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("see [it](gone.md)", "README.md:1: gone.md does not exist"),
        ("\n![picture](a.png)", "README.md:2: a.png does not exist"),
        ("# A `b` c\n[it](#a-b-d)", "README.md:2: #a-b-d: no such heading"),
        ("[out](../../secret)", "README.md:1: ../../secret leaves the repository"),
    ],
)
def test_broken_link_is_found(repository, text, finding):
    assert check_links(page(repository(ab_low=([], "")), text)) == [finding]


def test_links_that_lead_somewhere_and_links_in_code_pass(repository):
    text = (
        "# A `b`, c\n# A `b`, c\n[x](#a-b-c) [y](#a-b-c-1) [z](packages) `[no](link.md)`\n```text\n[no](link.md)\n```\n"
    )
    assert check_links(page(repository(ab_low=([], "")), text)) == []


def test_snippet_that_fails_is_found_with_its_line_and_reason(repository):
    workspace = page(repository(ab_low=([], "")), "# T\n\n```python\nprint(1)\nassert 1 == 2, 'no'\n```\n")
    (finding,) = check_snippets(workspace)
    assert finding.startswith("README.md:3: exit code 1")
    assert finding.endswith("AssertionError: no")


def test_snippets_run_apart_from_each_other(repository):
    blocks = "```python\nfrom pathlib import Path\nPath('x').touch()\ny = 1\n```\n"
    second = "```python\nfrom pathlib import Path\nassert not Path('x').exists()\nprint(y)\n```\n"
    (finding,) = check_snippets(page(repository(ab_low=([], "")), blocks + second))
    assert "NameError: name 'y' is not defined" in finding


def test_shell_block_runs_only_when_it_says_so(repository):
    text = "```bash\nfalse\n```\n```text\nfalse\n```\n```bash run\nfalse\ntrue\n```\n"
    (finding,) = check_snippets(page(repository(ab_low=([], "")), text))
    assert finding.startswith("README.md:7: exit code 1")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="`~\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))))
def test_every_fenced_text_comes_back(lines):
    body = "".join(f"{line}\n" for line in lines)
    (block,) = markdown.code_blocks(f"before\n\n````python\n{body}````\nafter\n")
    assert (block.info, block.text.rstrip("\n"), block.line) == ("python", body.rstrip("\n"), 3)


def test_fence_of_fewer_marks_does_not_close_a_block():
    (block,) = markdown.code_blocks("````text\n```python\nx\n```\n````\n")
    assert block.text == "```python\nx\n```\n"


def test_site_keeps_links_to_pages_and_drops_links_to_source(repository, tmp_path):
    workspace = repository(ab_low=([], ""))
    page(workspace, "# D", "docs/more.md")
    page(workspace, "[page](docs/more.md) [source](packages/ab-low/src) [web](https://example.org)\n")
    assert stage(workspace, tmp_path / "site") == ["README.md", "docs/more.md"]
    copied = (tmp_path / "site" / "README.md").read_text()
    assert copied == "[page](docs/more.md) source [web](https://example.org)\n"


def test_drawing_shows_every_distribution_above_what_it_depends_on():
    arrows = load_arrows(load_workspace())
    rows, picture = levels(arrows), draw(arrows)
    for name, rules in arrows.items():
        assert f">{name}</text>" in picture
        assert all(rows[sibling] < rows[name] for sibling in rules.depends_on)


SESSION = """\
```yaml folder/a.yaml
x: 1
```
```console run
$ cd folder
$ cat a.yaml && pwd
{shown}
$ ls /nowhere/at/all
ls: cannot access … No such file or directory
```
"""


def test_a_session_goes_on_where_the_last_command_ended(repository):
    assert check_sessions(page(repository(ab_low=([], "")), SESSION.format(shown="x: 1\n~/folder"))) == []


def test_a_session_that_prints_something_else_is_found_with_its_line(repository):
    (finding,) = check_sessions(page(repository(ab_low=([], "")), SESSION.format(shown="x: 2")))
    assert finding == "README.md:6: `cat a.yaml && pwd` prints\nx: 1\n~/folder"
