"""Conversations at a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fg_inference.client import InferenceClient, Reply
from fg_inference.errors import ServerError

HELP: Final = """\
/clear           forget the conversation
/system TEXT     set the system message (without TEXT: remove it) and forget the conversation
/help            this text
quit, Ctrl-D     leave; Ctrl-C while an answer comes stops the answer"""


@dataclass(slots=True, kw_only=True)
class Conversation:
    """Messages so far, and how to ask for the next one. `write` gets text as it comes."""

    client: InferenceClient
    write: Callable[[str], None]
    model: str
    system: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, str]] = field(default_factory=list)

    def say(self, text: str) -> Reply:
        """Send `text`, write the answer, and remember both; an answer that fails leaves the conversation as it was."""
        asked = [*self.messages, {"role": "user", "content": text}]
        system = [{"role": "system", "content": self.system}] if self.system else []
        reply = self.client.chat(self.model, [*system, *asked], **self.settings)
        self.messages = [*asked, {"role": "assistant", "content": write_out(reply, self.write)}]
        return reply

    def command(self, line: str) -> None:
        """Carry out a line that begins with a slash."""
        name, _, rest = line.partition(" ")
        if name == "/clear":
            self.messages.clear()
        elif name == "/system":
            self.system = rest.strip() or None
            self.messages.clear()
        else:
            self.write(f"{HELP}\n" if name == "/help" else f"unknown command {name}\n{HELP}\n")


def write_out(reply: Reply, write: Callable[[str], None]) -> str:
    """Write the pieces of `reply` as they come, end the line, and return the text."""
    pieces: list[str] = []
    for piece in reply:
        write(piece)
        pieces.append(piece)
    write("\n")
    return "".join(pieces)


def converse(conversation: Conversation, read: Callable[[], str], after: Callable[[Reply], None]) -> None:
    """Read lines until `quit` or the end of input, and answer each; `after` gets every finished reply."""
    while True:
        try:
            line = read().strip()
        except EOFError:
            return
        if line in ("quit", "exit"):
            return
        if line.startswith("/"):
            conversation.command(line)
        elif line:
            _answer(conversation, line, after)


def _answer(conversation: Conversation, line: str, after: Callable[[Reply], None]) -> None:
    try:
        after(conversation.say(line))
    except KeyboardInterrupt:
        conversation.write("\n(stopped)\n")
    except ServerError as error:
        conversation.write(f"{error}\n")
