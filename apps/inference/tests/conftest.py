import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

CORPUS = [
    "In the beginning God created the heaven and the earth.",
    "Grüße aus Köln: 日本語 текст 🙂 naïve café.",
    "The quick brown fox jumps over the lazy dog, again and again and again.",
] * 4
CONTEXT = 128
LONGEST_WAIT = 60


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory):
    """A small Llama with random weights and a byte-level BPE tokenizer, as a Hugging Face directory."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from fg_models import train_bpe

    directory = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = train_bpe(CORPUS, vocab_size=320, model_max_length=CONTEXT)
    tokenizer.save_pretrained(directory)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.5,  # far from uniform, so that greedy decoding is not a matter of rounding
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def loaded(model_directory):
    """(model, tokenizer) of `model_directory`."""
    from fg_models import load_model

    return load_model(model_directory)


@pytest.fixture(autouse=True)
def config_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def engine(loaded):
    from fg_inference import Engine

    engine = Engine(*loaded, name="tiny", max_waiting=2)
    yield engine
    engine.close()


@contextmanager
def _serving(engine, **options):
    from fg_inference import ACCESS, ChatFormat, create_app
    from fg_tls import TokenStore, serve

    app = create_app(engine, ChatFormat(engine.tokenizer), **options)
    started = queue.Queue()
    arguments = {"service": "inference", "port": 0, "access": ACCESS, "tokens": TokenStore(), "ready": started.put}
    thread = threading.Thread(target=serve, args=(app,), kwargs=arguments)
    thread.start()
    serving = started.get(timeout=LONGEST_WAIT)
    try:
        yield serving
    finally:
        serving.stop()
        thread.join(LONGEST_WAIT)
        assert not thread.is_alive()


@pytest.fixture
def serving(engine):
    """A real server in a thread, on `engine`."""
    with _serving(engine) as serving:
        yield serving


@pytest.fixture
def http(serving):
    """An HTTP client with the server's token."""
    import httpx

    from fg_tls import read_token

    bearer = {"Authorization": f"Bearer {read_token(serving.token_file)}"}
    with httpx.Client(base_url=serving.url, headers=bearer, timeout=LONGEST_WAIT, trust_env=False) as client:
        yield client


LONGEST_COMMAND = 120  # seconds
FG = [sys.executable, "-m", "fg_inference", "inf"]


@contextmanager
def server_process(environment, *options, end=signal.SIGTERM):
    """A server process; gives its number and what it printed: {"url": …, "token": …, "model": …}."""
    command = [*FG, "server", "--port", "0", "--log-level", "warning", *map(str, options)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = {"process": process.pid}
        while "try" not in lines:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            name, _, value = line.strip().partition(" ")
            lines[name] = value.strip()
        yield lines
        process.send_signal(end)
        out, err = process.communicate(timeout=LONGEST_COMMAND)
        assert (process.returncode, out.strip()) == (0, "stopped")
        assert "Traceback" not in err
    finally:
        process.kill()


def command(environment, *words, stdin=""):
    done = subprocess.run(
        [*FG, *map(str, words)], env=environment, input=stdin, capture_output=True, text=True, timeout=LONGEST_COMMAND
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def server():
    """`with server(environment, *options) as lines`: a server process."""
    return server_process


@pytest.fixture(scope="session")
def run():
    """`run(environment, *words)` gives (exit code, output, errors) of a command."""
    return command


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return os.environ | {"FORGATHER_CONFIG_DIR": str(tmp_path_factory.mktemp("config")), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def running(model_directory, environment):
    with server_process(environment, "-m", model_directory) as lines:
        yield lines
