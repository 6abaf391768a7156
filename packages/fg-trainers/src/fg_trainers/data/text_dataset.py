"""A text file as training samples, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fg_data_server import ArrowSource, Order, RowSource, SampleStream, SliceSource, TextSource

from fg_trainers.data.tokenize import TokenizeText

Split = Literal["all", "train", "validation"]


class TextDataset(SampleStream):
    """A stream of samples that also knows its characters per token."""

    def __init__(self, source: RowSource, tokenize: TokenizeText, **settings: Any) -> None:
        super().__init__(source, encode=tokenize, encode_id=tokenize.id, **settings)
        self._rows = source
        self._tokenize = tokenize

    def characters_per_token(self) -> float:
        """Characters of the text divided by its tokens, BOS not counted (it is never predicted)."""
        return self._tokenize.characters_per_token(self._rows)


def text_dataset(
    path: str | Path,
    tokenizer: Any,
    *,
    feature: str = "text",
    split: Split = "all",
    hold_out_every: int = 32,
    sequence_length: int = 512,
    packing: Literal["greedy", "best_fit"] | None = "greedy",
    window_rows: int = 4096,
    shuffle_seed: int | None = 0,
    add_bos: bool = True,
    add_eos: bool = True,
) -> TextDataset:
    """Documents of a .txt, .jsonl or .arrow file, tokenized, shuffled and packed.

    Args:
        path: the file; one document per row.
        tokenizer: a fast Hugging Face tokenizer.
        feature: the column with the text.
        split: "validation" is every `hold_out_every`-th row, "train" the others, "all" both.
        sequence_length: tokens of a sample.
        packing: how documents share a sample; None gives each its own.
        shuffle_seed: seed of the order of rows; None keeps the order of the file.

    Raises:
        fg_data_server.DataError: the file is missing, empty or of an unknown kind.
        DatasetError: the column or a special token is missing.
    """
    source, column = _open(Path(path), feature)
    algo: Literal["feistel-v1", "sequential"] = "sequential" if shuffle_seed is None else "feistel-v1"
    return TextDataset(
        _part(source, split, hold_out_every),
        TokenizeText(tokenizer, column, add_bos=add_bos, add_eos=add_eos),
        order=Order(algo=algo, seed=shuffle_seed or 0),
        sequence_length=sequence_length,
        packing=packing,
        window_rows=window_rows,
    )


def _open(path: Path, feature: str) -> tuple[RowSource, str]:
    """The rows of a file, and the column that holds their text: text files have one, whatever its name was."""
    if path.suffix == ".arrow":
        return ArrowSource(path, columns=[feature]), feature
    return TextSource(path, column=feature), "text"


def _part(source: RowSource, split: Split, every: int) -> RowSource:
    if split == "all":
        return source
    return SliceSource(source, every=every, part="selection" if split == "validation" else "rest")
