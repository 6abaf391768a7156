"""One process: what a run needs from save, list, latest and load."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fg_checkpoint import (
    BestPolicy,
    CheckpointRef,
    CheckpointStore,
    IncompatibleCheckpointError,
    MissingComponentError,
    RNGState,
    SaveError,
    SharingPattern,
    StateComponent,
    Validation,
    directory,
    saving,
)


class Holder:
    """A stateful object whose state is its attribute."""

    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def component(key, stateful, pattern=SharingPattern.GLOBAL, **options):
    return StateComponent(key=key, stateful=stateful, pattern=pattern, **options)


class TiedModel(torch.nn.Module):
    """Embedding and head share one weight, as in most small language models."""

    def __init__(self, vocabulary=11, width=8):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.hidden = torch.nn.Linear(width, width)
        self.head = torch.nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight
        self.dropout = torch.nn.Dropout(0.1)

    def forward(self, ids):
        return self.head(self.dropout(torch.tanh(self.hidden(self.embedding(ids)))))


class Run:
    """A training with everything that has to be resumed."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        self.model = TiedModel()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (1 + step))
        self.milestones = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, [2, 4, 4], gamma=0.5)

    def components(self):
        return [
            component("model", self.model, SharingPattern.REPLICATED, validate=Validation.TENSOR),
            component("optimizer", self.optimizer, SharingPattern.REPLICATED, validate=Validation.QUICK),
            component("scheduler", self.schedule),
            component("milestones", self.milestones),
            component("rng", RNGState(), SharingPattern.PER_RANK),
        ]

    def step(self):
        ids = torch.from_numpy(np.random.randint(0, 11, size=(4,))) + random.randint(0, 0)
        loss = torch.nn.functional.cross_entropy(self.model(ids), torch.randint(0, 11, (4,)))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.milestones.step()
        return loss.item(), random.random(), self.schedule.get_last_lr()


@pytest.mark.parametrize("wait", [True, False])
def test_a_resumed_run_continues_bit_by_bit(tmp_path, wait):
    store = CheckpointStore(tmp_path)
    run = Run(seed=1)
    for _ in range(3):
        run.step()
    saving = store.save(3, run.components(), wait=wait)
    expected = [run.step() for _ in range(4)]
    saving.wait()

    other = Run(seed=99)
    report = store.load(store.latest(), other.components())
    assert report.step == 3
    assert report.loaded == ("model", "optimizer", "scheduler", "milestones", "rng")
    assert other.model.head.weight is other.model.embedding.weight
    assert [other.step() for _ in range(4)] == expected
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), other.model.parameters(), strict=True))


def test_an_asynchronous_save_keeps_the_instant_it_was_called(tmp_path):
    tensor, array, items = torch.zeros(1000), np.zeros(1000), [0]
    store = CheckpointStore(tmp_path)
    saving = store.save(1, [component("thing", Holder({"t": tensor, "a": array, "i": items}))], wait=False)
    tensor.fill_(7)
    array.fill(7)
    items[0] = 7
    loaded = Holder()
    store.load(saving.wait(), [component("thing", loaded)])
    assert loaded.state["t"].sum() == 0
    assert loaded.state["a"].sum() == 0
    assert loaded.state["i"] == [0]


def test_a_next_save_waits_for_the_running_one(tmp_path):
    store = CheckpointStore(tmp_path)
    pending = [store.save(step, [component("thing", Holder(torch.ones(50_000) * step))], wait=False) for step in (1, 2)]
    assert pending[0].done
    store.save(3, [component("thing", Holder(torch.ones(1)))])
    assert all(item.done for item in pending)
    assert [ref.step for ref in store.list()] == [2, 3]


def test_a_failed_background_save_is_raised_once_and_the_store_goes_on(tmp_path):
    (tmp_path / "checkpoint-1").mkdir()
    store = CheckpointStore(tmp_path)
    things = [component("thing", Holder(1))]
    waited = store.save(1, things, wait=False)
    with pytest.raises(SaveError, match="not ours to replace"):
        waited.wait()
    store.save(2, things)
    store.save(1, things, wait=False)
    with pytest.raises(SaveError, match="not ours to replace"):
        store.save(3, things)
    assert store.save(4, things).wait().step == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-2", "checkpoint-4"]


