"""Every code that `check` reports, with how grave it is and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fg_config.lint.findings import Severity

FAMILIES: Final = {
    "FG01": "text",
    "FG02": "templates",
    "FG03": "YAML",
    "FG04": "graph",
    "FG05": "signatures",
    "FG06": "project",
}


@dataclass(frozen=True, slots=True)
class Code:
    """How grave a finding usually is, its title, and what it means and what to do."""

    severity: Severity
    title: str
    meaning: str


CODES: Final[dict[str, Code]] = {
    # --- text -----------------------------------------------------------------------------------------------------
    "FG0101": Code(
        "warning",
        "shorthand inside a string",
        "A line inside a quoted string or a block scalar begins with `--`, `<<`, `>>`, `==` or `=>` and a blank, so it "
        "is read as template code. Write it as an expression: {{ '-- text' }}. "
        "Statements of Jinja2 are taken as meant. It is an error where Jinja2 cannot read the line.",
    ),
    "FG0102": Code(
        "warning",
        "comment inside a string",
        "A blank and `##` begin a template comment everywhere, also inside a quoted string or a block scalar; the rest "
        "of the line is cut off. Build the text with an expression: {{ '##' }}. It is an error where YAML cannot "
        "read what is left.",
    ),
    "FG0103": Code(
        "warning",
        "list taken as a block header",
        "A YAML list of one word that is alone on its line, `[word]`, is the header of a block. Write the list behind "
        "its key, or with a dash.",
    ),
    "FG0104": Code(
        "warning",
        "banner that begins a sub-template",
        "A comment such as `# --- optimizer ---` is the marker of a sub-template, so everything below it is taken out "
        "of this template. Use fewer dashes, or `##` in front.",
    ),
    "FG0105": Code(
        "warning",
        "sub-template marker over several lines",
        "A `#` line, dashes and a word on lines of their own also mark a sub-template.",
    ),
    "FG0106": Code(
        "warning",
        "two lines become one",
        "A statement eats the line break behind it, and an included template or a block written `[name!]` ends without "
        "one, so the next line is glued to it. Leave a blank line between them. It is an error where YAML cannot read "
        "the line.",
    ),
    "FG0107": Code(
        "warning",
        "suppression without effect",
        "`## check: ignore` is followed by codes (FG0320) or families (FG03), and then perhaps by a reason.",
    ),
    "FG0108": Code(
        "error",
        "statement without blank",
        "`--extends 'x.yaml'` is text; a statement has a blank behind its dashes: `-- extends 'x.yaml'`.",
    ),
    # --- templates ------------------------------------------------------------------------------------------------
    "FG0201": Code("error", "template syntax", "Jinja2 cannot read the template."),
    "FG0202": Code("error", "failing expression", "An expression of a template raises an exception."),
    "FG0203": Code(
        "warning",
        "undefined name",
        "Nothing defines the name: no `-- set`, no default(), no dynamic argument. It is an error where the line is "
        "rendered, and a warning where only another choice of arguments or blocks would render it.",
    ),
    "FG0204": Code("error", "missing template", "No directory of the search path has a template of that name."),
    "FG0205": Code("error", "circle of templates", "Templates extend or include each other in a circle."),
    "FG0206": Code(
        "warning", "text outside blocks", "What a child says outside of blocks is never rendered; move it into one."
    ),
    "FG0207": Code(
        "warning",
        "unknown block",
        "A child overrides a block that none of its parents renders: the name is misspelt, only an included template "
        "has such a block, or the block around it was replaced.",
    ),
    "FG0208": Code(
        "warning",
        "block inside a header's block",
        "A block written in full behind a `[name]` header lies inside the header's block and vanishes with it.",
    ),
    "FG0209": Code("error", "missing block", "A parent requires a block that the config does not define."),
    "FG0210": Code("warning", "label defined twice", "Two sub-templates of one render have the same label."),
    "FG0211": Code("warning", "unused `set`", "No template of the search path reads the variable."),
    "FG0212": Code("warning", "unused label", "No template of the search path includes or extends the sub-template."),
    "FG0213": Code(
        "warning",
        "shadowed template",
        "Another directory of the search path has a template of the same name, which this one hides.",
    ),
    "FG0214": Code("error", "too much", "A template makes more text, or repeats more often, than a render may."),
    # --- YAML -----------------------------------------------------------------------------------------------------
    "FG0300": Code("error", "YAML syntax", "The rendered text is no YAML."),
    "FG0302": Code("error", "unsupported value", "A date, a set, binary data, or a value that is not of its tag."),
    "FG0303": Code(
        "error", "unusable key", "A node or a container cannot be a key; 1, 1.0 and true are the same one to Python."
    ),
    "FG0304": Code("error", "merge of no mapping", "`<<` merges a mapping or a list of mappings."),
    "FG0305": Code("error", "unknown tag", "The tag is misspelt, or names nothing to call."),
    "FG0306": Code("error", "wrong content", "A call takes a list or a mapping, not a scalar; a container its kind."),
    "FG0307": Code("error", "wrong arguments", "`args`, `kwargs` or `argN` are not what they must be."),
    "FG0308": Code("error", "wrong variable", "A variable is `!var name` or `!var {name: n, default: d}`."),
    "FG0310": Code("error", "unusable target name", "The name of a target is a string."),
    "FG0320": Code(
        "warning",
        "number read as text",
        "YAML 1.1 reads a float only with a dot and a signed exponent: 1.0e-3 is a number, 1e-3 is text.",
    ),
    "FG0321": Code(
        "note",
        "name without colon",
        "`!list@name` is understood here, but other readers of the language lose the name; write `!list:@name`.",
    ),
    "FG0322": Code("note", "unused anchor", "No alias of the rendered text refers to the anchor."),
    "FG0323": Code(
        "warning",
        "key that overrides nothing",
        "A block keeps its parent's keys with super() and adds one that differs from an inherited key by a slip.",
    ),
    "FG0324": Code("warning", "empty name", "Nothing stands behind the `@` of a tag, so the node has no name."),
    # --- graph ----------------------------------------------------------------------------------------------------
    "FG0402": Code("error", "name given twice", "Two nodes have the same explicit name."),
    "FG0407": Code("error", "alias to itself", "An alias leads back to the node that holds it."),
    "FG0421": Code(
        "note",
        "variable without default",
        "The targets can only be built when the variable is given: project('target', name=value).",
    ),
    "FG0422": Code(
        "warning", "unreachable node", "The node is declared below a hidden key and no target refers to it."
    ),
    "FG0423": Code(
        "warning",
        "relative import spec",
        "A spec such as `.module:Name` can be exported as source by a !meta node, but not built.",
    ),
    "FG0424": Code(
        "warning",
        "container copied at each alias",
        "A plain list or mapping that several calls receive is copied for each, and nodes made by !factory in it are "
        "made anew; without such nodes this is only a note. Tag it with !list or !dict to share it.",
    ),
    "FG0425": Code(
        "warning",
        "import spec without colon",
        "A spec such as `torch.nn.ReLU` is written out as it is where a !meta node exports it (there this is a note), "
        "but cannot be built; write `torch.nn:ReLU`.",
    ),
    "FG0426": Code("error", "unknown builtin", "A spec without colon is a builtin of Python or a helper."),
    "FG0427": Code("error", "no import spec", "One colon stands between a module, or a file, and what is in it."),
    # --- signatures -----------------------------------------------------------------------------------------------
    "FG0510": Code("error", "unknown keyword", "The callable does not accept a keyword of that name."),
    "FG0511": Code("error", "missing argument", "The callable needs an argument that the config does not give."),
    "FG0512": Code("warning", "wrong type", "The value does not fit the annotation of the parameter."),
    "FG0513": Code("warning", "deprecated symbol", "The library that defines the symbol calls it deprecated."),
    "FG0514": Code("error", "symbol not found", "The import spec names no module, or nothing in it."),
    "FG0515": Code(
        "error",
        "import refused",
        "The import policy does not let a config call this. Without `--signatures` it is a warning, "
        "about what the policy denies by the name as it is written.",
    ),
    "FG0516": Code(
        "warning", "symbol not examined", "Importing the module failed, crashed the process, or did not end in time."
    ),
    "FG0517": Code("error", "too many arguments", "The callable takes fewer positional arguments."),
    # --- project --------------------------------------------------------------------------------------------------
    "FG0601": Code("error", "no workspace", "No directory above the project holds forgather_workspace/."),
    "FG0603": Code("error", "wrong meta.yaml", "meta.yaml is a mapping of plain values."),
    "FG0604": Code("error", "missing config", "The project has no config of the name that default_config gives."),
    "FG0610": Code("error", "wrong dynamic_args", "An entry of dynamic_args does not declare a flag as it must."),
    "FG0630": Code("warning", "unknown key of meta.yaml", "Nobody reads the key."),
    "FG0631": Code("warning", "missing search directory", "A directory of `searchdir` does not exist."),
    "FG0632": Code("warning", "stray characters in a flag", "The flag is read without them; nobody could type it."),
    "FG0633": Code("warning", "config without meta", "The target `meta` names and describes a config; `ls` needs it."),
    "FG0635": Code(
        "warning",
        "output directory of another config",
        "Two training configs of the project have the same `meta.output_dir`, so that a run of one goes on from the "
        "checkpoints of the other. `ns.model_name` usually decides the directory. Only found among several configs, "
        "as with `--all`.",
    ),
    "FG0636": Code("warning", "config that is ignored", "The name of a config ends in .yaml; no verb lists another."),
}


def known(word: str) -> bool:
    """Whether `word` is a code or a family of codes."""
    return word in CODES or word in FAMILIES


def explanation(code: str) -> str:
    """What `check --explain CODE` prints. Raises `KeyError`."""
    entry = CODES[code]
    return f"{entry.severity}[{code}]: {entry.title}\n\n{entry.meaning}"
