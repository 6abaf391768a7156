"""FG05: whether the callables that a config names accept what it gives them. Another process imports them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fg_config.building.policy import ImportPolicy
from fg_config.building.signatures import (
    FailureKind,
    Parameter,
    Signature,
    SignatureFailure,
    requests_of,
    signatures_of,
)
from fg_config.hints import nearest
from fg_config.lint.context import ConfigContext
from fg_config.lint.findings import Finding
from fg_config.lint.rules_specs import is_relative, problem_of
from fg_config.nodes import Call, Span, Value
from fg_config.schema.annotations import accepts
from fg_config.tagged import container_tag, untagged
from fg_config.walking import walk

_FAILURES: Final[dict[FailureKind, str]] = {
    "missing": "FG0514",
    "refused": "FG0515",
    "failed": "FG0516",
    "timeout": "FG0516",
}
Answers = dict[str, Signature | SignatureFailure]


def signatures_for(contexts: list[ConfigContext], policy: ImportPolicy, timeout: float) -> Answers:
    """The signatures of everything that the configs call, from one child process."""
    calls = [call for context in contexts for call in _calls(context)]
    directory: Path | None = contexts[0].project.project_dir if contexts else None
    requests = requests_of((call.spec, untagged(call.submodule_searchpath)) for call in calls)
    return signatures_of(requests, policy, directory, timeout) if calls else {}


def wrong_calls(context: ConfigContext, answers: Answers) -> Iterator[Finding]:
    """Calls that the signature of their callable does not accept."""
    for call in _calls(context):
        answer = answers[call.spec]
        if isinstance(answer, Signature):
            yield from _misfits(context, call, answer)
        elif code := _FAILURES.get(answer.kind):
            names_it = call.spec in answer.message
            yield context.found(code, answer.message if names_it else f"{call.spec}: {answer.message}", call.span)


def _calls(context: ConfigContext) -> list[Call]:
    """The nodes whose spec can be imported: a relative one belongs to a model that is not written yet.

    What is wrong with the form of a spec is found without importing.
    """
    values = walk([context.graph.root]) if context.graph else ()
    calls = [value for value in values if isinstance(value, Call) and not container_tag(value)]
    return [call for call in calls if not is_relative(call.spec) and problem_of(call.spec) is None]


# --- one call -----------------------------------------------------------------------------------------------------


def _misfits(context: ConfigContext, call: Call, signature: Signature) -> Iterator[Finding]:
    if signature.deprecated is not None:
        yield context.found("FG0513", f"{call.spec} is deprecated: {signature.deprecated}", call.span)
    yield from _unknown_keywords(context, call, signature)
    yield from _surplus_positions(context, call, signature)
    yield from _missing_arguments(context, call, signature)
    for parameter, key, value in _given(call, signature):
        if not accepts(parameter.schema, untagged(value)):
            message = f"{parameter.name!r} of {call.spec} is {parameter.annotation}, not {_shown(value)}"
            yield context.found("FG0512", message, _place(context, call, key))


def _unknown_keywords(context: ConfigContext, call: Call, signature: Signature) -> Iterator[Finding]:
    if signature.any_keyword:
        return
    for name in call.kwargs:
        if name not in signature.by_keyword:
            help = nearest(name, signature.by_keyword, "keywords")
            message = f"{call.spec} takes no keyword {name!r}"
            yield context.found("FG0510", message, _place(context, call, name), help)


def _surplus_positions(context: ConfigContext, call: Call, signature: Signature) -> Iterator[Finding]:
    limit = len(signature.positional)
    if not signature.any_position and len(call.args) > limit:
        message = f"{call.spec} takes {limit} positional argument{'s' * (limit != 1)}, not {len(call.args)}"
        yield context.found("FG0517", message, _place(context, call, limit))


def _missing_arguments(context: ConfigContext, call: Call, signature: Signature) -> Iterator[Finding]:
    """Arguments without default that nobody gives. A !partial may get them later, latent arguments are not known."""
    if call.kind == "partial" or call.latent_args is not None:
        return
    by_position = {parameter.name for parameter in signature.positional[: len(call.args)]}
    for parameter in signature.parameters:
        optional = parameter.has_default or parameter.kind.startswith("var_")
        if not optional and parameter.name not in by_position and parameter.name not in call.kwargs:
            yield context.found("FG0511", f"{call.spec} needs the argument {parameter.name!r}", call.span)


def _given(call: Call, signature: Signature) -> Iterator[tuple[Parameter, str | int, Value]]:
    """What the call gives to which parameter."""
    for index, (parameter, value) in enumerate(zip(signature.positional, call.args, strict=False)):
        yield parameter, index, value
    for name, value in call.kwargs.items():
        if name in signature.by_keyword:
            yield signature.by_keyword[name], name, value


def _shown(value: Value) -> str:
    text = repr(untagged(value))
    return f"the {type(untagged(value)).__name__} {text if len(text) <= 60 else text[:59] + '…'}"


def _place(context: ConfigContext, call: Call, key: str | int) -> Span:
    assert context.graph is not None
    return context.graph.spans.get((id(call), key), call.span)
