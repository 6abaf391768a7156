"""A text file as training samples, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from fg_data_server import ArrowSource, Order, RowBatch, RowSource, SampleStream, TextSource
from fg_trainers.data.mapped_rows import MappedRows
from fg_trainers.data.tokenize import TokenizeText


def text_dataset(
    rows: str | Path | RowSource,
    tokenizer: Any,
    *,
    feature: str = "text",
    sequence_length: int = 512,
    packing: Literal["greedy", "best_fit"] | None = "greedy",
    window_rows: int = 4096,
    shuffle_seed: int | None = 0,
    add_bos: bool = True,
    add_eos: bool = True,
    map_function: Callable[[RowBatch], Sequence[str]] | None = None,
) -> SampleStream:
    """Documents, tokenized, shuffled and packed.

    Args:
        rows: a .txt, .jsonl or .arrow file, or any row source of `fg_data_server`; one document per row.
        tokenizer: a fast Hugging Face tokenizer.
        feature: the column with the text.
        sequence_length: tokens of a sample.
        packing: how documents share a sample; None gives each its own and cuts it off at `sequence_length`.
        shuffle_seed: seed of the order of rows; None keeps the order of the file.
        map_function: makes the text of each row, instead of the column `feature`; see `MappedRows`.

    Raises:
        fg_data_server.DataError: the file is missing, empty or of an unknown kind.
        DatasetError: the column or a special token is missing.
    """
    source, column = _open(Path(rows), feature) if isinstance(rows, (str, Path)) else (rows, feature)
    if map_function is not None:
        source, column = MappedRows(source, map_function), "text"
    algo: Literal["feistel-v1", "sequential"] = "sequential" if shuffle_seed is None else "feistel-v1"
    tokenize = TokenizeText(tokenizer, column, add_bos=add_bos, add_eos=add_eos)
    return SampleStream(
        source,
        encode=tokenize,
        encode_id=tokenize.id,
        order=Order(algo=algo, seed=shuffle_seed or 0),
        sequence_length=sequence_length,
        packing=packing,
        window_rows=window_rows,
    )


def _open(path: Path, feature: str) -> tuple[RowSource, str]:
    """The rows of a file, and the column that holds their text: text files have one, whatever its name was."""
    if path.suffix == ".arrow":
        return ArrowSource(path, columns=[feature]), feature
    return TextSource(path, column=feature if path.suffix == ".jsonl" else "text"), "text"
