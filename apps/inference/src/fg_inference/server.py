"""From the options of the command line to a running server."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fg_inference.errors import SettingsError
from fg_tls.listener.options import ServerOptions

if TYPE_CHECKING:
    from fg_inference.engine import Engine
    from fg_tls import Serving

logger = logging.getLogger(__name__)

SERVICE: Final = "inference"
DTYPES: Final = {
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "float16": "float16",
    "fp32": "float32",
    "float32": "float32",
    "fp64": "float64",
    "float64": "float64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What `inf server` was asked for; None leaves the choice to us."""

    model: Path
    checkpoint: str | None = None  # "latest" or a path
    host: str = "127.0.0.1"
    port: int = 8137
    device: str | None = None
    dtype: str | None = None  # a key of DTYPES
    chat_template: Path | None = None
    stop_sequences: tuple[str, ...] = ()
    auth_token_file: Path | None = None
    security: ServerOptions = field(default_factory=ServerOptions)


def run_server(settings: ServerSettings, say: Callable[[str], None]) -> None:
    """Load the model and serve it until a signal; `say` gets a line for everything worth knowing.

    What can be checked is checked before the model is loaded: the port, certificates, other files, and the device.

    Raises:
        SettingsError, fg_tls.TlsError, fg_models.ModelError: something the user can correct.
    """
    from fg_inference.chat import ChatFormat, read_template
    from fg_tls import TokenStore, bind, serve

    with bind(settings.host, settings.port) as listener:
        source = settings.security.source()
        settings.security.check(listener, source)
        tokens = TokenStore(settings.auth_token_file, regenerate=settings.security.regenerate_token)
        template = read_template(settings.chat_template) if settings.chat_template else None
        engine = _load(settings, say)

        from fg_inference.app import ACCESS, create_app

        chat = ChatFormat(engine.tokenizer, template, origin=str(settings.chat_template))

        def announce(serving: Serving) -> None:
            size = f"{engine.model.num_parameters():,} parameters"
            say(f"model    {engine.name} ({size}, {engine.model.device}, {engine.model.dtype})")
            say(f"chat     template: {chat.origin}")
            _say_where(serving, settings, say)

        app = create_app(engine, chat, stops=settings.stop_sequences)
        try:
            serve(
                app,
                service=SERVICE,
                port=settings.port,
                access=ACCESS,
                tokens=tokens,
                tls=source,
                insecure=settings.security.insecure,
                sockets=[listener],
                ready=announce,
            )
        finally:
            engine.close()
    say("stopped")


def _load(settings: ServerSettings, say: Callable[[str], None]) -> Engine:
    directory = _model_directory(settings)
    device = _checked_device(settings.device or _best_device())
    dtype = DTYPES[settings.dtype] if settings.dtype else _best_dtype(device)
    say(f"loading {directory} on {device} as {dtype} …")

    from fg_inference.engine import Engine
    from fg_models import load_model

    model, tokenizer = load_model(directory, device=device, dtype=dtype)
    return Engine(model, tokenizer, name=settings.model.resolve().name)


def _model_directory(settings: ServerSettings) -> Path:
    if settings.checkpoint is None:
        return settings.model
    from fg_models import resolve_checkpoint

    return resolve_checkpoint(settings.model, settings.checkpoint)


def _best_device() -> str:
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def _checked_device(device: str) -> str:
    """`device`, if it can be used here.

    Raises:
        SettingsError: it cannot.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        raise SettingsError(f"cannot use the device {device!r}: {str(error).splitlines()[0]}") from error
    return device


def _best_dtype(device: str) -> str:
    """bfloat16 where the device computes with it, else float16; float32 on the CPU."""
    import torch

    if not device.startswith("cuda"):
        return "float32"
    with torch.cuda.device(device):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def _say_where(serving: Serving, settings: ServerSettings, say: Callable[[str], None]) -> None:
    best, *others = serving.urls
    say(f"url      {best}/v1")
    for url in others:
        say(f"also     {url}/v1")
    if serving.warning:
        say(f"warning  {serving.warning}")
    say(f"token    {serving.token_file}")
    own_certificate = serving.tls and settings.security.certificate is None
    say(f"try      {_example(best, serving.token_file, own_certificate=own_certificate)}")


def _example(url: str, token_file: Path, *, own_certificate: bool) -> str:
    from fg_tls import Store

    trust = f"--cacert {shlex.quote(str(Store().trust_path))} " if own_certificate else ""
    body = '{"model": "inference-server", "messages": [{"role": "user", "content": "Hello"}]}'
    bearer = f'"Authorization: Bearer $(cat {shlex.quote(str(token_file))})"'
    return f"curl {trust}{url}/v1/chat/completions -H {bearer} -H 'Content-Type: application/json' -d '{body}'"
