"""The commands as a user types them: real processes, and the official client of OpenAI."""

import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

WAIT = 120


@pytest.fixture
def openai_client(running):
    import httpx
    import openai

    from fg_tls import read_token

    key = read_token(Path(running["token"]))
    with openai.OpenAI(base_url=running["url"], api_key=key, http_client=httpx.Client(trust_env=False)) as client:
        yield client


def test_the_official_client_reads_chats_whole_and_streamed(openai_client, model_directory):
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "In the beginning"}], "max_tokens": 24}
    for settings in ({"temperature": 0}, {"temperature": 1.2, "seed": 5, "extra_body": {"top_k": 50, "min_p": 0.01}}):
        whole = openai_client.chat.completions.create(**ask, **settings)
        options = {"stream": True, "stream_options": {"include_usage": True}}
        *pieces, usage = openai_client.chat.completions.create(**ask, **settings, **options)
        streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces)
        assert streamed == whole.choices[0].message.content != ""
        assert usage.usage == whole.usage
        assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_the_official_client_reads_completions_as_transformers_generates_them(openai_client, loaded):
    model, tokenizer = loaded
    prompt = tokenizer("The quick", return_tensors="pt")
    expected = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    text = tokenizer.decode(expected, skip_special_tokens=True)
    ask = {"model": "tiny", "prompt": "The quick", "max_tokens": 24, "temperature": 0}
    assert openai_client.completions.create(**ask).choices[0].text == text
    pieces = list(openai_client.completions.create(**ask, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == text


def test_the_official_client_understands_the_errors(openai_client, running):
    import openai

    assert [model.id for model in openai_client.models.list()] == ["tiny"]
    ask = {"messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(openai.NotFoundError, match="there is no model 'huge'") as caught:
        openai_client.chat.completions.create(model="huge", **ask)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="n is not supported"):
        openai_client.chat.completions.create(model="tiny", n=2, **ask)
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="wrong").models.list()


def test_the_curl_line_works_and_no_token_was_printed(running, environment):
    done = subprocess.run(["bash", "-c", running["try"]], env=environment, capture_output=True, text=True, timeout=WAIT)
    assert '"object":"chat.completion"' in done.stdout, done.stderr
    assert Path(running["token"]).read_text().strip() not in str(running)


def test_our_client_finds_the_token_itself(running, environment, run):
    def ask(*words, stdin=""):
        code, out, err = run(environment, "client", "--url", running["url"], *words, stdin=stdin)
        assert code == 0, err
        return out, err

    assert ask("--health") == ("ok\n", "")
    assert ask("--list-models") == ("tiny\n", "")
    greedy = ["--temperature", "0", "--max-tokens", "12"]
    out, err = ask("--message", "Hello", "--show-usage", *greedy)
    assert len(out) > 1 and err.startswith(("[length: prompt_tokens", "[stop: prompt_tokens"))
    assert ask(*greedy, stdin="Hello")[0] == out
    completion, _ = ask("--completion", "Hello", "--ignore-eos", *greedy)
    assert (
        ask("--completion", "Hello", "--ignore-eos", "--stop", completion[4:6], *greedy)[0]
        == completion[: completion.index(completion[4:6])] + "\n"
    )


def test_a_conversation(running, environment, run):
    lines = ["/help", "Hello", "/system Be brief.", "/clear", "/wrong", "", "quit", "never read"]
    words = ["client", "--url", running["url"], "--interactive", "--max-tokens", "4", "--show-usage", "--seed", "1"]
    code, out, err = run(environment, *words, stdin="\n".join(lines))
    assert code == 0, err
    assert out.count("forget the conversation") == 4  # twice in each of the two helps
    assert "unknown command /wrong" in out
    assert err.count("prompt_tokens") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["server", "-m", "/no/such/model"], "no such directory: /no/such/model"),
        (["server", "-m", ".", "-p", "0", "-H", "0.0.0.0"], "refuses to listen on 0.0.0.0 port"),
        (["server", "-m", ".", "-p", "0", "--device", "quantum"], "cannot use the device 'quantum'"),
        (["server", "-m", ".", "-p", "0", "--chat-template", "/none"], "/none cannot be read"),
        (["server", "-m", ".", "-p", "0", "--auth-token-file", "/none"], "no token file /none"),
        (["server", "-m", ".", "-p", "0", "--tls"], "--tls needs a certificate"),
        (["server", "-m", ".", "-p", "0", "--tls-key", "/k"], "--tls-key goes with --tls-cert"),
        (["server", "-m", ".", "-p", "0", "--no-tls", "--tls-cert", "/c"], "--no-tls and --tls-cert contradict"),
        (["server", "-m", ".", "-p", "0", "--tls-cert", "/none"], "/none cannot be read"),
        (["server", "-m", ".", "-p", "0", "--regen-token", "--auth-token-file", "/x"], "only a server's own token"),
        (["client", "--url", "http://127.0.0.1:9/v1", "--health"], "nothing listens at http://127.0.0.1:9"),
        (["client", "--url", "http://10.1.2.3/v1", "--health"], "refuses to send requests to http://10.1.2.3:80"),
        (["client", "--url", "https://u:p@box.lan/v1", "--health"], "carries a user or password"),
        (["client", "--url", "nowhere", "--health"], "'nowhere' is not the URL of a server"),
        (["client", "--auth-token-file", "/none", "--message", "x"], "no token file /none"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(model_directory, environment, words, message, run):
    there_is_a_model = "/no/such/model" not in words
    words = [str(model_directory) if word == "." else word for word in words]
    code, out, err = run(environment, *words)
    assert code == 2
    assert message in err and len(err.splitlines()) == 1
    assert not (there_is_a_model and out)  # what is wrong is said before the model is loaded


def test_an_answer_that_breaks_off(environment, run):
    """A server that dies while it answers: what came is shown, and that it was not all."""
    event = b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def die():
            connection, _ = listener.accept()
            with connection:
                while not connection.recv(65536).endswith(b"}"):
                    pass
                connection.sendall(head + b"%x\r\n%b\r\n" % (len(event), event))

        thread = threading.Thread(target=die)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        code, out, err = run(environment, "client", "--url", f"{url}/v1", "--message", "Hello")
        thread.join(WAIT)
    assert (code, out) == (2, "Hel")
    assert err == f"{url} broke off in the middle of an answer; it may have been restarted: try again\n"


def test_a_port_in_use_is_noticed_before_the_model_is_loaded(running, environment, run):
    port = running["url"].split(":")[2].removesuffix("/v1")
    code, out, err = run(environment, "server", "-m", "/no/such/model", "-p", port)
    assert (code, out) == (2, "")
    assert err.startswith(f"port {port} on 127.0.0.1 is in use") and len(err.splitlines()) == 1


@pytest.fixture(scope="module")
def trained(loaded, model_directory, tmp_path_factory):
    """A model directory without weights of its own, and two checkpoints: what was trained first, and zeros."""
    import torch

    from fg_checkpoint import CheckpointStore, SharingPattern, StateComponent

    model, _ = loaded
    directory = tmp_path_factory.mktemp("run") / "mine"
    shutil.copytree(model_directory, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    store = CheckpointStore(directory / "checkpoints")
    component = StateComponent(key="model", stateful=model, pattern=SharingPattern.GLOBAL)
    files = list(directory.glob("*.json"))
    store.save(10, [component], extra_files=files).wait()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    store.save(20, [component], extra_files=files).wait()
    model.load_state_dict(state)
    return directory


def test_the_newest_checkpoint_that_verifies_is_served(trained, running, environment, server, run):
    greedy = ["--completion", "Hello", "--temperature", "0", "--max-tokens", "8", "--ignore-eos"]
    expected = run(environment, "client", "--url", running["url"], *greedy)[1]

    def served(*options):
        with server(environment, "-m", trained, *options) as lines:
            assert lines["model"].startswith("mine ")
            return lines["loading"], run(environment, "client", "--url", lines["url"], *greedy)[1]

    loading, text = served("-c")
    assert "checkpoint-20" in loading and text != expected
    weights = trained / "checkpoints" / "checkpoint-20" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    loading, text = served("-c")
    assert "checkpoint-10" in loading and text == expected
    loading, text = served("-c", trained / "checkpoints" / "checkpoint-10")
    assert "checkpoint-10" in loading and text == expected


def test_a_model_without_checkpoints(model_directory, environment, run):
    code, _, err = run(environment, "server", "-m", model_directory, "-c", "-p", "0")
    assert code == 2 and "has no checkpoint that verifies" in err


def test_ctrl_c_ends_a_server_quietly(model_directory, environment, server):
    with server(environment, "-m", model_directory, end=signal.SIGINT) as lines:
        token_file = Path(lines["token"])
        assert token_file.stat().st_mode & 0o777 == 0o600
    assert not token_file.exists()
