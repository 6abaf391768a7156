"""How deeply a text nests, found before it is composed: the C parser recurses, and a full C stack ends the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import yaml

MOST_LEVELS: Final = 1000  # far more than the graph parser follows, far less than the C stack holds
_OPENING: Final = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSING: Final = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


def too_deep(text: str, make_loader: Callable[[], Any]) -> Any | None:
    """The mark where `text` begins to nest more deeply than `MOST_LEVELS`; None when it does not.

    `make_loader` makes a loader for the same text. Most texts need no look: brackets and columns bound their depth. A
    syntax error is left to whoever composes the text.
    """
    if text.count("[") + text.count("{") + max(map(len, text.split("\n"))) <= MOST_LEVELS:
        return None
    loader, level = make_loader(), 0
    try:
        while loader.check_event():
            event = loader.get_event()
            level += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
            if level > MOST_LEVELS:
                return event.start_mark
    except yaml.YAMLError:
        return None
    finally:
        loader.dispose()
    return None
