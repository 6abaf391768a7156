"""An OpenAI-compatible server and client. Names load when they are first used; `import fg_inference` is light."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fg_inference.app import ACCESS as ACCESS
    from fg_inference.app import create_app as create_app
    from fg_inference.chat import ChatFormat as ChatFormat
    from fg_inference.client import InferenceClient as InferenceClient
    from fg_inference.client import Reply as Reply
    from fg_inference.detokenize import IncrementalDetokenizer as IncrementalDetokenizer
    from fg_inference.engine import Engine as Engine
    from fg_inference.engine import EngineCounts as EngineCounts
    from fg_inference.errors import InferenceError as InferenceError
    from fg_inference.errors import QueueFullError as QueueFullError
    from fg_inference.errors import RequestError as RequestError
    from fg_inference.errors import ServerError as ServerError
    from fg_inference.errors import SettingsError as SettingsError
    from fg_inference.errors import ShuttingDownError as ShuttingDownError
    from fg_inference.generation import Failed as Failed
    from fg_inference.generation import Finished as Finished
    from fg_inference.generation import Generation as Generation
    from fg_inference.generation import GenerationRequest as GenerationRequest
    from fg_inference.generation import Sampling as Sampling
    from fg_inference.generation import TextPiece as TextPiece
    from fg_inference.server import ServerSettings as ServerSettings
    from fg_inference.server import run_server as run_server
    from fg_inference.stops import StopScanner as StopScanner

_MODULES = {
    "ACCESS": "app",
    "ChatFormat": "chat",
    "Engine": "engine",
    "EngineCounts": "engine",
    "Failed": "generation",
    "Finished": "generation",
    "Generation": "generation",
    "GenerationRequest": "generation",
    "IncrementalDetokenizer": "detokenize",
    "InferenceClient": "client",
    "InferenceError": "errors",
    "QueueFullError": "errors",
    "Reply": "client",
    "RequestError": "errors",
    "Sampling": "generation",
    "ServerError": "errors",
    "ServerSettings": "server",
    "SettingsError": "errors",
    "ShuttingDownError": "errors",
    "StopScanner": "stops",
    "TextPiece": "generation",
    "create_app": "app",
    "run_server": "server",
}

__all__ = [
    "ACCESS",
    "ChatFormat",
    "Engine",
    "EngineCounts",
    "Failed",
    "Finished",
    "Generation",
    "GenerationRequest",
    "IncrementalDetokenizer",
    "InferenceClient",
    "InferenceError",
    "QueueFullError",
    "Reply",
    "RequestError",
    "Sampling",
    "ServerError",
    "ServerSettings",
    "SettingsError",
    "ShuttingDownError",
    "StopScanner",
    "TextPiece",
    "create_app",
    "run_server",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
