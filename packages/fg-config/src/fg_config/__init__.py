"""The Forgather config language: templates to text to graph to objects.

Names are imported when first used, so that the command line can ask for help without loading Jinja2 and YAML.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fg_config.building.builder import build, build_value
    from fg_config.building.latent import DotDict, Latent
    from fg_config.building.policy import ImportPolicy
    from fg_config.building.resolver import resolve
    from fg_config.changes.compare import GraphDiff, diff
    from fg_config.changes.overrides import Override
    from fg_config.changes.run_record import RunRecord, load_run_record, save_run_record
    from fg_config.changes.saved_graph import graph_from_json
    from fg_config.environment import ConfigEnvironment, LoadedConfig
    from fg_config.errors import (
        ConfigError,
        GraphError,
        PolicyError,
        ProjectError,
        TemplateError,
        UnknownTargetError,
        YamlError,
    )
    from fg_config.exporting.export_python import generate_code
    from fg_config.exporting.export_yaml import to_yaml
    from fg_config.graph import Graph
    from fg_config.indexing.project_index import ProjectIndex, index_project
    from fg_config.lint.checking import CheckOptions, check
    from fg_config.lint.findings import Finding
    from fg_config.nodes import MISSING, Call, Layer, Span, Value, Var
    from fg_config.projects.dynamic_args import DynamicArg, parse_dynamic_args
    from fg_config.projects.meta import ProjectMeta
    from fg_config.projects.project import Project, from_project, list_configs
    from fg_config.projects.workspace import find_project_dir, find_workspace_dir
    from fg_config.provenance.explaining import explain
    from fg_config.provenance.explanation import Explanation
    from fg_config.rendering.render import TemplateUse
    from fg_config.rendering.sourcemap import RenderedText

_MODULES = {
    "Call": "nodes",
    "CheckOptions": "lint.checking",
    "ConfigEnvironment": "environment",
    "ConfigError": "errors",
    "DotDict": "building.latent",
    "DynamicArg": "projects.dynamic_args",
    "Explanation": "provenance.explanation",
    "Finding": "lint.findings",
    "Graph": "graph",
    "GraphDiff": "changes.compare",
    "GraphError": "errors",
    "ImportPolicy": "building.policy",
    "Latent": "building.latent",
    "Layer": "nodes",
    "LoadedConfig": "environment",
    "MISSING": "nodes",
    "Override": "changes.overrides",
    "PolicyError": "errors",
    "Project": "projects.project",
    "ProjectError": "errors",
    "ProjectIndex": "indexing.project_index",
    "ProjectMeta": "projects.meta",
    "RenderedText": "rendering.sourcemap",
    "RunRecord": "changes.run_record",
    "Span": "nodes",
    "TemplateError": "errors",
    "TemplateUse": "rendering.render",
    "UnknownTargetError": "errors",
    "Value": "nodes",
    "Var": "nodes",
    "YamlError": "errors",
    "build": "building.builder",
    "build_value": "building.builder",
    "check": "lint.checking",
    "diff": "changes.compare",
    "explain": "provenance.explaining",
    "find_project_dir": "projects.workspace",
    "find_workspace_dir": "projects.workspace",
    "from_project": "projects.project",
    "generate_code": "exporting.export_python",
    "graph_from_json": "changes.saved_graph",
    "index_project": "indexing.project_index",
    "list_configs": "projects.project",
    "load_run_record": "changes.run_record",
    "parse_dynamic_args": "projects.dynamic_args",
    "resolve": "building.resolver",
    "save_run_record": "changes.run_record",
    "to_yaml": "exporting.export_yaml",
}

__all__ = [
    "MISSING",
    "Call",
    "CheckOptions",
    "ConfigEnvironment",
    "ConfigError",
    "DotDict",
    "DynamicArg",
    "Explanation",
    "Finding",
    "Graph",
    "GraphDiff",
    "GraphError",
    "ImportPolicy",
    "Latent",
    "Layer",
    "LoadedConfig",
    "Override",
    "PolicyError",
    "Project",
    "ProjectError",
    "ProjectIndex",
    "ProjectMeta",
    "RenderedText",
    "RunRecord",
    "Span",
    "TemplateError",
    "TemplateUse",
    "UnknownTargetError",
    "Value",
    "Var",
    "YamlError",
    "build",
    "build_value",
    "check",
    "diff",
    "explain",
    "find_project_dir",
    "find_workspace_dir",
    "from_project",
    "generate_code",
    "graph_from_json",
    "index_project",
    "list_configs",
    "load_run_record",
    "parse_dynamic_args",
    "resolve",
    "save_run_record",
    "to_yaml",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
