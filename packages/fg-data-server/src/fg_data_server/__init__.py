"""Training data by position: which row comes next is a pure function of data, order, epoch and position."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fg_data_server.__about__ import __version__

if TYPE_CHECKING:
    from fg_data_server.arrow import ArrowSource
    from fg_data_server.cursor import Cursor
    from fg_data_server.errors import (
        CursorError,
        DataError,
        DatasetContentError,
        EmptyDatasetError,
        FingerprintMismatchError,
        MissingDatasetError,
        MissingExtraError,
        SettingError,
        UnknownColumnError,
        ViewMismatchError,
    )
    from fg_data_server.order import Order
    from fg_data_server.packing import PackingPlan
    from fg_data_server.sources import ConcatSource, ListSource, RowBatch, RowSource, SliceSource
    from fg_data_server.stream import SampleStream
    from fg_data_server.text import TextSource
    from fg_data_server.window import Sample

__all__ = [
    "ArrowSource",
    "ConcatSource",
    "Cursor",
    "CursorError",
    "DataError",
    "DatasetContentError",
    "EmptyDatasetError",
    "FingerprintMismatchError",
    "ListSource",
    "MissingDatasetError",
    "MissingExtraError",
    "Order",
    "PackingPlan",
    "RowBatch",
    "RowSource",
    "Sample",
    "SampleStream",
    "SettingError",
    "SliceSource",
    "TextSource",
    "UnknownColumnError",
    "ViewMismatchError",
    "__version__",
]

_MODULES = {
    "ArrowSource": "arrow",
    "ConcatSource": "sources",
    "Cursor": "cursor",
    "CursorError": "errors",
    "DataError": "errors",
    "DatasetContentError": "errors",
    "EmptyDatasetError": "errors",
    "FingerprintMismatchError": "errors",
    "ListSource": "sources",
    "MissingDatasetError": "errors",
    "MissingExtraError": "errors",
    "Order": "order",
    "PackingPlan": "packing",
    "RowBatch": "sources",
    "RowSource": "sources",
    "Sample": "window",
    "SampleStream": "stream",
    "SettingError": "errors",
    "SliceSource": "sources",
    "TextSource": "text",
    "UnknownColumnError": "errors",
    "ViewMismatchError": "errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that `import fg_data_server` loads no numpy."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
