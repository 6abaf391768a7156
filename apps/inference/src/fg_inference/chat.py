"""From messages to a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fg_inference.errors import RequestError, SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TRANSCRIPT: Final = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


class ChatFormat:
    """How messages are written for a model: by the Jinja template given, else by the tokenizer's own.

    A tokenizer without one gets a plain transcript (`User: …`), and answers end where the next `User:` would begin.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, template: str | None = None, *, origin: str = "given"
    ) -> None:
        self._tokenizer: Any = tokenizer
        self.stops: tuple[str, ...] = ()
        self._own_special_tokens = True
        self._template = template  # None: the tokenizer's
        self.origin = origin
        if template is not None:
            return
        if self._tokenizer.chat_template:
            self.origin = "the tokenizer's"
        else:
            self._template = PLAIN_TRANSCRIPT
            self.origin = "none, a plain transcript"
            self.stops = ("\nUser:",)
            self._own_special_tokens = False

    def prompt(self, messages: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """The token ids of `messages` (with `role` and `content`), ready for the assistant's answer.

        Raises:
            RequestError: the template refuses the messages, or fails.
        """
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=True,
            )
        # A template is a small program that came with a model: it may refuse messages, or fail in any way.
        except Exception as error:
            raise RequestError(f"the chat template ({self.origin}): {error}", param="messages") from error
        return encode(self._tokenizer, text, special=not self._own_special_tokens)


def encode(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool = True) -> tuple[int, ...]:
    """The token ids of `text`, with the tokens that the tokenizer puts around texts if `special`.

    An end token that the tokenizer appends is left out: the text is to be continued.
    """
    anything: Any = tokenizer
    # verbose=False: the engine refuses a prompt that is too long, and transformers would warn about it besides.
    ids = list(anything(text, add_special_tokens=special, verbose=False)["input_ids"])
    if special and ids and ids[-1] == anything.eos_token_id:
        plain = anything(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not plain or plain[-1] != anything.eos_token_id:
            ids.pop()
    return tuple(ids)


def read_template(path: Path) -> str:
    """The text of a template file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the chat template {path} cannot be read: {error}") from error
