"""What can stand at the end of a half-written command line, for the shells and for `forgather -i`.

The flags come from the parser that runs the verb, so that what is offered is what is accepted, the flags of the
selected config included. Nothing that a config names is imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fg_config.command_line import CommandParser, Commands, add_project_options
from fg_config.shell.values import Selection, named_values

PathKind = Literal["none", "files", "directories"]
CommandsOf = Callable[[str], Commands | None]

_DIRECTORIES: Final = ("DIR", "PROJECT")
_ALSO_PATHS: Final = ("sides",)
_FREE: Final = argparse.Action(option_strings=[], dest="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A word that fits, and a line about it."""

    text: str
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The words that fit, and whether paths do."""

    candidates: tuple[Candidate, ...] = ()
    paths: PathKind = "none"

    def to_lines(self) -> list[str]:
        """For the shells: the kind of paths, then a candidate per line with its help behind a tab."""
        return [self.paths, *(f"{each.text}\t{each.help}".rstrip("\t") for each in self.candidates)]


def complete(words: Sequence[str], verbs: Mapping[str, str], commands_of: CommandsOf) -> Completion:
    """Complete the last of `words`, which stand behind the name of the command; it may be empty.

    `verbs` maps verbs to help, `commands_of` gives the module that has a verb, or None when it is not installed.
    """
    *done, current = _rejoined(words) or [""]
    if len(done) > 1 and done[-1] == ":":  # bash takes `HEAD:a.yaml` apart at the colon and wants what is behind it
        prefix = f"{done[-2]}:"
        found = complete([*done[:-2], f"{prefix}{current}"], verbs, commands_of)
        cut = (Candidate(text=each.text.removeprefix(prefix), help=each.help) for each in found.candidates)
        return Completion(candidates=tuple(cut), paths=found.paths)
    verb, others = _verb_of(done, verbs)
    if verb is None:
        return _complete(_global_parser(), done, current, verbs)
    commands = commands_of(verb)
    if commands is None:
        return Completion()
    parser = CommandParser(prog=verb)
    # With --help a config that cannot be read is no error; its flags are missing then.
    commands.configure(verb, parser, [*_complete_options(others), "--help"])
    return _complete(parser, others, current, {})


def _rejoined(words: Sequence[str]) -> list[str]:
    """Bash takes `--target=main` apart at `=`; here it is `--target main` again."""
    kept = [word for index, word in enumerate(words) if word != "=" or index == len(words) - 1]
    if kept and kept[-1] in ("=", ":"):
        return [*kept, ""] if kept[-1] == ":" else [*kept[:-1], ""]
    return kept


def _global_parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="forgather")
    add_project_options(parser)
    parser.add_argument("-i", "--interactive", action="store_true", help="open the interactive shell")
    parser.add_argument("--version", action="store_true", help="print the version")
    return parser


def _verb_of(done: Sequence[str], verbs: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """The verb among finished words, and the words without it; a value of `-p` or `-t` is no verb."""
    takes_value = {flag for action in _global_parser()._actions if action.nargs != 0 for flag in action.option_strings}
    for index, word in enumerate(done):
        if word in verbs and (index == 0 or done[index - 1] not in takes_value):
            return word, [*done[:index], *done[index + 1 :]]
    return None, list(done)


def _complete_options(words: Sequence[str]) -> list[str]:
    """`words` without a last `-p` or `-t` whose value is still to be written."""
    return list(words[:-1]) if words and words[-1] in ("-p", "--project-dir", "-t", "--config-template") else [*words]


# --- at the cursor ------------------------------------------------------------------------------------------------


def _complete(
    parser: argparse.ArgumentParser, done: Sequence[str], current: str, verbs: Mapping[str, str]
) -> Completion:
    selection = Selection.of(done)
    parser, positionals = _descend(parser, done)
    pending = _option(parser, done[-1]) if done else None
    if pending is not None and pending.nargs != 0:
        return _values(pending, current, selection)
    flag, equals, value = current.partition("=")
    option = _option(parser, flag) if equals else None
    if option is not None:
        found = _values(option, value, selection)
        joined = (Candidate(text=f"{flag}={each.text}", help=each.help) for each in found.candidates)
        return Completion(candidates=tuple(joined))
    if current.startswith("-"):
        return Completion(candidates=_fitting(_flags(parser), current))
    if verbs:
        return Completion(candidates=_fitting(verbs.items(), current))
    return _values(positionals[0] if positionals else _FREE, current, selection)


def _descend(
    parser: argparse.ArgumentParser, done: Sequence[str]
) -> tuple[argparse.ArgumentParser, list[argparse.Action]]:
    """The parser of the innermost action among `done`, and its positional arguments that are still open."""
    open_ones = _positionals(parser)
    skip = False
    for word in done:
        option = _option(parser, word.partition("=")[0])
        if skip or option is not None or word.startswith("-"):
            skip = not skip and option is not None and option.nargs != 0 and "=" not in word
            continue
        if open_ones and isinstance(open_ones[0], argparse._SubParsersAction) and word in (open_ones[0].choices or {}):
            parser = open_ones[0].choices[word]
            open_ones = _positionals(parser)
        elif open_ones and open_ones[0].nargs not in ("*", "+"):
            open_ones = open_ones[1:]
    return parser, open_ones


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def _option(parser: argparse.ArgumentParser, flag: str) -> argparse.Action | None:
    return next((action for action in parser._actions if flag in action.option_strings), None)


def _flags(parser: argparse.ArgumentParser) -> Iterable[tuple[str, str]]:
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            yield from ((flag, action.help or "") for flag in action.option_strings)


def _values(action: argparse.Action, current: str, selection: Selection) -> Completion:
    """What fits for the value of an option or a positional argument."""
    if isinstance(action, argparse._SubParsersAction):
        return Completion(
            candidates=_fitting(((each.dest, each.help or "") for each in action._choices_actions), current)
        )
    if action.choices is not None:
        return Completion(candidates=_fitting(((str(choice), "") for choice in action.choices), current))
    if action.dest == "project_dir" or action.metavar in _DIRECTORIES:
        return Completion(paths="directories")
    if _is_path(action):
        return Completion(paths="files")
    names = named_values(action.dest, current, selection)
    kind: PathKind = "files" if action.dest in _ALSO_PATHS and ":" not in current else "none"
    return Completion(candidates=_fitting(((name, "") for name in names), current), paths=kind)


def _is_path(action: argparse.Action) -> bool:
    """Also a flag that the config declares with `type: path`; its converter is a method of that declaration."""
    declared = getattr(action.type, "__self__", None)
    return action.type is Path or action.metavar == "FILE" or getattr(declared, "type", None) == "path"


def _fitting(candidates: Iterable[tuple[str, str]], current: str) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(text=text, help=" ".join(help.split())) for text, help in candidates if text.startswith(current)
    )
