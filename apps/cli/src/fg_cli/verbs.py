"""Which distribution has which verb: a table, so that `--help` and completion import nothing.

A test compares it with the `VERBS` of every `commands` module.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Verb(NamedTuple):
    """A verb, the module whose `configure` and `run` serve it, and its line of help.

    No dataclass: their module takes a third of the time that `--help` may take.
    """

    name: str
    module: str
    help: str

    @property
    def distribution(self) -> str:
        """The name to install: `fg_data_server.commands` lives in `fg-data-server`."""
        return self.module.partition(".")[0].replace("_", "-")


_TABLE: Final = {
    "fg_config.commands": {
        "ls": "list the configs of a project",
        "index": "print a project on one page: README, record, configs",
        "meta": "print a project's record and where its templates are searched",
        "project": "print the project directory; create a project or a config",
        "ws": "print the workspace directory; create a workspace",
        "tlist": "list every template that a project can see",
        "pp": "print a config after templates, before YAML is read",
        "targets": "list what a config can build",
        "graph": "print the node graph of a config",
        "code": "print a target as Python source",
        "trefs": "list the templates a config is made of",
        "explain": "tell where a value of a config comes from",
        "diff": "tell what differs between two configs, commits or runs",
        "sweep": "try every combination of some values",
        "check": "find mistakes and doubtful places without running anything",
        "lint": "the same as check",
        "construct": "build a target and print it",
        "imports": "list what building a target would import, and what would be refused",
        "trust": "trust a directory: its configs are built without import policy",
        "editor": "write syntax highlighting for an editor",
        "schema": "print what a record, a flag or a target may hold, as JSON Schema",
    },
    "fg_trainers.commands": {
        "train": "train what a config describes",
        "tb": "show the runs of a model in TensorBoard",
    },
    "fg_checkpoint.commands": {
        "checkpoint": "list and verify the checkpoints of a run",
    },
    "fg_kernels.commands": {
        "kernels": "measure, check, compile and tune the kernels on this machine",
    },
    "fg_tls.commands": {
        "tls": "give this host a certificate, let others join, and find out why two cannot talk",
    },
    "fg_inference.commands": {
        "inf": "serve a model over HTTP, or talk to a server",
    },
    "fg_cli.shell_init": {
        "shell-init": "print the shell function that makes `fg VERB` work at the prompt",
    },
}

VERBS: Final[dict[str, Verb]] = {
    name: Verb(name, module, text) for module, verbs in _TABLE.items() for name, text in verbs.items()
}
HELPS: Final = {name: verb.help for name, verb in VERBS.items()}
