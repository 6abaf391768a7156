"""config.yaml of the TLS directory: mistakes have a line, and edits lose no comment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_tls import Store, StoreError
from fg_tls.host import settings as config
from fg_tls.pki.names import parse_names


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "tls")


def write_config(store, text):
    store.directory.mkdir(exist_ok=True, mode=0o700)
    (store.directory / "config.yaml").write_text(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nenabld: true", r":2: unknown key 'enabld'; did you mean 'enabled'\?"),
        ("enabled: maybe", ":1: enabled: 'maybe' is neither true nor false"),
        ("enabled: true\nenabled: false", ":2: 'enabled' stands in line 1 already"),
        ("hostnames: box", r":1: hostnames: 'box' is not a list of words, such as \[one, two\]"),
        ("hostnames: [a b]", ":1: hostnames: 'a b' is neither a host name nor an address"),
        ("hostnames: [10.0.0.5]", ":1: hostnames: 10.0.0.5 is an address; write it below `addresses`"),
        ("addresses: [box.lan]", ":1: addresses: 'box.lan' is not an address; write it below `hostnames`"),
        ("issuers: ['http://box:1']", ":1: issuers: 'http://box:1' is not the URL of an issuer"),
        ("issuers: ['https://me:pw@box:1']", "is not the URL of an issuer"),
        ("server_cert: 5", ":1: server_cert: 5 is not the path of a file"),
        ("server_key: a.pem", "server_key is set without server_cert"),
        ("san: {names: [a]}", ":1: san: unknown key 'names'"),
        ("- enabled", ":1: write `key: value` lines"),
        ("enabled: [", ":1 is not YAML"),
        ("a: \0", "is not YAML"),
        ("enabled: !!python/object:os.system {}", ":1: enabled: "),
        ("enabled: 2024-13-45", ":1: enabled: month must be in"),
        ("hostnames: !!int abc", ":1: hostnames: invalid literal"),
        ("issuers: ['https://[::1']", "is not the URL of an issuer"),
        ("issuers: ['https://box.lan:99999']", "is not the URL of an issuer"),
        ("hostnames: " + "[" * 2000, "is not YAML: "),
    ],
)
def test_mistakes_are_named_with_their_line(store, text, said):
    write_config(store, text)
    with pytest.raises(StoreError, match=said) as caught:
        store.settings()
    assert str(store.directory / "config.yaml") in str(caught.value)
    before = (store.directory / "config.yaml").read_text()
    with pytest.raises(StoreError):
        store.save_settings(ca_cert="x.pem")
    assert (store.directory / "config.yaml").read_text() == before


def test_the_first_file_explains_itself_and_reads_as_the_defaults(store):
    store.save_settings(enabled=True)
    assert (store.directory / "config.yaml").read_text() == config.TEMPLATE
    assert store.settings() == config.Settings()


comments = st.text("ab #:'\"[]{}&*!-", max_size=12).map(lambda text: f"# {text}")


@given(
    st.permutations(["enabled: false  # no", "hostnames:\n  - a\n  - b", "issuers: []", "# c", "ca_cert: x.pem"]),
    st.lists(comments, min_size=6, max_size=6),
    st.booleans(),
    st.lists(st.sampled_from(["https://a:1", "https://b.lan:8767"]), max_size=2),
)
def test_an_edit_changes_what_it_should_and_keeps_every_comment(tmp_path_factory, lines, remarks, enabled, issuers):
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    text = "\n".join(part for pair in zip(remarks, lines, strict=False) for part in pair) + "\n"
    edited = config.edited(text, path, {"enabled": enabled, "issuers": issuers})
    found = config.parse(edited, path)
    assert (found.enabled, found.issuers) == (enabled, tuple(issuers))
    assert found.names == parse_names(["a", "b"])
    assert [line for line in edited.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("#")
    ]
    assert "# no" in edited


def test_a_file_that_cannot_be_edited_says_what_to_write(store):
    write_config(store, "{enabled: true}")
    store.save_settings(enabled=False)
    assert not store.enabled
    with pytest.raises(StoreError, match=r'issuers: \["https://a:1"\]|is not YAML'):
        store.save_settings(issuers=["https://a:1"])
    assert (store.directory / "config.yaml").read_text() == "{enabled: false}"
