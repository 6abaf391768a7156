"""A graph written as Python source (`code`), and the source that a model directory carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from fg_config.building.builder import run_meta_node
from fg_config.building.resolver import resolve_alias
from fg_config.errors import GraphError, TemplateError
from fg_config.exporting.export_yaml import checked_policy
from fg_config.exporting.python_encoder import Encoder, MetaRunner, SourceText
from fg_config.exporting.python_symbols import DynamicImport
from fg_config.exporting.python_text import Group, layout, quoted

_TEMPLATE: Final = Path(__file__).with_name("code_template.jinja")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedSource:
    """The pieces of a generated file, as the code templates receive them."""

    imports: list[tuple[str, str]]
    module_imports: list[str]
    dynamic_imports: list[DynamicImport]
    variables: list[tuple[str, bool, SourceText | None]]
    definitions: str
    main_body: str


def to_source(
    root: Any,
    *,
    name_policy: str | None = None,
    run_meta: MetaRunner | None = None,
    alias: Callable[[str], str] = str,
) -> GeneratedSource:
    """Encode the node tree `root` (a node, or containers of nodes) as Python.

    `name_policy` says which nodes become assignments (see `to_yaml`; default `named`). `run_meta` runs a `!meta` node
    and returns what is to be written in its place; without it such a node is an error, because writing must not run
    what a config names. `alias` translates import specs.

    Raises `GraphError` for values and specs that have no source form.
    """
    policy = checked_policy(name_policy or "named")
    try:
        encoder = Encoder(root, policy=policy, run_meta=run_meta, alias=alias)
        main_body = layout(encoder.encode(root))
    except RecursionError as error:
        raise GraphError("lists and mappings nest too deeply to be written as Python") from error
    return GeneratedSource(
        imports=encoder.symbols.imports,
        module_imports=sorted(encoder.symbols.module_imports),
        dynamic_imports=encoder.symbols.dynamic_imports,
        variables=encoder.variables(),
        definitions="\n".join(encoder.definitions),
        main_body=main_body,
    )


def generate_code(
    obj: Any,
    template_name: str | None = None,
    template_str: str | None = None,
    searchpath: str | Sequence[str] = ".",
    env: jinja2.Environment | None = None,
    name_policy: str | None = None,
    **extra: Any,
) -> str:
    """Render the node tree `obj` as a Python file.

    The Jinja template (`template_str`, else `template_name` found in `searchpath` or `env`, else the built-in one) sees

    - `imports`: sorted pairs `(module, symbol)`; `module_imports`: sorted module names for `import module`
    - `dynamic_imports`: `(path, symbol, searchpath)` of symbols in files
    - `variables`: triples `(name, has_default, default)`, required ones first; `default` is source text
    - `definitions`: assignments, one statement after the other; `main_body`: the expression for `obj`
    - `parameters(relaxed)`: the variables as the text of a parameter list; `repr`; and everything in `extra`

    The built-in template writes `def construct(parameters): definitions; return main_body` and knows the extras
    `factory_name` and `relaxed_kwargs` (accept and ignore further keywords). As the callable of a `!meta` node it
    gets the raw nodes; meta nodes inside `obj` are run under the default import policy.

    Raises `GraphError` for what has no source form and `TemplateError` for the template's mistakes.
    """
    source = to_source(getattr(obj, "root", obj), name_policy=name_policy, run_meta=run_meta_node, alias=resolve_alias)
    return render_source(source, _template(template_name, template_str, searchpath, env), **extra)


def render_source(source: GeneratedSource, template: jinja2.Template | None = None, **extra: Any) -> str:
    """`source` through `template` (default: the built-in one)."""
    try:
        return (template or _built_in_template()).render(
            imports=source.imports,
            module_imports=source.module_imports,
            dynamic_imports=source.dynamic_imports,
            variables=source.variables,
            definitions=source.definitions,
            main_body=source.main_body,
            parameters=lambda relaxed=False: parameter_list(source, relaxed=relaxed),
            repr=repr,
            quoted=quoted,
            **extra,
        )
    except jinja2.UndefinedError as error:
        raise TemplateError(f"the code template uses a name it was not given: {error.message}") from error


def parameter_list(source: GeneratedSource, *, relaxed: bool = False) -> str:
    """The variables as the text between the parentheses of a `def`, one per line when there are many."""
    each = [name if not has_default else f"{name}={default}" for name, has_default, default in source.variables]
    items = [*each, "**kwargs"] if relaxed else each
    return layout((Group("", tuple((item,) for item in items), ""),), prefix=len("def construct_model():"))


def _template(
    name: str | None, text: str | None, searchpath: str | Sequence[str], env: jinja2.Environment | None
) -> jinja2.Template | None:
    environment = env or _environment(searchpath)
    try:
        if text is not None:
            return environment.from_string(text)
        return environment.get_template(name) if name is not None else None
    except jinja2.TemplateNotFound as error:
        raise TemplateError(f"no code template {error.name!r} in {searchpath!r}") from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(
            f"{error.filename or error.name or 'template_str'}:{error.lineno}: {error.message}"
        ) from error


def _environment(searchpath: str | Sequence[str]) -> jinja2.Environment:
    return SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(searchpath),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def _built_in_template() -> jinja2.Template:
    return _environment(".").from_string(_TEMPLATE.read_text(encoding="utf-8"))
