"""What every command line of Forgather shares: project options, dynamic arguments, and how an error ends.

A distribution with verbs has a module `commands` with `VERBS` (verb → one line of help), `configure(verb, parser,
argv)` and `run(verb, args) -> exit code`; `main` runs it as `python -m <distribution> VERB …`.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from fg_config.hints import near_matches, nearest

if TYPE_CHECKING:
    from fg_config.changes.overrides import Override
    from fg_config.projects.meta import ProjectMeta
    from fg_config.projects.project import Project

EXIT_PROBLEMS: Final = 1  # the command ran and found something wrong, or the verb does not exist
EXIT_USAGE: Final = 2  # the words of the command or the files it read are wrong
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141

_NEAR_FLAG: Final = 0.76  # how much two flags have in common, from 0 to 1: `steps` and `set` have 0.75
_UNRECOGNIZED = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_INVALID_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")


class Commands(Protocol):
    """The module that a distribution declares its verbs in."""

    @property
    def VERBS(self) -> Mapping[str, str]:  # noqa: N802  # a constant of the module
        """Verb → one line of help."""
        ...

    def configure(self, verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
        """Add the flags of `verb`; `argv` holds the words behind it."""

    def run(self, verb: str, args: argparse.Namespace) -> int:
        """Do it and return the exit code."""


class CommandParser(argparse.ArgumentParser):
    """An argument parser without abbreviations that suggests what a misspelt word may have meant."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        unread = self.get_default("unread_config")
        if unread is not None and _UNRECOGNIZED.search(message):
            raise unread  # the config may declare the flag
        known = list(self._hints(message)) or [f"`{self.prog} --help` explains every flag"]
        hints = "".join(f"\n  help: {hint}" for hint in known)
        # No usage: that of a config with many flags is thirty lines, and the mistake would stand below them.
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}{hints}\n")

    def _hints(self, message: str) -> Iterator[str]:
        if match := _UNRECOGNIZED.search(message):
            flags = [word.partition("=")[0] for word in match[1].split() if word.startswith("-")]
            if flags and self.get_default("dynamic_names") == ():
                yield f"the config {self.get_default('unchanged_project').config_name!r} declares no flags of its own"
            yield from filter(None, (_near_flag(flag, _flags(self)) for flag in flags))
        elif match := _INVALID_CHOICE.search(message):
            yield from filter(None, [_near(match[1], re.findall(r"'(.*?)'", match[2]))])


def _near(word: str, known: Iterable[str]) -> str | None:
    """`'--lerning-rate': did you mean '--learning-rate'?`, or None when nothing is near."""
    near = near_matches(word, sorted(set(known)))
    return f"{word!r}: did you mean {' or '.join(map(repr, near))}?" if near else None


def _near_flag(flag: str, known: Iterable[str]) -> str | None:
    """The same for flags: the dashes, which all have, make none of them near."""
    by_name = {each.lstrip("-"): each for each in known if each.startswith("--")}
    near = [by_name[name] for name in near_matches(flag.lstrip("-"), sorted(by_name), _NEAR_FLAG)]
    return f"{flag!r}: did you mean {' or '.join(map(repr, near))}?" if near else None


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _flags(child)


# --- running ------------------------------------------------------------------------------------------------------


