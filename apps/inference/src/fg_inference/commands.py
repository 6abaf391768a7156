"""The verb `inf`: serve a model over HTTP, or talk to a server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg_tls.listener.options import ServerOptions, add_options

if TYPE_CHECKING:
    from fg_inference.client import InferenceClient, Reply

VERBS = {"inf": "serve a model over HTTP, or talk to a server"}

_DTYPES = ("bf16", "bfloat16", "fp16", "half", "float16", "fp32", "float32", "fp64", "float64")
_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop")


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the sub-verbs `server` and `client`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{server,client}")
    texts = {"server": "serve a model on this machine, as OpenAI's API", "client": "talk to a server"}
    server, client = (actions.add_parser(name, help=text, description=text) for name, text in texts.items())
    _add_server_options(server)
    _add_client_options(client)


def run(verb: str, args: argparse.Namespace) -> int:
    """Carry out the sub-verb; 1 when there is a server and it is not well."""
    return _serve(args) if args.action == "server" else _talk(args)


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model", type=Path, required=True, help="a model directory, a checkpoint, or a Hugging Face export")
    add(
        "-c",
        "--from-checkpoint",
        nargs="?",
        const="latest",
        metavar="latest|PATH",
        help="weights of a checkpoint; without a path, of the newest one whose content verifies",
    )
    add("-H", "--host", default="127.0.0.1", help="0.0.0.0 for the network, with TLS (default: %(default)s)")
    add("-p", "--port", type=int, default=8137, help="0 takes any free one (default: %(default)s)")
    add("--device", help="cpu, cuda:0, … (default: the first GPU, else the CPU)")
    add("--dtype", choices=_DTYPES, metavar="DTYPE", help=f"{', '.join(_DTYPES)} (default: by device)")
    add("--chat-template", type=Path, metavar="FILE", help="a Jinja template, instead of the tokenizer's")
    add("--stop-sequences", nargs="+", default=(), metavar="TEXT", help="stop strings of every request")
    add("--auth-token-file", type=Path, metavar="FILE", help="tokens to accept, instead of a fresh one")
    add_options(parser)
    levels = ("debug", "info", "warning", "error")
    add("--log-level", choices=levels, default="info", help="one line per request at info (default: %(default)s)")


def _add_client_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--url", help="default: the server that runs on this machine, else http://127.0.0.1:8137/v1")
    add("--model", default="inference-server", help="default: the model of the server")
    add("--auth-token-file", type=Path, metavar="FILE", help="default: the file of a server on this machine")
    add("--insecure", action="store_true", help="talk to another machine in clear text, without a token")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--message", metavar="TEXT", help="ask for one answer; without any of these, what stdin holds")
    kind.add_argument("--completion", metavar="TEXT", help="ask how TEXT goes on")
    kind.add_argument("--interactive", action="store_true", help="have a conversation (default at a terminal)")
    kind.add_argument("--health", action="store_true", help="print the state of the server")
    kind.add_argument("--list-models", action="store_true", help="print the names of its models")
    add("--system", metavar="TEXT", help="the system message")
    add("--stop", nargs="+", metavar="TEXT", help="end the answer before one of these strings")
    add("--max-tokens", type=int, default=512, metavar="N", help="default: %(default)s")
    add("--temperature", type=float, metavar="T", help="0 takes the most probable token")
    add("--top-p", type=float, metavar="P", help="keep the most probable tokens of this total probability")
    add("--top-k", type=int, metavar="K", help="keep the K most probable tokens")
    add("--min-p", type=float, metavar="P", help="keep tokens at least P times as probable as the first")
    add("--repetition-penalty", type=float, metavar="R", help="above 1 makes repeated tokens less probable")
    add("--seed", type=int, metavar="N", help="the same seed gives the same text")
    add("--ignore-eos", action="store_true", help="go on behind end tokens")
    add("--show-usage", action="store_true", help="print the count of tokens to stderr")


def _serve(args: argparse.Namespace) -> int:
    import logging
    import signal

    from fg_inference.server import ServerSettings, run_server

    # While the model loads, Ctrl-C just ends the process: an exception in the middle of torch's import aborts it. The
    # server installs handlers of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logging.basicConfig(level=args.log_level.upper(), format="%(asctime)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        # Below warnings, only we are of interest.
        handler.addFilter(lambda record: record.name.startswith("fg_") or record.levelno >= logging.WARNING)
    settings = ServerSettings(
        model=args.model,
        checkpoint=args.from_checkpoint,
        host=args.host,
        port=args.port,
        device=args.device,
        dtype=args.dtype,
        chat_template=args.chat_template,
        stop_sequences=tuple(args.stop_sequences),
        auth_token_file=args.auth_token_file,
        security=ServerOptions.of(args),
    )
    run_server(settings, lambda line: print(line, flush=True))
    return 0


def _talk(args: argparse.Namespace) -> int:
    from fg_inference.client import InferenceClient, local_url

    url = local_url() if args.url is None else args.url
    with InferenceClient(url, token_file=args.auth_token_file, insecure=args.insecure) as client:
        if args.health:
            state = client.health()
            print(state)
            return 0 if state == "ok" else 1
        if args.list_models:
            print(*client.models(), sep="\n")
            return 0
        return _converse(client, args)


def _converse(client: InferenceClient, args: argparse.Namespace) -> int:
    from fg_inference.talk import Conversation, converse, write_out

    settings: dict[str, Any] = {name: getattr(args, name) for name in _SAMPLING}
    settings["ignore_eos"] = args.ignore_eos or None

    def finished(reply: Reply) -> None:
        if args.show_usage:
            counts = " ".join(f"{name} {count}" for name, count in reply.usage.items())
            print(f"[{reply.reason}: {counts}]", file=sys.stderr)

    if args.completion is not None:
        reply = client.complete(args.model, args.completion, **settings)
        write_out(reply, _write)
        finished(reply)
        return 0
    talk = Conversation(client=client, write=_write, model=args.model, system=args.system, settings=settings)
    if args.interactive or (args.message is None and sys.stdin.isatty()):
        converse(talk, lambda: input("> "), finished)
    else:
        finished(talk.say(sys.stdin.read() if args.message is None else args.message))
    return 0


def _write(text: str) -> None:
    print(text, end="", flush=True)
