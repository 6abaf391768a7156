"""The benchmark shows what the compiled kernels move beside what torch dispatches for their peers."""

import argparse

import pytest

from fg_kernels import commands
from fg_kernels.measuring.optimizers import compiled_bytes

PEERS = {"torch for-loop": 34, "torch foreach": 38, "transformers": 102}


def test_adafactor_beside_its_peers_in_one_table(capsys):
    """Ten bytes are three readings of the gradient and both ways of the weight."""
    pytest.importorskip("transformers")
    assert bench("adafactor", "--quick", "--rounds", "1", "--device", "cpu") == 0
    lines = capsys.readouterr().out.partition("adafactor/1024x1024\n")[2].partition("\n\n")[0].splitlines()
    columns = {name: lines[0].index(name) + len(name) for name in ("moved B/el", "compiled B/el")}

    def figure(contender, column):
        line = next(line for line in lines if line.startswith(f"{contender}  "))
        return line[: columns[column]].split()[-1]

    assert 10 <= float(figure("fg_kernels", "compiled B/el")) <= 10.05
    for contender, expected in PEERS.items():
        assert float(figure(contender, "moved B/el")) == pytest.approx(expected, abs=0.1)
        assert figure(contender, "compiled B/el") == "–"


def bench(*words):
    parser = argparse.ArgumentParser()
    commands.configure("kernels", parser, ["bench", *words])
    return commands.run("kernels", parser.parse_args(["bench", *words]))


def test_nothing_is_compiled_for_nobody():
    assert compiled_bytes("") == {}
