"""Damage on disk: found in every file, named by file and tensor, refused on load, survived by `latest`."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from fg_checkpoint import (
    CheckpointStore,
    DamagedCheckpointError,
    IncompatibleCheckpointError,
    SharingPattern,
    StateComponent,
    verify,
)
from fg_checkpoint.__main__ import main

MANIFEST = "checkpoint_manifest.json"
FILES = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "optimizer.safetensors",
    "optimizer.json",
    "config.json",
    MANIFEST,
]


class Holder:
    """A stateful object whose state is its attribute."""

    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def components(value, load=False):
    model = {"first": torch.full((3000,), value), "second": torch.full((50, 60), value), "tiny": torch.ones(1)}
    optimizer = {"state": {0: {"exp_avg": torch.full((2000,), value), "step": 1}}}
    states = {"model": model, "optimizer": optimizer}
    return [
        StateComponent(key=key, stateful=Holder(state if key == "model" or not load else None), pattern=pattern)
        for (key, state), pattern in zip(
            states.items(), [SharingPattern.REPLICATED, SharingPattern.GLOBAL], strict=True
        )
    ]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("pristine")
    (root / "config.json").write_text('{"hidden_size": 60}')
    store = CheckpointStore(root / "checkpoints", max_shard_bytes=13_000)
    for step in (1, 2):
        store.save(step, components(float(step)), extra_files=[root / "config.json"])
    assert sorted(path.name for path in store.list()[-1].path.iterdir()) == sorted(FILES)
    return root


@pytest.fixture
def store(pristine, tmp_path):
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    return CheckpointStore(tmp_path / "checkpoints")


def refused(store, *words):
    """The newest checkpoint cannot be loaded, the error says why, and the older one is what `latest` finds."""
    newest = store.list()[-1]
    damages = " | ".join(map(str, store.verify(newest)))
    assert all(word in damages for word in words), damages
    with pytest.raises(DamagedCheckpointError) as caught:
        store.latest(on_damage="raise")
    assert all(word in str(caught.value) for word in words)
    assert f"the newest intact one is {store.root / 'checkpoint-1'}" in str(caught.value)
    assert store.latest().step == 1
    return newest


def test_an_intact_checkpoint_has_no_damage(store):
    assert [store.verify(ref) for ref in store.list()] == [[], []]
    assert store.latest(on_damage="raise").step == 2


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_flipped_bit_is_found_wherever_it_is(store, name, where):
    path = store.list()[-1].path / name
    data = bytearray(path.read_bytes())
    position = round(where * (len(data) - 1))
    data[position] ^= 1 << (position % 8)
    path.write_bytes(data)
    refused(store, name)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [(FILES[0], "first"), (FILES[1], "second"), ("optimizer.safetensors", "state.0.exp_avg")],
)
def test_a_zeroed_page_is_named_by_its_tensor(store, name, tensor, caplog):
    path = store.list()[-1].path / name
    data = bytearray(path.read_bytes())
    data[4096:8192] = bytes(4096)
    path.write_bytes(data)
    newest = refused(store, name, f"tensor {tensor!r}: its values changed")
    assert f"tensor {tensor!r}" in caplog.text
    with pytest.raises(DamagedCheckpointError, match=f"{name}, tensor '{tensor}': its values changed"):
        store.load(newest, components(0.0, load=True))


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_found(store, name):
    path = store.list()[-1].path / name
    data = path.read_bytes()
    for length in (0, 5, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        refused(store, name)


def test_a_truncated_shard_names_the_tensor_that_is_cut(store):
    path = store.list()[-1].path / FILES[1]
    path.write_bytes(path.read_bytes()[:6000])
    newest = refused(store, "tensor 'second': cut off at byte 6000")
    model = components(0.0)[0]
    with pytest.raises(DamagedCheckpointError, match="tensor 'second'"):
        store.load(newest, [model])
    assert model.stateful.state["first"].sum() == 0


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_missing_file_is_found(store, name):
    (store.list()[-1].path / name).unlink()
    refused(store, f"{name}: is missing")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_damage_and_an_older_checkpoint_is_found(store, name):
    path = store.list()[-1].path / name
    path.unlink()
    path.symlink_to("/proc/self/mem")  # an input/output error at its first byte, like a bad sector
    refused(store, f"{name}: cannot be read: Input/output error")


@pytest.mark.parametrize("name", FILES)
def test_an_appended_byte_is_found(store, name):
    with (store.list()[-1].path / name).open("ab") as stream:
        stream.write(b"x")
    refused(store, name)


def test_every_single_bit_of_a_manifest_counts(store):
    ref = store.list()[-1]
    path = ref.path / MANIFEST
    data = path.read_bytes()
    unseen = []
    for position in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        if not verify(ref, "manifest"):
            unseen.append(position)
    assert unseen == []


def test_without_a_manifest_there_is_no_checkpoint(store):
    (store.list()[-1].path / MANIFEST).unlink()
    assert [ref.step for ref in store.list()] == [1]


def test_a_checkpoint_under_the_name_of_another_step_is_damaged(store):
    store.list()[-1].path.rename(store.root / "checkpoint-9")
    refused(store, "is of step 2, the directory's name says 9")


def rewrite_manifest(path, change):
    """Change a manifest and make its checksum right again, as somebody who wants to deceive would."""
    from fg_checkpoint import manifest

    body = json.loads(path.read_text())
    body.pop("checksum")
    change(body)
    path.write_text(json.dumps(body | {"checksum": manifest._checksum(body)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body.update(colour="red"), "expected the entries"),
        (lambda body: body.pop("metrics"), "expected the entries"),
        (lambda body: body["files"].update({"../../x": {"bytes": 1, "xxh3": ""}}), "not the name of a file"),
        (lambda body: body["files"]["config.json"].update(mode=7), "expected the entries"),
        (lambda body: body["components"]["model"].update(pattern="sometimes"), "sometimes"),
    ],
)
def test_the_manifest_is_read_strictly(store, change, message):
    rewrite_manifest(store.list()[-1].path / MANIFEST, change)
    refused(store, MANIFEST, message)


def test_a_newer_format_is_refused_not_skipped(store):
    rewrite_manifest(store.list()[-1].path / MANIFEST, lambda body: body.update(format_version=2))
    with pytest.raises(IncompatibleCheckpointError, match=r"checkpoint-2: checkpoint format version 2.*upgrade"):
        store.latest()


def test_when_nothing_is_intact_that_is_said(store):
    for ref in store.list():
        (ref.path / "optimizer.json").unlink()
    with pytest.raises(DamagedCheckpointError, match="no older checkpoint is intact either"):
        store.latest()


def test_a_cheap_look_sees_lengths_and_not_contents(store):
    path = store.list()[-1].path / FILES[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert store.latest("size").step == 2
    path.write_bytes(data[:-1])
    assert store.latest("size").step == 1
    assert store.latest("manifest").step == 2


def test_the_command_line_says_what_is_damaged(store, capsys):
    assert main(["checkpoint", "verify", str(store.root.parent)]) == 0
    newest = store.list()[-1]
    (newest.path / "optimizer.safetensors").unlink()
    assert main(["checkpoint", "verify", str(newest.path)]) == 1
    assert f"{newest.path}  damaged\n  optimizer.safetensors: is missing" in capsys.readouterr().out
    assert main(["checkpoint", "verify", "--json", str(store.root)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found[str(newest.path)] == [{"file": "optimizer.safetensors", "tensor": None, "problem": "is missing"}]
    (newest.path / MANIFEST).write_text("{}")
    assert main(["checkpoint", "ls", "--json", str(store.root)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["components"] == ["model", "optimizer"]
    assert "checksum mismatch" in rows[1]["error"]
    assert main(["checkpoint", "ls", str(store.root / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
