"""Tokens in files: their own of servers, given ones, and named ones."""

import hashlib
import json
import multiprocessing
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from fg_tls import (
    TokenFileError,
    TokenStore,
    add_token,
    list_tokens,
    read_token,
    remove_token,
    token_path,
)
from fg_tls.listener.named_tokens import named_tokens_path

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def _opened(store=None, **options):
    return (store or TokenStore()).opened(service="test", port=1, **options)


def test_the_own_token_of_a_server_stays_until_it_is_regenerated():
    with _opened() as path:
        first = read_token(path)
        assert len(first) == 64 and int(first, 16)
        assert path == token_path("test", 1)
        assert path.stat().st_mode & 0o777 == 0o600
    with _opened() as path:
        assert read_token(path) == first
    with _opened(TokenStore(regenerate=True)) as path:
        second = read_token(path)
    assert second != first
    with _opened() as path:
        assert read_token(path) == second


def test_a_token_for_one_run_is_removed_but_not_that_of_a_later_server():
    with _opened(lasting=False) as path:
        assert read_token(path)
    assert not path.exists()
    with _opened(lasting=False) as path:
        path.write_text("f" * 64)
    assert path.read_text() == "f" * 64
    with _opened(lasting=False) as path:
        assert read_token(path) != "f" * 64


def test_an_own_token_that_others_could_read_is_refused_not_replaced():
    with _opened() as path:
        token = path.read_text()
    path.chmod(0o640)
    with pytest.raises(TokenFileError, match=rf"{path} can be read by others \(mode 0640\); run `chmod 600"), _opened():
        pass
    assert path.read_text() == token


def test_a_given_token_file_must_be_private_and_long_enough(tmp_path):
    path = tmp_path / "token"

    def problem():
        with pytest.raises(TokenFileError) as caught:
            TokenStore(path)
        return str(caught.value)

    assert problem().startswith(f"no token file {path}; write at least 32 ASCII characters: `(umask 077; openssl rand")
    with pytest.raises(TokenFileError, match=rf"no token file {path}; check the path; a server prints where its token"):
        read_token(path)
    path.write_text("x" * 64)
    path.chmod(0o644)
    assert problem() == f"{path} can be read by others (mode 0644); run `chmod 600 {path}`"
    path.chmod(0o600)
    path.write_text("short\n")
    assert problem().startswith(f"entry 1 of {path} is no token")
    path.write_text("\n")
    assert problem().startswith(f"{path} is empty and is no token")
    path.write_text("x" * 64)
    with _opened(TokenStore(path)):
        pass
    assert path.exists()


def test_a_given_file_is_not_regenerated(tmp_path):
    with pytest.raises(TokenFileError, match="are yours"):
        TokenStore(tmp_path / "token", regenerate=True)


def test_changes_of_a_given_file_hold_at_once_and_a_damaged_one_changes_nothing(start, tmp_path, caplog):
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text("a" * 64)
    server = start(TokenStore(path))
    assert server.ask(token="a" * 64)[0] == 200
    path.write_text("b" * 64 + "\n")
    assert [server.ask(token=each * 64)[0] for each in "ab"] == [401, 200]
    path.write_text("cc")
    assert server.ask(token="b" * 64)[0] == 200
    assert f"keeping the tokens that were valid before: entry 1 of {path} is no token" in caplog.text
    assert "b" * 64 not in caplog.text


def test_named_tokens_come_and_go_while_a_server_runs(server):
    reader = add_token("test", "laptop", ["read"])
    assert json.loads(server.ask(token=reader)[2])["scopes"] == ["read"]
    assert server.ask("POST", token=reader)[0] == 403
    everything = add_token("test", "phone")
    assert json.loads(server.ask("POST", token=everything)[2])["scopes"] == ["*"]
    assert server.ask()[0] == 200  # its own
    remove_token("test", "laptop")
    assert [server.ask(token=each)[0] for each in (reader, everything)] == [401, 200]
    path = named_tokens_path("test")
    path.write_text("- damaged: 1\n")
    assert server.ask(token=everything)[0] == 200
    path.unlink()
    assert server.ask(token=everything)[0] == 401


