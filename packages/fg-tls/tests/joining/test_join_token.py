import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_tls import JoinError
from fg_tls.issuing.join_token import PREFIX, JoinToken

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.lan)?", fullmatch=True),
)
ENDPOINTS = st.lists(st.builds("{}:{}".format, HOSTS, st.integers(1, 65535)), min_size=1, max_size=8)
TOKENS = st.builds(lambda ca, ep: JoinToken.create(authority=ca, endpoints=ep), HASHES, ENDPOINTS)
EXAMPLE = JoinToken(authority="ab" * 32, endpoints=("192.168.7.1:8767",), id="0123456789ab", secret=b"0123456789abcdef")


def encoded(**changes):
    """A token with a right checksum and wrong contents; None leaves a field out."""
    fields = {"ca": "A" * 43, "ep": ["box.lan:8767"], "id": "0123456789ab", "s": "A" * 22} | changes
    data = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    data += zlib.crc32(data).to_bytes(4, "big")
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


@given(TOKENS)
def test_what_was_encoded_is_decoded(token):
    assert JoinToken.decode(token.encode()) == token


@given(TOKENS, st.data())
def test_one_wrong_character_is_noticed(token, data):
    text = token.encode()
    place = data.draw(st.integers(len(PREFIX), len(text) - 1))
    other = data.draw(st.sampled_from([each for each in ALPHABET if each != text[place]]))
    with pytest.raises(JoinError, match="copy the whole line once more"):
        JoinToken.decode(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("length", range(len(PREFIX) + 1, len(EXAMPLE.encode())))
def test_every_shorter_piece_is_called_cut_off(length):
    with pytest.raises(JoinError, match="cut off"):
        JoinToken.decode(EXAMPLE.encode()[:length])


def test_a_line_that_a_terminal_has_wrapped_is_put_together():
    text = EXAMPLE.encode()
    assert JoinToken.decode(f"  {text[:80]}\r\n {text[80:]}\n") == EXAMPLE


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no join token in the input"),
        (" \n", "there is no join token in the input"),
        ("hello", "no join token"),
        ("fgj2.AAAA", r"of another kind \(fgj2\.\)"),
        (PREFIX + "A" * 5000, "5,005 characters"),
        (PREFIX + "ä" * 20, "not base64url"),
        (encoded(ca="short"), "does not know"),
        (encoded(ep=[]), "does not know"),
        (encoded(ep=["box.lan"]), "does not know"),
        (encoded(ep=["box.lan:0"]), "does not know"),
        (encoded(ep=["box.lan:8767/x"]), "does not know"),
        (encoded(ep=["user@box.lan:8767"]), "does not know"),
        (encoded(ep="box.lan:8767"), "does not know"),
        (encoded(id="../../../etc"), "does not know"),
        (encoded(s=None), "does not know"),
        (encoded(s=7), "does not know"),
    ],
)
def test_other_input_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(JoinError, match=sentence):
        JoinToken.decode(text)


def test_the_example_of_wrong_contents_is_otherwise_right():
    assert JoinToken.decode(encoded()).endpoints == ("box.lan:8767",)


def test_secrets_and_ids_do_not_repeat():
    tokens = [JoinToken.create(authority="ab" * 32, endpoints=["box.lan:1"]) for _ in range(100)]
    assert len({each.id for each in tokens}) == len({each.secret for each in tokens}) == 100
    assert {len(each.secret) for each in tokens} == {16}


def test_the_secret_is_not_in_what_is_printed():
    assert "secret" not in repr(EXAMPLE)
    assert str(EXAMPLE.secret) not in repr(EXAMPLE)
