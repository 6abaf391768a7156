"""Train a byte-level BPE tokenizer from a config, once.

Byte pair encoding: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909; over bytes, so that every text can be
encoded and decoded without loss: Radford et al. 2019, section 2.2.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from fg_config.files import atomic_write
from fg_models.errors import TokenizerError
from fg_models.locking import locked

logger = logging.getLogger(__name__)

RECORD = "tokenizer_source.json"
BYTES: Final = 256
REQUIRED_TOKENS: Final = ("bos_token", "eos_token", "pad_token")
DEFAULT_SPECIAL_TOKENS: Final = {"bos_token": "<|BOS|>", "eos_token": "<|EOS|>", "pad_token": "<|PAD|>"}


def train_bpe(
    texts: Iterable[str],
    *,
    vocab_size: int,
    model_max_length: int,
    special_tokens_map: Mapping[str, str] = DEFAULT_SPECIAL_TOKENS,
    min_frequency: int = 2,
    chat_template: str | None = None,
) -> PreTrainedTokenizerFast:
    """Learn merges from `texts`; the same texts give the same tokenizer.

    The special tokens get the first ids, the 256 bytes the next; calling the tokenizer puts the BOS token in front
    (not with `add_special_tokens=False`). The vocabulary is smaller than `vocab_size` when the texts run out of pairs
    seen `min_frequency` times.

    Raises:
        TokenizerError: BOS, EOS and PAD are not three different tokens, or `vocab_size` has no room for the bytes.
    """
    special = _checked_special_tokens(special_tokens_map)
    if vocab_size < BYTES + len(special):
        raise TokenizerError(
            f"vocab_size {vocab_size} is too small: {BYTES} bytes and {len(special)} special tokens "
            f"({', '.join(special)}) need at least {BYTES + len(special)}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    bos = special_tokens_map["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=model_max_length,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        **special_tokens_map,
    )
    fast.chat_template = chat_template
    return fast


def _checked_special_tokens(special_tokens_map: Mapping[str, str]) -> list[str]:
    missing = [name for name in REQUIRED_TOKENS if name not in special_tokens_map]
    if missing:
        raise TokenizerError(f"special_tokens_map lacks {', '.join(missing)}; it has {dict(special_tokens_map)}")
    values = [special_tokens_map[name] for name in REQUIRED_TOKENS]
    if len(set(values)) < len(values):
        raise TokenizerError(
            f"bos_token, eos_token and pad_token must be three different tokens, got {values}: a model trained with "
            "pad = eos never learns to stop"
        )
    return list(dict.fromkeys(special_tokens_map.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerTrainer:
    """A tokenizer in a directory: trained when it is missing or when its inputs changed, loaded otherwise.

    `dataset` gives texts: strings, mappings with the column `feature`, or a row source (`num_rows`, `take(rows)`).
    """

    dataset: Any
    output_dir: str | Path
    vocab_size: int
    model_max_length: int
    feature: str = "text"
    special_tokens_map: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_SPECIAL_TOKENS))
    min_frequency: int = 2
    chat_template: str | None = None

    def run(self) -> PreTrainedTokenizerFast:
        """The tokenizer. All ranks may call this at once; one trains, the others wait and load."""
        directory = Path(self.output_dir).resolve()
        with locked(directory):
            digest = self.inputs_digest()
            if not _holds(directory, digest):
                self._train_into(directory, digest)
        return PreTrainedTokenizerFast.from_pretrained(str(directory))

    def inputs_digest(self) -> str:
        """SHA-256 of the settings and of the texts, or of the dataset's own `fingerprint` where it has one."""
        settings = {**self._arguments(), "feature": self.feature, "tokenizers": tokenizers.__version__}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        fingerprint = getattr(self.dataset, "fingerprint", None)
        for text in [str(fingerprint)] if fingerprint else self.texts():
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        return digest.hexdigest()

    def texts(self) -> Iterator[str]:
        """The documents, one after the other."""
        source = self.dataset
        rows = (
            _row_source_rows(source, self.feature)
            if hasattr(source, "take") and hasattr(source, "num_rows")
            else source
        )
        for row in rows:
            yield row if isinstance(row, str) else row[self.feature]

    def _arguments(self) -> dict[str, Any]:
        names = ("vocab_size", "model_max_length", "min_frequency", "chat_template")
        return {name: getattr(self, name) for name in names} | {"special_tokens_map": dict(self.special_tokens_map)}

    def _train_into(self, directory: Path, digest: str) -> None:
        logger.info("training a BPE tokenizer of %d tokens for %s", self.vocab_size, directory)
        texts = self.texts()
        first = next(texts, None)
        if first is None:
            raise TokenizerError(f"the dataset for the tokenizer in {directory} has no documents")
        tokenizer = train_bpe(chain([first], texts), **self._arguments())
        directory.mkdir(parents=True, exist_ok=True)
        (directory / RECORD).unlink(missing_ok=True)  # without a record a half-written directory is trained again
        tokenizer.save_pretrained(str(directory))
        atomic_write(directory / RECORD, json.dumps({"hash": digest, "vocab_size": len(tokenizer)}, indent=2) + "\n")


def trained_tokenizer(dataset: Any, **settings: Any) -> PreTrainedTokenizerFast:
    """`TokenizerTrainer(dataset=dataset, **settings).run()`: the tokenizer itself, for a training config."""
    return TokenizerTrainer(dataset=dataset, **settings).run()


def _row_source_rows(source: Any, feature: str, batch_rows: int = 1024) -> Iterator[str]:
    import numpy as np

    for start in range(0, source.num_rows, batch_rows):
        batch = source.take(np.arange(start, min(start + batch_rows, source.num_rows)))
        yield from batch.columns[feature]


def _holds(directory: Path, digest: str) -> bool:
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return record.get("hash") == digest and (directory / "tokenizer.json").is_file()
