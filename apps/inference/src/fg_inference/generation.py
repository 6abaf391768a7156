"""One request to the model: what is asked, and the text as it comes."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from fg_inference.detokenize import IncrementalDetokenizer
from fg_inference.stops import StopScanner

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FinishReason = Literal["stop", "length", "cancelled"]

_GREEDY_BELOW: Final = 1e-5  # dividing logits by less gives infinities
_GREEDY: Final[dict[str, Any]] = {"do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "min_p": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is drawn; `temperature` 0 takes the most probable one.

    `top_k` 0, `top_p` 1 and `min_p` 0 (arXiv:2407.01082) keep all tokens; `repetition_penalty` 1 (arXiv:1909.05858)
    does nothing. The same `seed` gives the same text; None takes a random one.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def options(self) -> dict[str, Any]:
        """The keywords of `generate` of transformers; all of them, so that a model's own settings do not mix in."""
        chosen = _GREEDY
        if self.temperature >= _GREEDY_BELOW:
            chosen = {"do_sample": True, "temperature": float(self.temperature), "top_p": float(self.top_p)}
            chosen |= {"top_k": self.top_k, "min_p": float(self.min_p) or None}
        return chosen | {"repetition_penalty": float(self.repetition_penalty)}  # transformers refuses the integer 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What to generate: at most `max_tokens` behind `prompt` (token ids), up to one of the `stops`."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class TextPiece:
    """More text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: why, and how many tokens were generated, those of the stop included."""

    reason: FinishReason
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The end, without success."""

    error: Exception


GenerationEvent = TextPiece | Finished | Failed


class Generation:
    """A request in the hands of the engine. `deliver` gets its events, `cancelled` hears of the first `cancel()`."""

    def __init__(
        self,
        request: GenerationRequest,
        deliver: Callable[[GenerationEvent], None],
        *,
        cancelled: Callable[[Generation], None] = lambda _: None,
    ) -> None:
        self.request = request
        self.deliver = deliver
        self._cancelled = threading.Event()
        self._when_cancelled = cancelled

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the text any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop after the token that is being computed; from any thread, at any time, more than once."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            self._when_cancelled(self)

    def run(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, eos: frozenset[int]) -> Finished:
        """Generate; text is delivered on the way, and the end is returned.

        The global random generators are left as they were.
        """
        progress = _Progress(self, tokenizer, self._end_tokens(tokenizer, eos))
        prompt = torch.tensor([self.request.prompt], device=model.device)
        sampling = self.request.sampling
        cuda = [model.device] if model.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=cuda):
            torch.manual_seed(secrets.randbits(63) if sampling.seed is None else sampling.seed)
            generate: Any = model.generate
            generate(
                inputs=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=self.request.max_tokens,
                eos_token_id=None,  # `progress` decides
                pad_token_id=tokenizer.pad_token_id or 0,
                num_beams=1,
                stopping_criteria=StoppingCriteriaList([progress]),
                **sampling.options(),
            )
        return progress.finish()

    def _end_tokens(self, tokenizer: PreTrainedTokenizerBase, eos: frozenset[int]) -> frozenset[int]:
        """Stop strings that are a token of their own (`<|im_end|>`) are matched as tokens: text does not show them."""
        added: dict[str, int] = tokenizer.get_added_vocab()
        stops = frozenset(added[stop] for stop in self.request.stops if stop in added)
        return stops if self.request.ignore_eos else stops | eos


class _Progress(StoppingCriteria):
    """Sees every token as it is drawn, delivers text, and says when to stop."""

    def __init__(self, generation: Generation, tokenizer: PreTrainedTokenizerBase, eos: frozenset[int]) -> None:
        self._generation = generation
        self._detokenizer = IncrementalDetokenizer(tokenizer)
        self._scanner = StopScanner(generation.request.stops)
        self._eos = eos
        self._count = 0
        self._reason: FinishReason | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        self._count += 1
        self._take(int(input_ids[0, -1]))
        return torch.full((1,), self._reason is not None, dtype=torch.bool, device=input_ids.device)

    def finish(self) -> Finished:
        """Deliver what was held back, and tell the reason."""
        if self._reason is None:
            self._show(self._detokenizer.flush())
            if self._reason is None:
                self._emit(self._scanner.flush())
        return Finished(self._reason or "length", self._count)

    def _take(self, token: int) -> None:
        if self._generation.cancelled:
            self._reason = "cancelled"
        elif token in self._eos:
            self._show(self._detokenizer.flush())
            self._emit(self._scanner.flush())
            self._reason = "stop"
        else:
            self._show(self._detokenizer.add(token))

    def _show(self, text: str) -> None:
        scanned = self._scanner.add(text)
        self._emit(scanned.text)
        if scanned.stopped:
            self._reason = "stop"

    def _emit(self, text: str) -> None:
        if text:
            self._generation.deliver(TextPiece(text))


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end a text: those of the generation config, one or a list, else the tokenizer's."""
    config: Any = model.generation_config
    ids: int | Sequence[int] | None = getattr(config, "eos_token_id", None)
    if ids is None:
        eos: Any = tokenizer.eos_token_id
        ids = [] if eos is None else [eos]
    return frozenset([ids] if isinstance(ids, int) else ids)