def test_of_a_named_token_only_the_hash_is_kept():
    token = add_token("test", "laptop", ["read", "admin"], expires=NOW + timedelta(1), clock=lambda: NOW)
    path = named_tokens_path("test")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert token not in path.read_text()
    (kept,) = list_tokens("test")
    assert kept.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert (kept.name, kept.scopes) == ("laptop", {"read", "admin"})
    assert (kept.created, kept.expires) == (NOW, NOW + timedelta(1))


def test_a_named_token_ends_at_its_time():
    now = [NOW]
    token = add_token("test", "guest", expires=NOW + timedelta(hours=1), clock=lambda: now[0]).encode()
    store = TokenStore(clock=lambda: now[0])
    with _opened(store):
        assert store.peer(token).name == "guest"
        now[0] += timedelta(hours=1)
        assert store.peer(token) is None
    assert store.peer(token) is None


@pytest.mark.parametrize(
    ("name", "scopes", "why"),
    [
        ("laptop", None, "has a token named 'laptop'; remove it first"),
        ("", None, "'' cannot name a token"),
        ("a b", None, "cannot name a token"),
        ("x" * 65, None, "cannot name a token"),
        ("other", ["two words"], "'two words' is no scope"),
        ("other", ['"'], "is no scope"),
        ("other", [""], "'' is no scope"),
    ],
)
def test_names_and_scopes_are_checked_before_anything_is_written(name, scopes, why):
    add_token("test", "laptop")
    before = named_tokens_path("test").read_text()
    with pytest.raises(TokenFileError, match=why):
        add_token("test", name, scopes)
    assert named_tokens_path("test").read_text() == before


def test_a_token_that_would_have_run_out_is_refused():
    with pytest.raises(TokenFileError, match="would have run out on 2026-11-01 12:00 UTC"):
        add_token("test", "late", expires=NOW, clock=lambda: NOW)


def test_a_name_that_is_not_there():
    with pytest.raises(TokenFileError, match="has no token named 'phone'; its names: none"):
        remove_token("test", "phone")
    add_token("test", "laptop")
    with pytest.raises(TokenFileError, match=r"its names: laptop$"):
        remove_token("test", "phone")


ENTRY = {"name": "a", "sha256": "0" * 64, "scopes": None, "created": "2026-11-01T12:00:00+00:00", "expires": None}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "a: 1",
        "- 1",
        yaml.safe_dump([ENTRY | {"sha256": "0" * 63}]),
        yaml.safe_dump([ENTRY | {"scope": ["read"]}]),  # misspelt, and would give every scope
        yaml.safe_dump([ENTRY | {"scopes": 1}]),
        yaml.safe_dump([ENTRY | {"scopes": "read"}]),  # not a list: would be the scopes r, e, a and d
        yaml.safe_dump([ENTRY | {"created": "yesterday"}]),
        yaml.safe_dump([{key: value for key, value in ENTRY.items() if key != "name"}]),
        yaml.safe_dump([ENTRY | {"expires": "9999-12-31T23:00:00-05:00"}]),
        "- created: 2026-13-45",
        "[" * 5000,
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_a_damaged_file_gives_no_token_and_is_not_overwritten(text):
    path = named_tokens_path("test")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for act in (lambda: list_tokens("test"), lambda: add_token("test", "b"), lambda: remove_token("test", "a")):
        with pytest.raises(TokenFileError, match=rf"^{path} is damaged \(.*\); correct it, or remove it"):
            act()
    assert path.read_text() == text
    with pytest.raises(TokenFileError), _opened():
        pass


def test_a_file_that_others_can_write_to_is_refused():
    add_token("test", "laptop")
    named_tokens_path("test").chmod(0o620)
    with pytest.raises(TokenFileError, match=r"^others can write to .*; run `chmod 600 "):
        list_tokens("test")


def _add_some(first):
    for number in range(first, first + 5):
        add_token("test", f"n{number}")


def test_tokens_that_are_added_at_once_are_all_kept():
    processes = [multiprocessing.get_context("fork").Process(target=_add_some, args=(5 * each,)) for each in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert {each.name for each in list_tokens("test")} == {f"n{number}" for number in range(20)}
