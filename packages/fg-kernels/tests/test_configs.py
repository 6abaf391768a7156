"""The table of block sizes, as shipped and with a user's rows on top; what the tuner decides without a GPU."""

import json

import pytest
import torch

from fg_kernels import tuning
from fg_kernels.errors import BackendError, UnknownOptionError, UnusableTableError
from fg_kernels.triton.config_table import ANY, CANDIDATES, read, rows_of, shipped, trying, user_file
from fg_kernels.triton.launch import config_for, configs_of

KERNELS = sorted(shipped())
NEW = {"BLOCK": 512, "num_warps": 2}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a table and use it as the user's."""

    def write(content):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        monkeypatch.setenv("FG_KERNELS_CONFIGS", str(path))
        return path

    return write


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_has_rows_for_every_size(kernel):
    """Rows for any architecture and for the interpreter; sizes ascend, and the last row has no limit."""
    by_arch = shipped()[kernel]
    assert {ANY, "interpret"} <= by_arch.keys() <= {ANY, "interpret", CANDIDATES, "80", "86", "89", "90", "100", "120"}
    for arch in by_arch.keys() - {CANDIDATES}:
        *limited, last = by_arch[arch]
        sizes = [row["up_to"] for row in limited]
        assert sizes == sorted(set(sizes))
        assert "up_to" not in last


@pytest.mark.parametrize("kernel", KERNELS)
def test_all_rows_of_a_kernel_have_the_same_blocks(kernel):
    """Blocks are powers of two, as Triton wants its tiles."""
    rows = [row for rows in shipped()[kernel].values() for row in rows]
    blocks = [{name: size for name, size in row.items() if name.isupper()} for row in rows]
    assert len({frozenset(block) for block in blocks}) == 1
    assert all(size & (size - 1) == 0 for block in blocks for size in block.values())
    assert {name for row in rows for name in row if not name.isupper()} <= {"num_warps", "num_stages", "up_to"}


def test_the_interpreter_takes_the_first_row_that_is_large_enough():
    narrow, wide = (config_for("norm_forward", torch.empty(size)).blocks["WIDTH"] for size in (100, 5000))
    assert narrow < wide


def test_rows_of_a_user_stand_above_the_shipped_ones(table):
    table({"sr_copy": {"90": [NEW]}})
    assert [config.blocks for config in configs_of("sr_copy", 90)] == [{"BLOCK": 512}]
    assert rows_of("sr_copy", "80") == shipped()["sr_copy"][ANY]


def test_an_empty_variable_stands_for_no_table(monkeypatch):
    monkeypatch.setenv("FG_KERNELS_CONFIGS", "")
    assert user_file() is None
    assert rows_of("sr_copy", "90") == shipped()["sr_copy"][ANY]


def test_without_the_variable_the_table_is_in_the_configuration_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("FG_KERNELS_CONFIGS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_file() == tmp_path / "forgather" / "kernels.json"
    assert rows_of("sr_copy", "90") == shipped()["sr_copy"][ANY]


@pytest.mark.parametrize(
    "content, error, message",
    [
        ("{", UnusableTableError, "cannot be read as JSON"),
        ([], UnusableTableError, "must map each kernel"),
        ({"sr_cop": {"90": [NEW]}}, UnknownOptionError, "Did you mean 'sr_copy'"),
        ({"sr_copy": {"90": []}}, UnusableTableError, "a list of rows, at least one"),
        ({"sr_copy": {"90": [{"WIDTH": 8}]}}, UnusableTableError, "must give BLOCK"),
        ({"sr_copy": {"90": [{"BLOCK": -8}]}}, UnusableTableError, "positive whole numbers"),
        ({"sr_copy": {"90": [{"BLOCK": 8, "up_to": 9}]}}, UnusableTableError, "without up_to=9"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(table, content, error, message):
    path = table(content)
    with pytest.raises(error, match=message) as caught:
        rows_of("sr_copy", "90")
    assert str(path) in str(caught.value)


def test_a_row_on_trial_replaces_all_others_only_inside():
    with trying({"sr_copy": NEW}):
        assert rows_of("sr_copy", "90") == [NEW]
        assert rows_of("sr_copy", "interpret") == [NEW]
    assert rows_of("sr_copy", "90") == shipped()["sr_copy"][ANY]


def test_a_candidate_must_be_faster_by_more_than_noise():
    today, other = {"BLOCK": 1}, {"BLOCK": 2}
    assert tuning.choose([(today, 1.0), (other, 0.99)]) is today
    assert tuning.choose([(today, 1.0), (other, 0.97)]) is other


def test_sizes_with_the_same_winner_share_a_row():
    one, two = {"BLOCK": 1}, {"BLOCK": 2, "up_to": 7}
    assert tuning.rows_for((10, 20, 30), (one, one, two)) == [{"up_to": 20, "BLOCK": 1}, {"BLOCK": 2}]
    assert tuning.rows_for((10, 20), (one, one)) == [one]


def test_winners_are_added_to_what_the_table_holds(tmp_path):
    path = tmp_path / "folder" / "kernels.json"
    tuning.store(path, {"sr_copy": {"80": [NEW]}}, {"sr_copy": [{"BLOCK": 4096}]}, "90")
    assert read(path) == {"sr_copy": {"80": [NEW], "90": [{"BLOCK": 4096}]}}
    assert [each.name for each in path.parent.iterdir()] == ["kernels.json"]


def test_winners_that_could_not_be_read_back_are_not_written(tmp_path):
    with pytest.raises(UnusableTableError, match="must give BLOCK"):
        tuning.store(tmp_path / "kernels.json", {}, {"sr_copy": [{"WIDTH": 4}]}, "90")
    assert not list(tmp_path.iterdir())


def test_every_kernel_with_candidates_can_be_tuned():
    with_candidates = {kernel for kernel in KERNELS if CANDIDATES in shipped()[kernel]}
    assert set(tuning.tunable()) == with_candidates != set()


def test_what_is_timed_runs():
    """On CPU tensors, and small: what is made is a call of the operation itself."""
    work = tuning.PROBLEMS["sr_copy"].make(64, torch.device("cpu"))
    target = work.args[0]
    target.fill_(7)
    work()
    assert not (target == 7).any()


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_without_a_gpu_tuning_says_so_and_writes_nothing(tmp_path):
    path = tmp_path / "kernels.json"
    with pytest.raises(BackendError, match="CUDA device"):
        tuning.tune(["sr_copy"], path=path)
    assert not path.exists()


def test_an_unknown_kernel_is_refused_with_the_near_name():
    with pytest.raises(UnknownOptionError, match="Did you mean 'sr_copy'"):
        tuning.tune(["sr_cop"])


@pytest.mark.cuda
def test_tuning_writes_rows_that_kernels_then_use(tmp_path, monkeypatch):
    pytest.importorskip("triton")
    path = tmp_path / "kernels.json"
    winners = tuning.tune(["sr_copy"], path=path)
    monkeypatch.setenv("FG_KERNELS_CONFIGS", str(path))
    large = torch.empty(1 << 20, dtype=torch.bfloat16, device="cuda")
    rows = {tuple(sorted(row.items())) for row in winners["sr_copy"]}
    used = config_for("sr_copy", large)
    assert any(dict(row)["BLOCK"] == used.blocks["BLOCK"] for row in rows)