@pytest.mark.parametrize("wait", [True, False])
def test_a_file_that_cannot_be_written_is_one_clear_error_and_costs_nothing(tmp_path, wait, caplog):
    store = CheckpointStore(tmp_path)
    store.save(1, [component("thing", Holder(torch.zeros(10)))])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # what a disk does when it is full
    try:
        with pytest.raises(SaveError) as caught:
            store.save(2, [component("thing", Holder(torch.zeros(100_000)))], wait=wait).wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).startswith(f"the checkpoint of step 2 could not be saved in {tmp_path} (File too large)")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    assert store.latest(on_damage="raise").step == 1
    assert not any(record.exc_info for record in caplog.records)


def test_the_full_disk_is_named_and_what_helps(tmp_path):
    request = saving.SaveRequest(
        step=7, root=tmp_path, metrics={}, extra_files=[], max_shard_bytes=1, after_commit=lambda _: None
    )
    text = saving._explained(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), request)
    assert "(No space left on device); make room there, or keep fewer checkpoints;" in text


def test_a_checkpoint_that_was_moved_and_linked_is_never_followed_when_deleting(tmp_path):
    root, elsewhere = tmp_path / "checkpoints", tmp_path / "other_disk"
    store = CheckpointStore(root, keep=1)
    things = [component("thing", Holder(1))]
    store.save(1, things)
    (root / "checkpoint-1").rename(elsewhere)
    (root / "checkpoint-1").symlink_to(elsewhere)
    assert store.latest(on_damage="raise").step == 1
    store.save(2, things)
    store.save(3, things)
    assert [path.name for path in root.iterdir()] == ["checkpoint-3"]
    assert CheckpointRef.open(elsewhere).step == 1


def test_the_model_is_an_ordinary_hugging_face_file(tmp_path):
    model = TiedModel()
    ref = CheckpointStore(tmp_path).save(1, [component("model", model)]).wait()
    weights = load_file(ref.path / "model.safetensors")
    assert set(weights) == {"embedding.weight", "hidden.weight", "hidden.bias"}
    assert all(torch.equal(weights[name], model.state_dict()[name]) for name in weights)
    assert not (ref.path / "model.json").exists()


def test_shards_have_the_hugging_face_index(tmp_path):
    model = TiedModel()
    store = CheckpointStore(tmp_path / "checkpoints", max_shard_bytes=400, links=tmp_path)
    ref = store.save(1, [component("model", model)]).wait()
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {
        "total_size": 4 * (11 * 8 + 8 * 8 + 8),
        "aliases": {"head.weight": "embedding.weight"},
    }
    assert len(set(index["weight_map"].values())) == 2
    for name, shard in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / shard)[name], model.state_dict()[name])
    other = TiedModel()
    store.load(ref, [component("model", other)])
    assert torch.equal(other.head.weight, model.head.weight)


def test_links_follow_the_newest_and_touch_nothing_else(tmp_path, caplog):
    foreign = tmp_path / "elsewhere.safetensors"
    foreign.symlink_to("/nowhere/last/elsewhere.safetensors")
    store = CheckpointStore(tmp_path / "checkpoints", max_shard_bytes=400, links=tmp_path)
    model = [component("model", TiedModel())]
    store.save(1, model)
    assert (tmp_path / "model-00001-of-00002.safetensors").is_symlink()
    store.max_shard_bytes = 2**31
    store.save(2, model)
    links = {path.name: str(path.readlink()) for path in tmp_path.iterdir() if path.is_symlink()}
    assert links == {
        "model.safetensors": "checkpoints/last/model.safetensors",
        "elsewhere.safetensors": "/nowhere/last/elsewhere.safetensors",
    }
    assert (tmp_path / "model.safetensors").resolve() == store.list()[-1].path / "model.safetensors"
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"somebody's own weights")
    store.save(3, model)
    assert (tmp_path / "model.safetensors").read_bytes() == b"somebody's own weights"
    assert "is a file, not a link" in caplog.text


def test_retention_keeps_the_newest_the_best_and_what_is_not_ours(tmp_path):
    for name in ("checkpoint-7", "checkpoint-best", "notes"):
        (tmp_path / name).mkdir()
    store = CheckpointStore(tmp_path, keep=2, best=BestPolicy(metric="loss"))
    for step, loss in [(10, 3.0), (20, 1.0), (30, float("nan")), (40, 2.0), (50, 1.0), (60, 4.0)]:
        store.save(step, [component("thing", Holder(step))], metrics={"eval_loss": loss})
    assert [ref.step for ref in store.list()] == [20, 50, 60]
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint-7", "checkpoint-best", "notes", "checkpoint-20", "checkpoint-50", "checkpoint-60",
    }  # fmt: skip


