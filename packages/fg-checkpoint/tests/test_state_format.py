"""Law: a state that is saved and loaded is the same state, down to types, key order and bits."""

from __future__ import annotations

import enum
import math
from collections import Counter, OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fg_checkpoint import CheckpointStore, SharingPattern, StateComponent, UnsupportedStateError
from fg_checkpoint.loading import read_state
from fg_checkpoint.tensor_bytes import NUMPY_NAMES, TORCH_NAMES


class Holder:
    """The smallest stateful object."""

    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def component(holder, key="thing"):
    return StateComponent(key=key, stateful=holder, pattern=SharingPattern.GLOBAL)


def through_disk(root, state):
    store = CheckpointStore(root)
    ref = store.save(1, [component(Holder(state))]).wait()
    loaded = Holder()
    store.load(ref, [component(loaded)])
    return loaded.state


def same(a, b):
    """Equality that sees types, order, NaN, the sign of zero and dtypes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        bits = [t.resolve_conj().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(list(a.items()), list(b.items()), strict=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return a == b


arrays = hnp.arrays(
    dtype=st.sampled_from(list(NUMPY_NAMES)), shape=hnp.array_shapes(min_dims=0, min_side=0, max_side=3)
)


def random_tensor(dtype, shape, seed):
    """Any bit pattern is a value of its dtype, except for booleans."""
    generator = torch.Generator().manual_seed(seed)
    if dtype is torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    raw = torch.randint(0, 256, (*shape, dtype.itemsize), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).reshape(shape) if raw.numel() else torch.empty(shape, dtype=dtype)


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
tensors = st.builds(random_tensor, st.sampled_from(list(TORCH_NAMES)), shapes, st.integers(0, 2**31))
keys = st.one_of(
    st.text(), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text()), st.floats(allow_nan=False)
)
scalars = arrays.filter(lambda array: array.size > 0).map(lambda array: array.reshape(-1)[0])
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), arrays, tensors, scalars)
states = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict),
        st.dictionaries(st.integers(), st.integers(), max_size=3).map(Counter),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(state=states)
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, state):
    assert same(through_disk(tmp_path_factory.mktemp("state"), state), state)


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        (),
        None,
        {"$tuple": [1]},
        {"$dict": []},
        {"a": torch.ones(2), "$tensor": "a"},
        {1: torch.zeros(1), "1": torch.ones(1)},
        {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}},
        {"__metadata__": torch.ones(1)},
        {"__metadata__": {"x": torch.ones(1)}},
        {"x~2": torch.ones(1), "x": {"": 1}},
        torch.tensor(3, dtype=torch.int16),
        np.float32("nan"),
        {"\ud800": "\udfff", "": torch.ones(1)},
        torch.arange(12).reshape(3, 4).t(),
        torch.ones(3, dtype=torch.complex64).conj(),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        OrderedDict(weight=torch.ones(2)),
        OrderedDict(weight=torch.ones(2), step=1),
        {"odd": torch.ones(3, dtype=torch.uint8), "wide": torch.ones(2, dtype=torch.float64)},
    ],
    ids=repr,
)
def test_states_that_look_like_the_format_itself(tmp_path, state):
    assert same(through_disk(tmp_path, state), state)


class Colour(enum.IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")
cyclic: list = []
cyclic.append(cyclic)


@pytest.mark.parametrize(
    ("state", "where"),
    [
        ({"a": [1, {"b": object()}]}, "['a'][1]['b']: a builtins.object"),
        ({"a": Colour.RED}, "['a']: test_state_format.Colour cannot"),
        ((Point(1, 2),), "[0]: test_state_format.Point cannot"),
        ({"f": len}, "['f']: a builtins.builtin_function_or_method"),
        ({"s": {1, 2}}, "['s']: a builtins.set"),
        ([torch.ones(2, dtype=torch.complex128)], "[0]: cannot save dtype torch.complex128"),
        ([torch.ones(2, device="meta")], "[0]: cannot save a tensor on the meta device"),
        ({"w": torch.eye(2).to_sparse()}, "['w']: cannot save a tensor with layout torch.sparse_coo"),
        ([np.array(["text"])], "[0]: cannot save numpy dtype <U4"),
        ([np.arange(3, dtype=">i4")], "[0]: cannot save numpy dtype >i4"),
        (cyclic, "a cycle?"),
    ],
)
def test_what_has_no_exact_form_is_refused_with_its_place(tmp_path, state, where):
    store = CheckpointStore(tmp_path / "checkpoints")
    with pytest.raises(UnsupportedStateError) as caught:
        store.save(1, [component(Holder(state))])
    assert all(part in str(caught.value) for part in where.split(": "))
    assert store.list() == []


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"inner": state, "n": 1}], ids=["flat", "nested"])
def test_tied_tensors_are_stored_once_and_tied_again(tmp_path, wrap):
    weight = torch.arange(6.0)
    state = {"embedding": weight, "head": weight, "view": weight[:3], "copy": weight.clone(), "empty": torch.empty(0)}
    store = CheckpointStore(tmp_path)
    ref = store.save(1, [component(Holder(wrap(state)))]).wait()
    stored = ref.manifest.files["thing.safetensors"].tensors
    assert len(stored) == 4
    loaded = read_state(ref, ref.manifest.components["thing"].parts[""], ref.manifest)
    loaded = loaded.get("inner", loaded)
    assert loaded["embedding"] is loaded["head"]
    assert loaded["copy"] is not loaded["embedding"]
    assert same(dict(sorted(loaded.items())), dict(sorted(state.items())))
