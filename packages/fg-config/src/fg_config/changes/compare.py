"""What differs between two graphs: values, entries, specs, moved parts, and which objects are shared.

Written order of mappings, comments and anchors mean nothing and are not compared. Whatever is met twice is compared
once, so shared parts cost nothing, and a change inside a shared object is reported once, at its shortest path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fg_config.changes.align import Names, aligned
from fg_config.changes.digest import Digests, head, same_key
from fg_config.changes.structure import is_holder
from fg_config.graph import Graph, entries
from fg_config.nodes import Call, Span, Value, Var
from fg_config.steps import path_text
from fg_config.tagged import untagged

Kind = Literal["changed", "spec", "added", "removed", "moved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A value in one of the graphs: where it hangs, and where it was written.

    `set_at` are the assignments that it was computed from, as far as they are others than in the other graph.
    """

    steps: tuple[Any, ...]
    value: Value
    span: Span | None
    set_at: tuple[Span, ...] = ()

    @property
    def path(self) -> str:
        """The steps as text, as `--set` takes them."""
        return path_text(self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `old` is its place in the first graph, `new` in the second; what was added has no `old`.

    `spec` is another callable, tag or name at the same place; what differs in the arguments is reported by itself.
    """

    kind: Kind
    old: Place | None = None
    new: Place | None = None

    @property
    def path(self) -> str:
        """Where it hangs: in the second graph, or in the first if it is gone."""
        place = self.new or self.old
        assert place is not None
        return place.path


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingChange:
    """The values at `paths` are one object in one graph and several in the other; `split`: in the second several."""

    kind: Literal["split", "joined"]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphDiff:
    """Everything that differs; false when nothing does."""

    changes: tuple[Change, ...] = ()
    sharing: tuple[SharingChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.sharing)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all changes, in their order, each once."""
        return tuple(dict.fromkeys(change.path for change in self.changes))


def diff(a: Graph, b: Graph) -> GraphDiff:
    """What differs between two graphs, near the root first."""
    comparison = _Comparison(a, b)
    comparison.run()
    return GraphDiff(changes=tuple(comparison.changes_with_moves()), sharing=tuple(comparison.sharing()))


class _Comparison:
    def __init__(self, a: Graph, b: Graph) -> None:
        self._graphs = (a, b)
        self._digests = (Digests(), Digests())
        self._changes: list[Change] = []
        self._met: dict[tuple[int, int], tuple[Place, Place]] = {}  # objects that were compared → where, first
        self._objects: list[tuple[int, int]] = []
        root_a, root_b = (Place(steps=(), value=graph.root, span=None) for graph in self._graphs)
        self._todo = deque([(root_a, root_b)])

    def run(self) -> None:
        while self._todo:
            self._compare(*self._todo.popleft())

    def changes_with_moves(self) -> list[Change]:
        """The changes; what was removed in one place and added in another is one move."""
        added = self._by_digest("added", 1)
        moved: dict[int, Change] = {}
        for digest, removals in self._by_digest("removed", 0).items():
            for removal, addition in zip(removals, added.get(digest, ()), strict=False):
                moved[id(addition)] = Change(kind="moved", old=removal.old, new=addition.new)
                moved[id(removal)] = moved[id(addition)]
        changes = [moved.get(id(change), change) for change in self._changes]
        return list({id(change): change for change in changes}.values())

    def sharing(self) -> Iterator[SharingChange]:
        """Objects of one graph that met several of the other; the paths are those of the several."""
        kinds: tuple[Literal["split"], Literal["joined"]] = ("split", "joined")
        for one, several, kind in ((0, 1, kinds[0]), (1, 0, kinds[1])):
            partners: dict[int, list[str]] = {}
            for pair in self._objects:
                partners.setdefault(pair[one], []).append(self._met[pair][several].path)
            yield from (SharingChange(kind=kind, paths=tuple(paths)) for paths in partners.values() if len(paths) > 1)

    def _compare(self, old: Place, new: Place) -> None:
        differs = head(old.value) != head(new.value)
        ours, theirs = untagged(old.value), untagged(new.value)
        if not is_holder(ours) or type(ours) is not type(theirs):
            if differs or type(ours) is not type(theirs):
                self._changes.append(Change(kind="changed", old=old, new=new))
            return
        pair = (id(old.value), id(new.value))
        if pair in self._met:
            return
        self._met[pair] = (old, new)
        if _is_object(old.value) and _is_object(new.value):
            self._objects.append(pair)
        if differs:
            self._changes.append(Change(kind="spec", old=_written(old), new=_written(new)))
        for before, after in self._partners(old, new):
            if before is not None and after is not None:
                self._todo.append((before, after))
            else:
                kind: Kind = "added" if before is None else "removed"
                self._changes.append(Change(kind=kind, old=before, new=after))

    def _partners(self, old: Place, new: Place) -> Iterator[tuple[Place | None, Place | None]]:
        """The entries of two values of one type, by key or, in lists, by what they say."""
        ours, theirs = self._entries(0, old), self._entries(1, new)
        if isinstance(untagged(old.value), (list, tuple)):
            yield from self._items(old, new, list(ours.values()), list(theirs.values()))
            return
        # By name, so that the result does not depend on the order the entries were written in.
        for key in sorted({*ours, *theirs}):
            yield ours.get(key), theirs.get(key)

    def _items(
        self, old: Place, new: Place, ours: list[Place], theirs: list[Place]
    ) -> Iterator[tuple[Place | None, Place | None]]:
        """Items of two lists: those of a `!dlist` belong together by key, others by what they say."""
        keyed = self._item_keys(0, old) and self._item_keys(1, new)
        names = [(_last, _last)] if keyed else [self._names(), (_sort, _sort)]
        for i, j in aligned(ours, theirs, *names, by_position=not keyed):
            yield None if i is None else ours[i], None if j is None else theirs[j]

    def _item_keys(self, side: int, owner: Place) -> Sequence[Any]:
        return self._graphs[side].item_keys.get(id(untagged(owner.value)), ())

    def _names(self) -> Names:
        digest_old, digest_new = self._digests
        return (lambda place: digest_old(place.value)), (lambda place: digest_new(place.value))

    def _entries(self, side: int, owner: Place) -> dict[tuple[str, str], Place]:
        holder = untagged(owner.value)
        spans, item_keys = self._graphs[side].spans, self._item_keys(side, owner)
        return {
            same_key(key): Place(
                steps=(*owner.steps, item_keys[key] if item_keys else key),
                value=value,
                span=_span(value, spans.get((id(holder), key))),
            )
            for key, value in entries(holder).items()
        }

    def _by_digest(self, kind: Kind, side: int) -> dict[str, list[Change]]:
        """The added or removed containers and nodes that hold something, by what they say and sorted by path."""
        result: dict[str, list[Change]] = {}
        for change in sorted((each for each in self._changes if each.kind == kind), key=lambda each: each.path):
            place = change.new or change.old
            assert place is not None  # a change has at least one place
            if is_holder(place.value) and entries(untagged(place.value)):
                result.setdefault(self._digests[side](place.value), []).append(change)
        return result


def _is_object(value: Value) -> bool:
    """Whether sharing means something: a plain container is copied at each alias, a factory is called at each."""
    return isinstance(value, Call) and value.kind in ("call", "meta")


def _last(place: Place) -> str:
    return str(place.steps[-1])


def _sort(place: Place) -> str:
    """What an item of a list is, leaving open what it says."""
    value = place.value
    return f"{value.kind}:{value.spec}" if isinstance(value, Call) else type(value).__name__


def _written(place: Place) -> Place:
    """The place with the line that a node is written on, which is not that of an alias."""
    node = place.value.span if isinstance(place.value, Call) else place.span
    same_line = node and place.span and (node.file, node.line) == (place.span.file, place.span.line)
    return place if same_line or node is None else replace(place, span=node)


def _span(value: Value, span: Span | None) -> Span | None:
    return value.span if span is None and isinstance(value, (Call, Var)) else span