def main(commands: Commands, argv: Sequence[str] | None = None, prog: str = "python -m fg_config") -> int:
    """Run one verb of one distribution and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return reporting_errors(lambda: _run_words(commands, words, prog))


def _run_words(commands: Commands, words: list[str], prog: str) -> int:
    words = as_help(words, commands.VERBS)
    if not words or words[0] in ("-h", "--help"):
        print(overview(prog, commands.VERBS))  # noqa: T201  # this is the command line
        return 0
    verb, *rest = words
    if verb not in commands.VERBS:
        return unknown_verb(verb, commands.VERBS, prog)
    return run_verb(commands, verb, rest, prog=f"{prog} {verb}")


def as_help(words: list[str], verbs: Collection[str]) -> list[str]:
    """`help` and `help VERB` as the flag `--help` says it; other words as they are."""
    if words[:1] != ["help"] or "help" in verbs:
        return words
    return [*words[1:2], "--help"]


def overview(prog: str, verbs: Mapping[str, str]) -> str:
    """The text of a bare `--help`."""
    width = max(map(len, verbs))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in verbs.items()]
    return "\n".join([f"usage: {prog} VERB …", "", "verbs:", *lines, "", f"`{prog} VERB --help` explains one verb."])


def unknown_verb(verb: str, verbs: Mapping[str, str], prog: str) -> int:
    """Say that there is no such verb, and which there are."""
    hint = nearest(verb, verbs, "verbs") or "the verbs are listed below"
    text = f"{prog}: unknown verb {verb!r}\n  help: {hint}\n\n{overview(prog, verbs)}"
    print(text, file=sys.stderr)  # noqa: T201  # this is the command line
    return EXIT_PROBLEMS


def run_verb(commands: Commands, verb: str, argv: Sequence[str], *, prog: str, before: Sequence[str] = ()) -> int:
    """Parse `argv` for `verb` and run it, with `reporting_errors`. `before` holds options from before the verb."""

    def parse_and_run() -> int:
        words = [*before, *argv]
        parser = CommandParser(prog=prog, description=commands.VERBS[verb])
        commands.configure(verb, parser, words)
        _refuse_foreign(parser, verb, before)
        return commands.run(verb, parser.parse_args(words))

    return reporting_errors(parse_and_run)


def _refuse_foreign(parser: argparse.ArgumentParser, verb: str, before: Sequence[str]) -> None:
    """An option before a verb that does not have it, such as the project of a verb that works on no project."""
    known = {flag for action in parser._actions for flag in action.option_strings}
    for word in before:
        flag = word.partition("=")[0] if word.startswith("--") else word[:2]
        if flag.startswith("-") and flag not in known:
            parser.error(f"{flag} before the verb means nothing to {verb!r}; its own options stand behind it")


def reporting_errors(work: Callable[[], int]) -> int:
    """Do `work` and return its exit code; an exception that has an `exit_code` becomes its message and that code.

    Such exceptions are the mistakes a user can mend, and their text says how. All others keep their traceback.
    """
    try:
        return _reporting(work)
    except BrokenPipeError:
        _abandon_output()  # the reader (head, less) went away
        return EXIT_BROKEN_PIPE


def _reporting(work: Callable[[], int]) -> int:
    try:
        return _flushed(work)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201  # this is the command line
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        # A path the user gave, where the user stands, or a full disk; anything else is a mistake of ours.
        place = error.filename or ("the current directory" if _directory_is_gone() else None)
        if place is None and error.errno == errno.ENOSPC:
            place = "the output"
            _abandon_output()
        if place is None:
            raise
        print(f"{error.strerror}: {place}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    except UnicodeEncodeError as error:
        if _writes_everything():
            raise
        # Replaced by other characters it would be wrong for whoever reads it, such as a program.
        place, character = sys.stdout.encoding, error.object[error.start]
        print(f"cannot print {character!a} in {place}, as this locale wants it; set PYTHONUTF8=1", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    except Exception as error:  # every distribution has its own base error; the exit code is what they share
        exit_code = getattr(error, "exit_code", None)
        if not isinstance(exit_code, int):
            raise
        print("\n".join([str(error), *getattr(error, "__notes__", ())]), file=sys.stderr)  # noqa: T201
        return exit_code


def _writes_everything() -> bool:
    """Whether the output has an encoding for every character."""
    return codecs.lookup(sys.stdout.encoding).name.startswith("utf")


def _flushed(work: Callable[[], int]) -> int:
    """Do `work` and write out what it printed, or the interpreter meets the reader that went away."""
    try:
        code = work()
    except SystemExit:  # how argparse ends, after the text of `--help`
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _abandon_output() -> None:
    """Point stdout elsewhere, or the interpreter complains when it flushes the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _directory_is_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


# --- projects -----------------------------------------------------------------------------------------------------


def add_project_options(parser: argparse.ArgumentParser) -> None:
    """Add `-p`, `-t` and `--no-dyn`: which config of which project."""
    parser.add_argument(
        "-p", "--project-dir", default=".", metavar="DIR", help="project, or a directory inside it (default: .)"
    )
    parser.add_argument("-t", "--config-template", default="", metavar="NAME", help="config (default: the project's)")
    parser.add_argument("--no-dyn", action="store_true", help="do not read the config's own flags")


