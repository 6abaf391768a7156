"""The bodies of requests, as OpenAI's clients send them.

Fields of OpenAI that we do not have are accepted where they would change nothing (`n: 1`, `logprobs: false`), and
refused otherwise. Fields nobody knows are refused, with the nearest known name: a misspelt setting is not ignored.
"""

from __future__ import annotations

import difflib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fg_inference.generation import Sampling

DEFAULT_MAX_TOKENS: Final = 512

# Fields that say nothing about the text.
_WITHOUT_EFFECT: Final = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
)
# Fields that we do not have, and the values with which they ask for nothing.
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "suffix": ("",),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}


def _one_prompt(value: Any) -> Any:
    """A list with one prompt is that prompt."""
    if isinstance(value, list) and value and not isinstance(value[0], int):
        if len(value) > 1:
            raise ValueError(f"has {len(value)} prompts; send one request for each")
        return value[0]
    return value


def _several_stops(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Stops = Annotated[list[Text], BeforeValidator(_several_stops), Field(max_length=16)]


class StreamOptions(BaseModel):
    """What a stream holds besides text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: bool = False  # padding against eavesdroppers; there are none on loopback


class TextRequest(BaseModel):
    """What both kinds of completion have in common; ranges are those of `Sampling`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    stop: Stops = []
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0, le=100)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    ignore_eos: bool = False

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if not _is_unicode(data):
            raise ValueError("the body has half of a surrogate pair, which is no character and has no tokens")
        kept = {name: value for name, value in data.items() if value is not None and name not in _WITHOUT_EFFECT}
        for name in [name for name in kept if name not in cls.model_fields]:
            if not any(_same(kept[name], neutral) for neutral in _NEUTRAL.get(name, ())):
                raise ValueError(_unknown(name, list(cls.model_fields)))
            del kept[name]
        return kept

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the count of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def limit(self) -> int:
        """How many tokens to generate at most."""
        return self.max_tokens or DEFAULT_MAX_TOKENS

    def sampling(self, default_temperature: float) -> Sampling:
        """The settings of the request, with a temperature where it has none."""
        return Sampling(
            temperature=default_temperature if self.temperature is None else self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
        )


class CompletionRequest(TextRequest):
    """The body of `POST /v1/completions`: text, or token ids, to be continued."""

    prompt: Annotated[str | list[int], BeforeValidator(_one_prompt)]


class ContentPart(BaseModel):
    """A part of a message; text is the only kind."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: str
    content: str | list[ContentPart]
    name: str | None = None

    def plain(self) -> dict[str, str]:
        """What chat templates expect: `role` and `content` as text."""
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return {"role": self.role, "content": text} | ({"name": self.name} if self.name else {})


class ChatRequest(TextRequest):
    """The body of `POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def limit(self) -> int:
        """How many tokens to generate at most; the newer name counts where both are given."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS


def _is_unicode(data: Any) -> bool:
    """Whether every text in `data` can be encoded; JSON may spell halves of characters (`"\\ud800"`)."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _same(value: Any, neutral: Any) -> bool:
    """Equality that tells False from 0: `logprobs: 0` asks for one number for each token."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)


def _unknown(name: str, fields: list[str]) -> str:
    if name in _NEUTRAL:
        return f"{name} is not supported by this server; leave it out"
    near = difflib.get_close_matches(name, fields, n=1)
    return f"{name} is not a field of this request" + (f"; did you mean {near[0]}?" if near else "")
