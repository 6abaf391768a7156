"""Rows of a source, turned into text by a function: a chat template, an instruction format, a choice of columns."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from fg_data_server import RowBatch, RowSource
from fg_trainers.errors import DatasetError


class MappedRows:
    """A row source whose column "text" is what a function makes of the rows of another source.

    The fingerprint covers the source of the function: an edited function is other data, and a saved position in the old
    data is refused.

    Args:
        source: the rows.
        function: a Python function (or `functools.partial` of one) from a `RowBatch` to as many texts. What it closes
            over must have a `repr` that tells it apart, as numbers and texts have.
    """

    def __init__(self, source: RowSource, function: Callable[[RowBatch], Sequence[str]]) -> None:
        self._source, self._function = source, function
        digest = hashlib.blake2b(f"{source.fingerprint}\0{_identity(function)}".encode(), digest_size=20)
        self.fingerprint = digest.hexdigest()
        self.num_rows = source.num_rows

    def take(self, rows: NDArray[Any]) -> RowBatch:
        """The texts of the rows with these numbers. Raises `DatasetError` when their number is another."""
        batch = self._source.take(rows)
        texts = list(self._function(batch))
        if len(texts) != len(batch):
            raise DatasetError(f"map_function made {len(texts)} texts of {len(batch)} rows; it must make one of each")
        return RowBatch(rows=batch.rows, columns={"text": texts})


def _identity(function: Callable[..., Any]) -> str:
    """Other for another function, another body, other arguments bound to it or other values that it closes over."""
    if isinstance(function, functools.partial):
        return f"{_identity(function.func)}{function.args!r}{sorted(function.keywords.items())!r}"
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise DatasetError(
            f"map_function {function!r} has no source to tell it from another; give a function of a Python file "
            "(in a config: !call of a function that returns it)"
        ) from error
    enclosed = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return f"{function.__module__}.{function.__qualname__}\0{source}{enclosed!r}"