def add_override_options(parser: argparse.ArgumentParser) -> None:
    """Add `--set` and `--set-json`, which change single values of the graph. Both may be repeated; order counts."""
    parser.add_argument(
        *("--set", "--set-json"),
        action=_AppendOverride,
        default=(),
        dest="overrides",
        metavar="PATH=VALUE",
        help="change one value of the graph: --set trainer_args.seed=7 (its type stays), +PATH=VALUE to add one, ~PATH "
        "to take one out; --set-json for a value of any type",
    )


class _AppendOverride(argparse.Action):
    """Keeps `--set` and `--set-json` in the order they were given."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), (option_string, values)))


def given_overrides(args: argparse.Namespace) -> tuple[Override, ...]:
    """The overrides that stood on the command line."""
    from fg_config.changes.overrides import Override

    given: Sequence[tuple[Any, str]] = getattr(args, "overrides", ())
    return tuple(Override(flag=flag, text=text, number=number) for number, (flag, text) in enumerate(given, 1))


def add_dynamic_arguments(parser: argparse.ArgumentParser, argv: Sequence[str], *, optional: bool = False) -> None:
    """Add the flags that the selected config declares in its target `dynamic_args`.

    `argv` is searched for `-p`, `-t` and `--no-dyn`. With `--help` among the words, or when the config is `optional`, a
    config that cannot be read is no error: its flags are missing, the help says why, and so does using one of them.
    """
    own = _own_words(argv)
    selection, _ = _selection_parser().parse_known_args(own)
    if selection.no_dyn:
        return
    try:
        _add_flags(parser, _project(selection))
    except Exception as error:  # any error for users, of whatever distribution; all others are raised again
        if not hasattr(error, "exit_code") or not (optional or {"-h", "--help"} & set(own)):
            raise
        parser.set_defaults(unread_config=error)
        parser.epilog = f"The flags of the config are missing here, it cannot be read: {str(error).splitlines()[0]}"


def selected_project(args: argparse.Namespace) -> Project:
    """The project and config that `args` select, with the overrides; dynamic arguments become template variables."""
    variables = given_dynamic_arguments(args)
    overrides = given_overrides(args)
    base: Project | None = getattr(args, "unchanged_project", None)
    if base is None or variables:
        return _project(args, variables, overrides)
    return base.with_overrides(overrides) if overrides else base


def selected_record(args: argparse.Namespace) -> ProjectMeta:
    """The record of the project that `args` select, whichever config is chosen."""
    from fg_config.projects.meta import read_project_meta
    from fg_config.projects.workspace import find_project_dir

    return read_project_meta(find_project_dir(args.project_dir))


def given_dynamic_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Name → value of the dynamic arguments that stood on the command line."""
    names: Iterable[str] = getattr(args, "dynamic_names", ())
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _own_words(argv: Sequence[str]) -> list[str]:
    """The words before `--`: what follows belongs to another program."""
    words = list(argv)
    return words[: words.index("--")] if "--" in words else words


def _selection_parser() -> argparse.ArgumentParser:
    parser = CommandParser(add_help=False)
    add_project_options(parser)
    return parser


def _add_flags(parser: argparse.ArgumentParser, project: Project) -> None:
    from fg_config.projects.dynamic_args import parse_dynamic_args

    arguments = parse_dynamic_args(project.graph, reserved=set(_flags(parser)))
    group = parser.add_argument_group(f"flags of {project.config_name}")
    for argument in arguments:
        group.add_argument(*argument.names, **argument.argparse_kwargs())
    parser.set_defaults(unchanged_project=project, dynamic_names=tuple(argument.dest for argument in arguments))


def _project(
    args: argparse.Namespace, variables: Mapping[str, Any] | None = None, overrides: Sequence[Override] = ()
) -> Project:
    from fg_config.projects.project import Project  # imported here: jinja2 and yaml are not for --help
    from fg_config.projects.workspace import find_project_dir

    return Project(
        args.config_template, find_project_dir(Path(args.project_dir)), overrides=overrides, **(variables or {})
    )
