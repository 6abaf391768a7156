"""What a run saves, and how it goes on from what was saved."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fg_checkpoint import CheckpointError, CheckpointStore, DamagedCheckpointError, StateComponent
from fg_trainers.errors import ResumeError

if TYPE_CHECKING:
    from torch import nn

    from fg_checkpoint import CheckpointRef

logger = logging.getLogger(__name__)

RECORD: Final = "run.json"  # of `fg_config.save_run_record`: what `forgather train` was told to run


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionState:
    """A `Stateful` made of two functions, for state that is spread over several attributes."""

    save: Callable[[], dict[str, Any]]
    load: Callable[[dict[str, Any]], None]

    def state_dict(self) -> dict[str, Any]:
        """What `save` returns."""
        return self.save()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Hand the state to `load`."""
        self.load(state)


def checkpoint_store(output_dir: Path, keep: int | None) -> CheckpointStore:
    """The checkpoints of one output directory, with links at its root to the newest weights."""
    return CheckpointStore(output_dir / "checkpoints", keep=keep, links=output_dir)


def checkpoint_to_resume(store: CheckpointStore, choice: bool | str) -> CheckpointRef | None:
    """The checkpoint that `resume_from_checkpoint` asks for; None is a fresh start.

    Raises:
        ResumeError: the path is not a checkpoint, or the newest checkpoint is damaged. An older one is used only when
            it is named: going back in silence would lose work without anybody noticing.
    """
    if isinstance(choice, str):
        return _named(store, Path(choice))
    checkpoints = store.list()
    return checkpoints[-1] if choice and checkpoints else None


def load_checkpoint(store: CheckpointStore, ref: CheckpointRef, components: Sequence[StateComponent]) -> None:
    """Load all components; a damaged checkpoint is refused by name, with the way out."""
    try:
        store.load(ref, components)
    except DamagedCheckpointError as error:
        older = [other for other in store.list() if other.step < ref.step]
        advice = (
            f"to go back to the one before: --resume-from-checkpoint {older[-1].path}"
            if older
            else "there is no older one; to start afresh: --resume-from-checkpoint false, with overwrite_output_dir"
        )
        raise ResumeError(str(DamagedCheckpointError(error.path, error.damages, advice=advice))) from error
    except CheckpointError as error:
        raise ResumeError(
            f"{ref.path} does not fit this run: {error}\nuse another output directory, or the config that made it"
        ) from error


def write_model_directory(output_dir: Path, model: nn.Module, processing_class: Any) -> None:
    """Write config, generation config and tokenizer where `from_pretrained(output_dir)` looks for them.

    A model that carries its own source (its config has an `auto_map`) has written its directory itself.
    """
    config = getattr(model, "config", None)
    if getattr(config, "auto_map", None) and (output_dir / "config.json").exists():
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    for item in (config, getattr(model, "generation_config", None), processing_class):
        if hasattr(item, "save_pretrained"):
            item.save_pretrained(output_dir)


def files_beside_weights(output_dir: Path, run_dir: Path) -> list[Path]:
    """What makes a checkpoint a model directory of its own (source, config, tokenizer), and what run it is from."""
    patterns = ("*.py", "*.json", "*.jinja", "*.model")
    found = {path for pattern in patterns for path in output_dir.glob(pattern)} | {run_dir / RECORD}
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def tell_resumed(ref: CheckpointRef, run_dir: Path, *, choice: bool | str) -> None:
    """Log where the run goes on; a warning when another config wrote that, unless the checkpoint was chosen by path."""
    logger.info("resumed from %s at step %d", ref.path, ref.step)
    before, now = _RunName.read(ref.path), _RunName.read(run_dir)
    if isinstance(choice, str) or before is None or now is None or now.is_same(before):
        return
    logger.warning(
        "warning: this run of %s goes on from %s, which a run of %s wrote; if it is an experiment of its own, stop it "
        "and give its config its own ns.model_name, or start afresh with --resume-from-checkpoint false",
        now.beside(before),
        ref.path.name,
        before.beside(now),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunName:
    """The config of a run, as its record names it."""

    config: str
    project: Path

    @classmethod
    def read(cls, directory: Path) -> _RunName | None:
        """What is recorded in `directory`; None for runs that `forgather train` did not start."""
        try:
            record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
            return cls(config=record["config_name"], project=Path(record["project_dir"]))
        except (OSError, ValueError, KeyError, TypeError):  # the name only serves a warning
            return None

    def is_same(self, before: _RunName) -> bool:
        """Whether it is the config of an earlier run; a project that is gone from its place has been moved."""
        return self.config == before.config and (self.project == before.project or not before.project.exists())

    def beside(self, other: _RunName) -> str:
        """The config, with its project where that is another one."""
        return self.config if self.project == other.project else f"{self.config} in {self.project}"


def require_fresh(store: CheckpointStore, *, overwrite: bool) -> None:
    """Before a fresh start: refuse if there are checkpoints, or delete them when that was asked for.

    They cannot stay: the newest checkpoint is the one of the highest step, and a fresh start begins at step 0.
    """
    checkpoints = store.list()
    if checkpoints and not overwrite:
        raise ResumeError(
            f"{store.root} holds {len(checkpoints)} checkpoint(s), the newest of step {checkpoints[-1].step}, and a "
            "fresh start was asked for. Use another output_dir, or set overwrite_output_dir to delete them"
        )
    for ref in checkpoints:
        _discard(ref, "a fresh start with overwrite_output_dir was asked for")


def discard_after(store: CheckpointStore, ref: CheckpointRef) -> None:
    """Delete the run's checkpoints after the one it goes on from.

    The run went back on purpose. The next start would take the newest checkpoint, which is of the branch left behind.
    """
    for other in store.list():
        if other.step > ref.step and ref.path.resolve().parent == store.root.resolve():
            _discard(other, f"the run goes on from {ref.path.name}")


def _discard(ref: CheckpointRef, reason: str) -> None:
    logger.warning("deleting %s: %s", ref.path, reason)
    # Under another name first: what is left of a deletion that was killed must not look like a damaged checkpoint.
    discarded = ref.path.rename(ref.path.with_name(f".discarded-{ref.path.name}"))
    shutil.rmtree(discarded)


def _named(store: CheckpointStore, path: Path) -> CheckpointRef:
    for ref in store.list():
        if ref.path.resolve() == path.resolve():
            return ref
    parent = CheckpointStore(path.resolve().parent)
    for ref in parent.list():
        if ref.path.resolve() == path.resolve():
            return ref
    available = ", ".join(_names(store.list())) or "none"
    raise ResumeError(f"{path} is not a checkpoint of this run; available in {store.root}: {available}")


def _names(refs: Iterable[CheckpointRef]) -> list[str]:
    return [ref.path.name for ref in refs]


def as_mapping(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among `metrics`, for the manifest of a checkpoint."""
    return {key: float(value) for key, value in metrics.items() if isinstance(value, (int, float))}