def test_going_back_to_an_older_step_never_deletes_what_was_just_saved(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    things = [component("thing", Holder(1))]
    store.save(100, things)
    assert store.save(20, things).wait().manifest.step == 20
    assert [ref.step for ref in store.list()] == [20, 100]


def test_best_policy_knows_directions():
    assert BestPolicy(metric="eval_loss").lower_is_better
    assert BestPolicy(metric="perplexity").lower_is_better
    assert not BestPolicy(metric="accuracy").lower_is_better
    assert not BestPolicy(metric="loss", mode="max").lower_is_better


def test_saving_a_step_again_replaces_it(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(5, [component("thing", Holder("old")), component("other", Holder(1))])
    ref = store.save(5, [component("thing", Holder("new"))]).wait()
    loaded = Holder()
    assert store.load(ref, [component("thing", loaded)]).unused == ()
    assert loaded.state == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_a_kill_between_the_renames_of_a_replacement_leaves_the_old_one(tmp_path):
    store = CheckpointStore(tmp_path, keep=5)
    store.save(4, [component("thing", Holder("before"))])
    store.save(5, [component("thing", Holder("old"))])
    (tmp_path / "checkpoint-5").rename(tmp_path / "checkpoint-5.replaced-0123456789abcdef")
    loaded = Holder()
    latest = store.latest()
    assert latest.step == 5
    store.load(latest, [component("thing", loaded)])
    assert loaded.state == "old"
    store.save(5, [component("thing", Holder("new"))])
    store.save(6, [component("thing", Holder("next"))])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-4", "checkpoint-5", "checkpoint-6"]
    store.load(store.list()[1], [component("thing", loaded)])
    assert loaded.state == "new"


def test_leftovers_of_killed_saves_are_removed_and_similar_names_are_not(tmp_path):
    ours = tmp_path / "checkpoint-3.tmp-0123456789abcdef"
    ours.mkdir()
    (ours / "model.safetensors").write_bytes(b"half")
    for name in ("checkpoint-3.tmp", "checkpoint-3.tmp-mine", "tmp-0123456789abcdef"):
        (tmp_path / name).mkdir()
    store = CheckpointStore(tmp_path)
    assert store.latest() is None
    store.save(4, [component("thing", Holder(1))])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-3.tmp", "checkpoint-3.tmp-mine", "checkpoint-4", "tmp-0123456789abcdef",
    ]  # fmt: skip


def test_a_second_writer_is_refused(tmp_path):
    store = CheckpointStore(tmp_path)
    with directory.exclusive(tmp_path), pytest.raises(SaveError, match="another process is saving into"):
        store.save(1, [component("thing", Holder(1))])
    assert store.save(1, [component("thing", Holder(1))]).wait().step == 1


def test_a_worker_that_was_forked_during_a_save_does_not_keep_the_lock(tmp_path):
    reader, writer = os.pipe()
    with directory.exclusive(tmp_path):
        worker = os.fork()
        if worker == 0:
            os.read(reader, 1)  # lives, with the inherited descriptor, until the test is over
            os._exit(0)
    try:
        assert CheckpointStore(tmp_path).save(1, [component("thing", Holder(1))]).wait().step == 1
    finally:
        os.write(writer, b"x")
        os.waitpid(worker, 0)


def test_missing_and_skipped_components(tmp_path, caplog):
    store = CheckpointStore(tmp_path)
    ref = store.save(1, [component("optimizer", Holder(1)), component("old", Holder(2))]).wait()
    fresh, optimizer = Holder("fresh"), Holder("fresh")
    with pytest.raises(
        MissingComponentError, match=r"has no component 'dataset'; it has optimizer, old.*skip=\['dataset'\]"
    ):
        store.load(ref, [component("optimizer", optimizer), component("dataset", fresh)])
    assert optimizer.state == "fresh"
    report = store.load(ref, [component("optimizer", optimizer), component("callback", fresh, required=False)])
    assert (report.loaded, report.missing_optional, report.unused) == (("optimizer",), ("callback",), ("old",))
    assert "no component 'callback'" in caplog.text
    with pytest.raises(MissingComponentError, match="did you mean 'optimizer'"):
        store.load(ref, [component("optimizer", optimizer)], skip=["optimiser"])
    optimizer.state = "kept"
    assert store.load(ref, [component("optimizer", optimizer)], skip=["optimizer"]).skipped == ("optimizer",)
    assert optimizer.state == "kept"


def test_another_model_is_refused_with_both_shapes_and_stays_as_it_was(tmp_path):
    store = CheckpointStore(tmp_path)
    ref = store.save(1, [component("model", TiedModel(width=8))]).wait()
    other = TiedModel(width=16)
    before = other.hidden.weight.clone()
    with pytest.raises(IncompatibleCheckpointError) as caught:
        store.load(ref, [component("model", other)])
    assert "hidden.weight: (8, 8) torch.float32 in the checkpoint, (16, 16) torch.float32 in this model" in str(
        caught.value
    )
    assert torch.equal(other.hidden.weight, before)
    with pytest.raises(
        IncompatibleCheckpointError, match=r"torch.float32 in the checkpoint, .* torch.bfloat16 in this"
    ):
        store.load(ref, [component("model", TiedModel().bfloat16())])
    with pytest.raises(IncompatibleCheckpointError, match="extra: in the checkpoint only"):
        named = store.save(2, [component("model", Holder({"extra": torch.ones(1)}))]).wait()
        store.load(named, [component("model", TiedModel())])


def test_a_pattern_that_changed_is_refused(tmp_path):
    store = CheckpointStore(tmp_path)
    ref = store.save(1, [component("thing", Holder(1))]).wait()
    with pytest.raises(IncompatibleCheckpointError, match="was saved as global, and is declared per_rank"):
        store.load(ref, [component("thing", Holder(), SharingPattern.PER_RANK)])


def test_extra_files_travel_with_the_checkpoint(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "llama"}')
    store = CheckpointStore(tmp_path / "checkpoints")
    ref = store.save(1, [component("model", TiedModel())], extra_files=[config]).wait()
    assert (ref.path / "config.json").read_text() == config.read_text()
    assert "config.json" in ref.manifest.files
    with pytest.raises(SaveError, match=r"config.json has the name of another file"):
        store.save(2, [component("config", Holder(1))], extra_files=[config])
    with pytest.raises(SaveError, match=r"No such file or directory: .*absent"):
        store.save(3, [component("model", TiedModel())], extra_files=[tmp_path / "absent"])
    assert [path.name for path in store.root.iterdir()] == ["checkpoint-1"]


def test_mistakes_in_the_declaration_are_named(tmp_path):
    with pytest.raises(SaveError, match="same key: thing"):
        CheckpointStore(tmp_path).save(1, [component("thing", Holder(1)), component("thing", Holder(2))])
    with pytest.raises(SaveError, match=r"want the file name checkpoint_manifest.json"):
        CheckpointStore(tmp_path).save(1, [component("checkpoint_manifest", Holder(1))])
    with pytest.raises(ValueError, match="names files"):
        component("a/b", Holder())
    with pytest.raises(ValueError, match="PER_GROUP"):
        component("a", Holder(), group=[0])
    with pytest.raises(ValueError, match="only REPLICATED"):
        component("a", Holder(), validate=Validation.QUICK)
    with pytest.raises(ValueError, match="step is -1"):
        CheckpointStore(tmp_path).save(-1, [component("thing", Holder(1))])
    with pytest.raises(ValueError, match="keep is 0"):
        CheckpointStore(tmp_path, keep=0)


def test_a_checkpoint_may_be_moved_and_opened_by_path(tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints")
    ref = store.save(12, [component("thing", Holder("x"))], metrics={"loss": float("inf"), "n": 2}).wait()
    moved = ref.path.rename(tmp_path / "the-good-one")
    opened = CheckpointRef.open(moved)
    assert opened.step == 12
    assert opened.manifest.metrics == {"loss": float("inf"), "n": 2.0}
    loaded = Holder()
    store.load(opened, [component("thing", loaded)])
    assert loaded.state == "x"
    with pytest.raises(MissingComponentError, match="is not a complete checkpoint"):
        CheckpointRef.open(tmp_path)


def test_listing_and_verifying_do_not_import_torch(tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints")
    store.save(1, [component("model", TiedModel())], metrics={"loss": 1.25})
    code = (
        "import sys, fg_checkpoint\n"
        "from fg_checkpoint.__main__ import main\n"
        "codes = [main(['checkpoint', verb, sys.argv[1]]) for verb in ('ls', 'verify')]\n"
        "assert fg_checkpoint.CheckpointStore(sys.argv[1] + '/checkpoints').latest().step == 1\n"
        "assert codes == [0, 0] and 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "loss 1.25" in done.stdout
