"""Sample text while the model learns: the quickest way to see whether it does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import TrainerCallback
from fg_trainers.errors import ArgumentsError
from fg_trainers.state import TrainerControl, TrainerState

logger = logging.getLogger(__name__)

DEFAULT_SAMPLING: Final[Mapping[str, Any]] = {
    "do_sample": True,
    "top_k": 20,
    "temperature": 0.7,
    "repetition_penalty": 1.15,
}


class TextgenCallback(TrainerCallback):
    """Continues fixed prompts at evaluations, and writes the text to the log and to TensorBoard.

    The random numbers are drawn from a generator state of their own, so that prompts never change what is trained.

    Args:
        prompts: texts to continue, or the path of a YAML file with a list of them.
        summary_writer: where to add the text as `eval-text`; optional.
        generation_config: options of `model.generate`; None is top-k sampling (20) at temperature 0.7.
        generation_steps: updates between two samples; None samples at every evaluation.
        max_new_tokens: length of each continuation.
    """

    def __init__(
        self,
        prompts: Sequence[str] | str,
        summary_writer: Any = None,
        generation_config: Mapping[str, Any] | None = None,
        generation_steps: int | None = None,
        max_new_tokens: int = 200,
    ) -> None:
        self._prompts = _load_prompts(prompts)
        self._writer = summary_writer
        self._options = {**(DEFAULT_SAMPLING if generation_config is None else generation_config)}
        self._options.setdefault("max_new_tokens", max_new_tokens)
        self._period = generation_steps or 0
        self._due = 0

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        trainer: Any,
        processing_class: Any,
        **context: Any,
    ) -> None:
        if state.global_step < self._due or processing_class is None:
            return
        self._due = state.global_step + self._period
        with torch.random.fork_rng():
            torch.manual_seed(state.global_step)
            texts = [self._continue(prompt, trainer.strategy, processing_class) for prompt in self._prompts]
        if not state.is_world_process_zero:
            return
        for text in texts:
            logger.info("step %d: %s", state.global_step, " ".join(text.split()))
        if self._writer is not None:
            self._writer.add_text("eval-text", "\n\n---\n\n".join(texts), state.global_step)

    def state_dict(self) -> dict[str, Any]:
        """When the next sample is due."""
        return {"due": self._due}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore when the next sample is due."""
        self._due = state["due"]

    def _continue(self, prompt: str, strategy: Any, tokenizer: Any) -> str:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        if tokenizer.bos_token_id is not None:
            ids = torch.cat([torch.tensor([[tokenizer.bos_token_id]]), ids], dim=1)
        output = strategy.generate(ids, pad_token_id=tokenizer.pad_token_id, **self._options)
        continuation = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        return f"{prompt} [START] {continuation}"


def _load_prompts(prompts: Sequence[str] | str) -> list[str]:
    if isinstance(prompts, str):
        import yaml

        path = Path(prompts)
        if not path.is_file():
            raise ArgumentsError(f"prompts: no such file '{path}' (give a list of texts, or a YAML file with one)")
        prompts = yaml.safe_load(path.read_text())
    if not isinstance(prompts, Sequence) or not all(isinstance(item, str) for item in prompts) or not prompts:
        raise ArgumentsError(f"prompts must be a list of texts, not {prompts!r}")
    return list(prompts)
