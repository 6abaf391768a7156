"""Held-out loss in bits per character: comparable between tokenizers, which a loss per token is not."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import TrainerCallback
from fg_trainers.data.tokenize import TokenizeText
from fg_trainers.state import TrainerControl, TrainerState

if TYPE_CHECKING:
    from fg_data_server import RowSource


class BitsPerCharacter(TrainerCallback):
    """Adds `bits_per_char` = eval_loss / ln 2 / (characters per token) to the metrics of an evaluation.

    Put it before the callbacks that show or record metrics. Every token of a document counts, its EOS too; the mean
    loss stands in for the few tokens that begin a sequence and are never predicted.

    Args:
        rows: the held-out documents, one per row.
        tokenizer: the tokenizer the evaluation set is encoded with.
        feature: the column with the text.
    """

    def __init__(self, rows: RowSource, tokenizer: Any, feature: str = "text") -> None:
        self._rows = rows
        self._tokenize = TokenizeText(tokenizer, feature)
        self._rate: float | None = None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: MutableMapping[str, Any],
        **context: Any,
    ) -> None:
        if self._rate is None:
            self._rate = self._tokenize.characters_per_token(self._rows)
        metrics["bits_per_char"] = metrics["eval_loss"] / math.log(2) / self._rate
