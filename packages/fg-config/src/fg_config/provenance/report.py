"""An explanation as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fg_config.provenance.explanation import Entry, Explanation, Feed, Origin, Site

_INDENT = "    "


def explanation_text(explanation: Explanation) -> str:
    """The value; each line that wrote it, newest first, with the variables behind the newest; and what it holds."""
    lines = [f"{explanation.path or 'the config'} = {explanation.shown}"]
    for index, origin in enumerate(explanation.origins):
        lines += _origin(origin, newest=index == 0)
    lines += _entries(explanation.entries)
    return "\n".join(lines)


def _origin(origin: Origin, *, newest: bool) -> Iterator[str]:
    if origin.kind == "replaced block":
        yield f"  replaced block  {_site(origin.site)}"
        return
    if newest:
        yield f"  {_headline(origin)}"
        yield f"  {_site(origin.site)}"
    else:
        yield f"  overrides  {_site(origin.site)}  ({origin.kind}, {origin.value})"
    if origin.merged_at:
        yield f"{_INDENT}merged at {_site(origin.merged_at)}"
    if newest:
        yield from _feeds(origin.feeds)


def _headline(origin: Origin) -> str:
    """The kind, for a flag with the words that were typed."""
    given = next((feed for feed in _all_feeds(origin.feeds) if feed.source == origin.kind), None)
    if given is None or origin.kind not in ("dynamic argument", "template variable"):
        return origin.kind
    return f"{origin.kind}  {given.given if origin.kind == 'dynamic argument' else given.name} {given.value}"


def _site(site: Site) -> str:
    return f"{site.place}    {site.text}" if site.text else site.place


def _all_feeds(feeds: Sequence[Feed]) -> Iterator[Feed]:
    for feed in feeds:
        yield feed
        yield from _all_feeds(feed.feeds)


def _feeds(feeds: Sequence[Feed]) -> Iterator[str]:
    """A line per name, in columns, what was computed from others before them; each name once."""
    unique = {(feed.name, feed.site): feed for feed in _all_feeds(feeds)}
    rows = [
        (f"{feed.name} = {feed.value}" if feed.value is not None else feed.name, _source(feed))
        for feed in unique.values()
    ]
    width = max((len(left) for left, _ in rows if len(left) <= 48), default=0)
    yield from (f"{_INDENT * 2}{left:<{width}}  {right}" for left, right in rows)


def _source(feed: Feed) -> str:
    match feed.source:
        case "set":
            return _site(feed.site) if feed.site else "set"
        case "default()":
            flag = f" ({feed.given})" if feed.given else ""
            return f"not given{flag}; default {feed.default}"
        case "not given":
            return f"not given ({feed.given})"
        case "local":
            return "known only while rendering (a loop variable, macro or import), or undefined"
        case "environment":
            return f"from {feed.given}"
    fallback = f"; default {feed.default}" if feed.default is not None else ""
    return f"given ({feed.given}){fallback}"


def _entries(entries: Sequence[Entry]) -> Iterator[str]:
    if not entries:
        return
    rows = [(f"{entry.name} = {entry.value}", entry) for entry in entries]
    width = max((len(left) for left, _ in rows if len(left) <= 60), default=0)
    yield "  holds"
    for left, entry in rows:
        kind = f"  ({entry.kind})" if entry.kind and entry.kind != "literal" else ""
        yield f"{_INDENT}{left:<{width}}  {entry.site.place if entry.site else ''}{kind}".rstrip()
