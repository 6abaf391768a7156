"""Every kernel, for every architecture, against the rules and the table of limits."""

import pytest

from fg_kernels.compiling.code import compile_case
from fg_kernels.compiling.limits import broken_rules
from fg_kernels.compiling.report import as_text, compile_report
from fg_kernels.compiling.survey import candidate_tasks, survey
from fg_kernels.errors import BackendError, UnknownOptionError
from fg_kernels.triton.cases import ARCHITECTURES, CompileCase, compile_cases
from fg_kernels.triton.config_table import ANY, shipped
from fg_kernels.triton.launch import Config

pytestmark = pytest.mark.timeout(900)


def test_every_kernel_keeps_the_rules_and_its_limits():
    report = compile_report()
    assert report.measured
    assert {arch for _, arch in report.measured} == set(ARCHITECTURES)
    assert not report.complaints, as_text(report)


def test_every_row_of_the_table_of_blocks_is_compiled():
    """A row counts as compiled if a case has its blocks and warps."""
    compiled = {
        (tuple(sorted(case.config.blocks.items())), case.config.num_warps)
        for arch in ARCHITECTURES
        for case in compile_cases(arch)
    }
    for kernel, by_arch in shipped().items():
        for row in by_arch[ANY]:
            blocks = tuple(sorted((name, size) for name, size in row.items() if name.isupper()))
            assert (blocks, row.get("num_warps", 4)) in compiled, f"{kernel}: {row} is in no case"


def test_no_candidate_of_the_tuner_breaks_a_rule(pytestconfig):
    everywhere = pytestconfig.getoption("--all-architectures", default=False)
    tried = candidate_tasks(ARCHITECTURES if everywhere else (90,))
    assert {task.arch for task in tried} == (set(ARCHITECTURES) if everywhere else {90})
    broken = {finished.task: finished.complaints for finished in survey(tried) if finished.complaints}
    assert not broken


@pytest.mark.parametrize(("archs", "names", "message"), [((90,), ("sr_cop",), "'sr_copy'"), ((91,), (), "'90'")])
def test_what_does_not_exist_is_not_compiled_silently(archs, names, message):
    with pytest.raises(UnknownOptionError, match=message):
        compile_report(archs, names)


def test_an_interpreter_is_no_compiler(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(BackendError, match="unset it"):
        compile_report((90,), ("sr_copy",))


def test_a_kernel_that_spills_is_caught():
    """Sixteen times the block leaves too few registers for a thread."""
    found = next(case for case in compile_cases(90) if case.name == "sr_copy")
    config = Config(blocks={"BLOCK": 32768}, num_warps=1)
    large = CompileCase(
        name="large",
        kernel=found.kernel,
        signature=found.signature,
        config=config,
        elements=32768,
        divisible=found.divisible,
    )
    compiled = compile_case(large, 90)
    assert compiled.spilled > 0
    assert "spilled" in next(broken_rules(large, 90, compiled))
