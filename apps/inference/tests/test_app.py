"""The HTTP interface over real sockets."""

import json
import re
import socket
import time

import pytest

from fg_tls import read_token

ASK = {"model": "tiny", "prompt": "In the", "temperature": 0, "max_tokens": 16, "ignore_eos": True}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 16}


def post(http, body, path="/v1/completions"):
    return http.post(path, json=body)


def events(http, body, path="/v1/completions"):
    lines = post(http, body | {"stream": True}, path).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def problem(response):
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["param"], error["message"]


def test_a_completion_and_its_stream_have_the_same_text_and_counts(http, engine):
    whole = post(http, ASK).json()
    assert (whole["object"], whole["model"]) == ("text_completion", "tiny")
    prompt_tokens = len(engine.tokenizer("In the")["input_ids"])
    assert whole["usage"] == {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 16,
        "total_tokens": prompt_tokens + 16,
    }
    pieces = events(http, ASK | {"stream_options": {"include_usage": True}})
    *texts, last, usage = pieces
    assert "".join(piece["choices"][0]["text"] for piece in texts) == whole["choices"][0]["text"] != ""
    assert last["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    assert len({piece["id"] for piece in pieces}) == 1


def test_a_chat_and_its_stream_have_the_same_text(http):
    whole = post(http, CHAT, "/v1/chat/completions").json()
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"]["role"] == "assistant"
    first, *pieces, last = events(http, CHAT, "/v1/chat/completions")
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(piece["choices"][0]["delta"]["content"] for piece in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["delta"] == {} and last["choices"][0]["finish_reason"] in ("stop", "length")
    assert "usage" not in last


def test_a_prompt_may_be_token_ids_or_a_list_of_one(http, engine):
    text = post(http, ASK).json()["choices"][0]["text"]
    ids = engine.tokenizer("In the")["input_ids"]
    for prompt in (ids, [ids], ["In the"]):
        assert post(http, ASK | {"prompt": prompt}).json()["choices"][0]["text"] == text
    status, param, message = problem(post(http, ASK | {"prompt": [320]}))
    assert (status, param, message) == (400, "prompt", "token id 320 is not between 0 and 319")
    assert problem(post(http, ASK | {"prompt": ["a", "b"]}))[:2] == (400, "prompt")


def test_the_parts_of_a_message_are_joined(http):
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    divided = CHAT | {"messages": [{"role": "user", "content": parts}]}
    answers = [post(http, body, "/v1/chat/completions").json() for body in (CHAT, divided)]
    assert answers[0]["choices"] == answers[1]["choices"] and answers[0]["usage"] == answers[1]["usage"]


def test_a_stop_string_as_text_or_list(http):
    whole = post(http, ASK).json()["choices"][0]["text"]
    stop = whole[5:8]
    for given in (stop, ["nowhere", stop]):
        choice = post(http, ASK | {"stop": given}).json()["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == (whole[: whole.index(stop)], "stop")


def test_models(http):
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["tiny"]
    assert http.get("/v1/models/tiny").json()["object"] == "model"
    status, param, message = problem(http.get("/v1/models/huge"))
    assert (status, param) == (404, "model") and message == "there is no model 'huge' here; this server has 'tiny'"
    assert problem(post(http, ASK | {"model": "huge"}))[0] == 404
    assert post(http, ASK | {"model": "inference-server"}).json()["model"] == "tiny"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 2}, "n is not supported"),
        ({"logprobs": 0}, "logprobs is not supported"),
        ({"logprobs": True}, "logprobs is not supported"),
        ({"echo": True}, "echo is not supported"),
        ({"frequency_penalty": 0.5}, "frequency_penalty is not supported"),
        ({"temprature": 1}, "temprature is not a field of this request; did you mean temperature?"),
        ({"temperature": -1}, "temperature: Input should be greater than or equal to 0"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number"),
        ({"top_p": 0}, "top_p: Input should be greater than 0"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"stop": [""]}, "stop.0: String should have at least 1 character"),
        ({"prompt": None}, "prompt: Field required"),
        ({"prompt": "In the " * 100}, "tokens must hold the answer too"),
    ],
)
def test_what_cannot_be_done_is_said(http, change, message):
    status, _, found = problem(post(http, ASK | change))
    assert status == 400 and message in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "the body is not JSON: Expecting property name enclosed in double quotes at character 1"),
        (b'{"prompt": "\xff"}', "error parsing the body"),
        (b'{"prompt": ' + b"[" * 100_000, "error parsing the body"),
        (b'{"model": "tiny", "prompt": "\\ud800"}', "half of a surrogate pair"),
        (b'{"model": "tiny", "\\ud800": 1}', "half of a surrogate pair"),
        (b'{"model": "tiny", "prompt": "a", "stop": 0}', "stop: Input should be a valid list"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_the_usual_form(http, content, message):
    answer = http.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    status, _, found = problem(answer)
    assert status == 400 and message in found


def test_a_failure_of_our_own_has_the_usual_form_too(http, engine, monkeypatch):
    monkeypatch.setattr(engine, "submit", None)
    assert problem(post(http, ASK)) == (500, None, "internal error: TypeError")


def test_neutral_values_of_fields_that_are_not_supported_are_accepted(http):
    neutral = {"n": 1, "logprobs": None, "echo": False, "frequency_penalty": 0.0, "user": "me", "logit_bias": {}}
    assert post(http, ASK | neutral).json()["choices"] == post(http, ASK).json()["choices"]


def test_only_health_is_open(serving, http):
    import httpx

    with httpx.Client(base_url=serving.url, trust_env=False) as stranger:
        assert stranger.get("/health").json() == {"status": "ok"}
        for method, path in [
            ("GET", "/v1/models"),
            ("POST", "/v1/completions"),
            ("GET", "/docs"),
            ("GET", "/openapi.json"),
        ]:
            assert stranger.request(method, path).status_code == 401
    assert http.get("/docs").status_code == http.get("/openapi.json").status_code == 404


def _raw_request(serving, body, path="/v1/completions"):
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {read_token(serving.token_file)}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    connection = socket.create_connection((serving.host, serving.port), timeout=60)
    connection.sendall(head.encode() + data)
    return connection


def _until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def endless(engine, monkeypatch):
    """The engine with a model that never reaches its context: only cancelling ends a generation in time."""
    monkeypatch.setattr(engine.model.config, "max_position_embeddings", 10**6)
    return ASK | {"max_tokens": 10**5}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_the_engine(serving, http, engine, endless, stream):
    connection = _raw_request(serving, endless | {"stream": stream})
    if stream:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    else:
        _until(lambda: engine._open)
    connection.close()
    answer = post(http, ASK)
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 16
    assert (engine.counts.cancelled, engine.counts.completed) == (1, 1)


def test_a_full_queue_is_429_with_retry_after(serving, http, engine, endless):
    connections = []
    for count in range(3):
        connections.append(_raw_request(serving, endless | {"stream": True}))
        _until(lambda count=count: len(engine._open) == count + 1)
    refused = post(http, ASK)
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
    assert problem(refused)[2].startswith("3 requests are open already")
    for connection in connections:
        connection.close()
    _until(lambda: not engine._open)
    assert post(http, ASK).status_code == 200
    assert engine.counts.cancelled == 3


def test_a_server_that_stops_ends_open_streams(serving, engine, endless):
    connection = _raw_request(serving, endless | {"stream": True})
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    serving.stop()
    received = b""
    while piece := connection.recv(65536):
        received += piece
    assert b"[DONE]" not in received  # nobody may take it for the whole answer
    _until(lambda: not engine._open)
    assert engine.counts.cancelled == 1


def test_a_failure_in_a_stream_is_an_event(http, engine, monkeypatch):
    def broken(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(engine.model, "forward", broken)
    assert problem(post(http, ASK))[0::2] == (500, "generation failed: MemoryError")
    (error,) = events(http, ASK)
    assert re.fullmatch("generation failed: MemoryError", error["error"]["message"])
