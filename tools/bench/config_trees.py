"""Configs made for the benchmark: one that Hydra can say too, and a tree of a thousand."""

from __future__ import annotations

from pathlib import Path

import yaml

SECTIONS = 10
LEAVES = 30


def leaves(section: int) -> dict[str, float | str]:
    """The values of a section, numbers and words."""
    return {f"value_{n:02}": n * 0.25 + section if n % 3 else f"word-{section}-{n}" for n in range(LEAVES)}


def expected() -> dict[str, dict[str, float | str]]:
    """What the config says, in both languages: every section, one value overridden in each."""
    return {f"section_{n}": {**leaves(n), "value_00": f"own-{n}"} for n in range(SECTIONS)}


def write_ours(folder: Path, sections: int = SECTIONS) -> None:
    """A chain of templates, each with a section, and a config that overrides one value of each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(sections):
        parent = f"-- extends 'level_{number - 1}.yaml'\n[level_{number}]\n" if number else "[level_0]\n"
        body = "".join(f"    {key}: {value}\n" for key, value in leaves(number).items())
        following = f"    [level_{number + 1}]\n" if number + 1 < sections else ""
        text = f"{parent}section_{number}:\n{body}    [own_{number}]\n\n{following}\n"
        (folder / f"level_{number}.yaml").write_text(text)
    blocks = "".join(f"[own_{n}]\n    value_00: own-{n}\n\n" for n in range(sections))
    (folder / "config.yaml").write_text(f"-- extends 'level_{sections - 1}.yaml'\n{blocks}")


def write_hydra(folder: Path) -> None:
    """As many files, each with a section, and a config that overrides one value of each."""
    folder.mkdir(parents=True)
    for number in range(SECTIONS):
        section = {f"section_{number}": leaves(number)}
        (folder / f"level_{number}.yaml").write_text(yaml.safe_dump(section))
    config = {"defaults": [*(f"level_{n}" for n in range(SECTIONS)), "_self_"]}
    own = {f"section_{n}": {"value_00": f"own-{n}"} for n in range(SECTIONS)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | own, sort_keys=False))


def write_tree(root: Path, projects: int, configs: int = 10) -> None:
    """A workspace of projects that share a library of templates ten levels deep."""
    (root / "forgather_workspace").mkdir(parents=True)
    write_ours(root / "library")
    for project in range(projects):
        folder = root / f"project_{project:03}"
        (folder / "templates" / "configs").mkdir(parents=True)
        (folder / "meta.yaml").write_text(f"name: P{project}\nsearchdir: [templates, ../library]\n")
        for config in range(configs):
            text = f"-- extends 'level_9.yaml'\n[own_9]\n    value_00: {config}\nmeta: {{config_name: C{config}}}\n\n"
            (folder / "templates" / "configs" / f"c{config}.yaml").write_text(text)
