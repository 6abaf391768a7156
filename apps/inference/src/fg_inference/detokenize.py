"""Text from tokens as they come, never half a character."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class IncrementalDetokenizer:
    """Turns tokens into pieces of text whose concatenation is the text of all tokens decoded at once.

    A character of several bytes may be spread over tokens, and the decoders of SentencePiece treat the first token of a
    text in another way. So each piece is the difference of two decodings that share a beginning: the tokens of the
    piece before. Text that ends in an incomplete character waits for the next token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []  # of the last piece, and those that wait
        self._given = 0  # how many of them are of the last piece

    def add(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._tokens.append(token)
        piece = self._waiting()
        if not piece or piece.endswith(_REPLACEMENT):
            return ""
        self._tokens = self._tokens[self._given :]
        self._given = len(self._tokens)
        return piece

    def flush(self) -> str:
        """The text of the tokens that wait, as it is; an incomplete character shows as U+FFFD."""
        piece = self._waiting()
        self._tokens.clear()
        self._given = 0
        return piece

    def _waiting(self) -> str:
        return self._decode(self._tokens)[len(self._decode(self._tokens[: self._given])) :]

    def _decode(self, tokens: list[int]) -> str:
        text = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text
