import pytest

from fg_inference import ChatFormat
from fg_inference.chat import encode, read_template
from fg_inference.errors import RequestError, SettingsError

TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
SHOUT = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}{% endfor %}<assistant>"


@pytest.fixture
def tokenizer(model_directory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_directory)


def text(tokenizer, chat, messages=TALK):
    return tokenizer.decode(chat.prompt(messages))


def test_without_any_template_there_is_a_plain_transcript(tokenizer):
    chat = ChatFormat(tokenizer)
    assert text(tokenizer, chat) == "<|BOS|>System: Be kind.\nUser: Hello\nAssistant:"
    assert (chat.stops, chat.origin) == (("\nUser:",), "none, a plain transcript")


def test_the_template_of_the_tokenizer_comes_next(tokenizer):
    tokenizer.chat_template = SHOUT
    chat = ChatFormat(tokenizer)
    assert text(tokenizer, chat) == "<|BOS|><system>BE KIND.<user>HELLO<assistant>"
    assert chat.prompt(TALK).count(tokenizer.bos_token_id) == 1
    assert chat.stops == ()


def test_a_file_has_the_last_word(tokenizer, tmp_path):
    tokenizer.chat_template = SHOUT
    path = tmp_path / "template.jinja"
    path.write_text("{{ messages | length }}!")
    chat = ChatFormat(tokenizer, read_template(path), origin=str(path))
    assert (text(tokenizer, chat), chat.origin, chat.stops) == ("2!", str(path), ())
    with pytest.raises(SettingsError, match=r"none\.jinja cannot be read"):
        read_template(tmp_path / "none.jinja")


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('roles must alternate') }}", "{{ 1 / 0 }}", "{{ messages.x.y }}", "{% if %}"]
)
def test_a_template_that_fails_is_an_error_of_the_request(tokenizer, template):
    tokenizer.chat_template = template
    with pytest.raises(RequestError, match=r"the chat template \(the tokenizer's\): ") as caught:
        ChatFormat(tokenizer).prompt(TALK)
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_templates_cannot_reach_out_of_their_sandbox(tokenizer):
    tokenizer.chat_template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(RequestError, match="unsafe"):
        ChatFormat(tokenizer).prompt(TALK)


def test_an_end_token_that_the_tokenizer_appends_does_not_end_the_prompt(tokenizer):
    from tokenizers import processors

    eos = tokenizer.eos_token
    plain = encode(tokenizer, "Hello")
    template = processors.TemplateProcessing(
        single=f"{tokenizer.bos_token} $A {eos}",
        special_tokens=[(tokenizer.bos_token, tokenizer.bos_token_id), (eos, tokenizer.eos_token_id)],
    )
    tokenizer.backend_tokenizer.post_processor = template
    assert tokenizer("Hello")["input_ids"][-1] == tokenizer.eos_token_id
    assert encode(tokenizer, "Hello") == plain
