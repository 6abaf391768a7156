"""Model source from a graph of blocks; the callable of a template's `!meta` node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fg_config import generate_code
from fg_config.exporting.export_python import to_source
from fg_models.import_lines import import_block
from fg_models.source import source_templates_directory


def generate_model_source(
    obj: Any,
    *,
    config_class_name: str,
    model_class_name: str,
    model_type: str,
    template_name: str = "hf_causal.py.jinja",
    searchpath: Sequence[str] = (),
    name_policy: str = "named",
    **extra: Any,
) -> str:
    """The text of a model file, from `obj`: raw nodes of `causal_lm`, `lm_head`, `loss_fn` and `init_weights`.

    `searchpath` lists directories with code templates, before the one of this distribution. `extra` reaches the
    template: `no_split_modules`, `tied_weights_keys`, `supports_sdpa`. So do `import_block`, and `literal`,
    which writes plain data as source.
    """
    return generate_code(
        obj,
        template_name=template_name,
        searchpath=[*searchpath, source_templates_directory()],
        name_policy=name_policy,
        config_class_name=config_class_name,
        model_class_name=model_class_name,
        model_type=model_type,
        import_block=import_block,
        literal=_literal,
        **extra,
    )


def _literal(value: Any) -> str:
    return to_source(value).main_body
