"""The record of a benchmark as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fg_kernels.measuring.bench import grouped
from fg_kernels.measuring.table import number, text_table

# Key of a row, heading of its column, factor.
_COLUMNS = (
    ("ms", "ms", 1),
    ("ms in L2", "in L2", 1),
    ("ms on CPU", "ms on CPU", 1),
    ("TB/s", "TB/s", 1),
    ("of copy", "% copy", 100),
    ("TFLOP/s", "TFLOP/s", 1),
    ("of matmul", "% matmul", 100),
    ("moved bytes per element", "moved B/el", 1),
    ("compiled bytes per element", "compiled B/el", 1),
    ("state bytes per parameter", "state B/el", 1),
    ("operations", "ops", 1),
    ("host reads", "host reads", 1),
    ("extra peak MiB", "extra MiB", 1),
    ("working MiB", "working MiB", 1),
    ("error", "error", 1),
    ("path error", "path error", 1),
    ("loss error", "loss error", 1),
    ("dx error", "dx error", 1),
    ("dw error", "dw error", 1),
)


def report(record: Mapping[str, Any]) -> str:
    """Everything a person wants to see of a record."""
    peaks, machine = record["peaks"], record["machine"]
    card = machine["accelerator"]
    where = card["name"] if card and record["device"] == "cuda" else f"{machine['processor']}, no GPU"
    head = (
        f"{where}: copy {peaks['copy'] / 1e12:.3g} TB/s,"
        f" {peaks['matmul_dtype']} matrix product {peaks['matmul'] / 1e12:.3g} TFLOP/s"
    )
    tables = [f"{name}\n{_table(rows)}" for name, rows in grouped(record["results"])]
    return "\n\n".join([head, *tables, target_table(record["targets"])])


def target_table(targets: list[Mapping[str, Any]]) -> str:
    """A line for each target."""
    rows = [(item["target"], item["gate"], number(item.get("value")), _result(item), item["what"]) for item in targets]
    return text_table(("target", "gate", "value", "result", "what is measured"), rows)


def _result(target: Mapping[str, Any]) -> str:
    return f"{target['result']}: {target['reason']}" if "reason" in target else target["result"]


def _table(rows: list[Mapping[str, Any]]) -> str:
    columns = [column for column in _COLUMNS if any(column[0] in row for row in rows)]
    header = ("", *(heading for _, heading, _ in columns), "")
    return text_table(header, [(row["contender"], *_cells(row, columns), _remark(row)) for row in rows])


def _remark(row: Mapping[str, Any]) -> str:
    return f"failed: {row['failed']}" if "failed" in row else row.get("absent", "")


def _cells(row: Mapping[str, Any], columns: list[tuple[str, str, int]]) -> Iterator[str]:
    for key, _, factor in columns:
        yield number(row[key] * factor) if key in row else "–"
