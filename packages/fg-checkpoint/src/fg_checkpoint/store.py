"""The checkpoints of one run: save, find the newest, load, verify."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from fg_checkpoint import directory
from fg_checkpoint.components import StateComponent
from fg_checkpoint.errors import CheckpointError, Damage, DamagedCheckpointError, IncompatibleCheckpointError
from fg_checkpoint.links import link_weights
from fg_checkpoint.ranks import Ranks, current_ranks, together
from fg_checkpoint.reference import CheckpointRef
from fg_checkpoint.retention import BestPolicy, apply_retention
from fg_checkpoint.validate import Level, verify

if TYPE_CHECKING:
    from fg_checkpoint.loading import LoadReport

logger = logging.getLogger(__name__)

OnDamage: TypeAlias = Literal["skip", "raise"]
Refs: TypeAlias = list[CheckpointRef]  # inside the class, `list` is its method
Damages: TypeAlias = list[Damage]
Findings: TypeAlias = list[tuple[CheckpointRef, Damages]]


class PendingSave:
    """A save that may still be running."""

    def __init__(self, future: Future[CheckpointRef]) -> None:
        self._future = future
        self._reported = False

    @property
    def done(self) -> bool:
        """Whether the save has ended, well or not."""
        return self._future.done()

    def wait(self, timeout: float | None = None) -> CheckpointRef:
        """The committed checkpoint, as soon as it is.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: it is still running.
            CheckpointError: the save failed (as any exception it failed with).
        """
        if self._future.done() or timeout is None:
            self._reported = True
        return self._future.result(timeout)

    def settle(self) -> None:
        """Wait for the end; raise its failure unless `wait` has raised it already."""
        error = self._future.exception()
        if error is not None and not self._reported:
            self._reported = True
            raise error


class CheckpointStore:
    """Checkpoints in the directory `root`, each in `checkpoint-<step>`.

    In a job of several processes (`torch.distributed` is initialised) `save`, `latest` and `load` are collective:
    every rank calls them, and gets the same answer. `root` must be a directory that all ranks see.

    Saving a step that exists already replaces it: a run that went back to an older checkpoint reaches steps again.

    Args:
        root: created at the first save.
        keep: how many of the newest checkpoints stay; None keeps all.
        best: which further ones stay, by metric.
        links: a directory that gets symbolic links to the newest weight files after each commit, so that
            `from_pretrained` works on it during training.
        max_shard_bytes: size limit of one safetensors file; a single larger tensor gets a file of its own.

    Raises:
        ValueError: `keep` is below 1.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        keep: int | None = 2,
        best: BestPolicy | None = None,
        links: str | os.PathLike[str] | None = None,
        max_shard_bytes: int = 2**31,
    ) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"keep is {keep}; keep at least 1 checkpoint, or None for all of them")
        self.root = Path(root)
        self.keep = keep
        self.best = best
        self.links = None if links is None else Path(links)
        self.max_shard_bytes = max_shard_bytes
        self._ranks: Ranks | None = None
        self._pending: PendingSave | None = None
        self._executor: ThreadPoolExecutor | None = None

    def save(
        self,
        step: int,
        components: Sequence[StateComponent],
        *,
        metrics: Mapping[str, float] | None = None,
        wait: bool = True,
        extra_files: Iterable[str | os.PathLike[str]] = (),
    ) -> PendingSave:
        """Save the components as the checkpoint of `step` (completed optimizer updates).

        Args:
            metrics: kept in the manifest; `best` looks at them.
            wait: False copies the state to host memory, returns, and writes in the background. A failure is then
                raised by `PendingSave.wait`, or else by the next call of this store.
            extra_files: copied into the checkpoint (config, tokenizer, source), so that it can be loaded alone.

        Raises:
            ValueError: `step` is negative.
            UnsupportedStateError: a state cannot be stored exactly.
            SaveError: the save was given up; on every rank, whichever failed.
        """
        from fg_checkpoint.capture import capture
        from fg_checkpoint.saving import SaveRequest, save_captured

        if step < 0:
            raise ValueError(f"step is {step}; it counts completed optimizer updates, from 0")
        ranks = self._settled_ranks()
        captured, _ = together(ranks, lambda: capture(components, ranks, isolate=not wait), lambda _: None)
        request = SaveRequest(
            step=step,
            root=self.root,
            metrics=dict(metrics or {}),
            extra_files=[Path(path) for path in extra_files],
            max_shard_bytes=self.max_shard_bytes,
            after_commit=self._after_commit,
        )
        return self._run(lambda: save_captured(captured, request, ranks), wait=wait)

    def list(self) -> Refs:
        """The committed checkpoints, by ascending step. Whether they are intact is for `verify` to say."""
        return [
            CheckpointRef(path=path, step=step) for step, path in directory.committed_directories(self.root).items()
        ]

    def latest(self, verify: Level = "content", *, on_damage: OnDamage = "skip") -> CheckpointRef | None:
        """The highest step that verifies; None when there is no checkpoint at all.

        Args:
            verify: how closely to look; see `fg_checkpoint.verify`.
            on_damage: "skip" goes on to the next older one, with a warning; "raise" refuses instead.

        Raises:
            DamagedCheckpointError: with "raise", the newest is damaged (the message names an intact older one);
                with "skip", every one is.
        """
        ranks = self._settled_ranks()
        # Rank 0 looks and the others take its word: ranks that resume from different steps would train a mixture.
        _, found = together(
            ranks,
            lambda: self._latest(verify, on_damage) if ranks.rank == 0 else None,
            lambda ref: ref and [ref.path.name, ref.step],
        )
        return found[0] and CheckpointRef(path=self.root / found[0][0], step=found[0][1])

    def load(self, ref: CheckpointRef, components: Sequence[StateComponent], *, skip: Iterable[str] = ()) -> LoadReport:
        """Load the components from a checkpoint, verifying every byte that is read.

        After an error some objects may have been loaded and others not: do not train on.

        Args:
            skip: keys of components to leave as they are.

        Raises:
            DamagedCheckpointError: names the file and the tensor.
            MissingComponentError: a required component is not in the checkpoint, or `skip` names an unknown one.
            IncompatibleCheckpointError: another model, another number of ranks, a newer format.
        """
        from fg_checkpoint.loading import load_components

        ranks = self._settled_ranks()
        report, reports = together(
            ranks,
            lambda: load_components(ref, components, skip=skip, ranks=ranks),
            lambda report: [report.step, *report.loaded],
        )
        if any(other != reports[0] for other in reports):
            raise IncompatibleCheckpointError(f"ranks loaded different checkpoints or components: {reports}")
        return report

    def verify(self, ref: CheckpointRef) -> Damages:
        """Every difference between the checkpoint and its manifest; an empty list means intact."""
        return verify(ref)

    def _latest(self, level: Level, on_damage: OnDamage) -> CheckpointRef | None:
        damaged: Findings = []
        for ref in reversed(self.list()):
            damages = verify(ref, level)
            if not damages:
                return _accept(ref, damaged, on_damage)
            damaged.append((ref, damages))
            logger.warning("%s is damaged (%s)", ref.path, "; ".join(map(str, damages)))
        if damaged:
            newest, damages = damaged[0]
            raise DamagedCheckpointError(newest.path, damages, advice="no older checkpoint is intact either")
        return None

    def _after_commit(self, saved: CheckpointRef) -> None:
        if self.links is not None:
            link_weights(saved, self.links)
        for ref in apply_retention(self.list(), saved=saved, keep=self.keep, best=self.best):
            logger.debug("deleted %s (keep=%s)", ref.path, self.keep)

    def _settled_ranks(self) -> Ranks:
        """This process among its peers, once no save is running any more (they would share the exchange)."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.settle()
        self._ranks = current_ranks(self._ranks)
        return self._ranks

    def _run(self, work: Callable[[], CheckpointRef], *, wait: bool) -> PendingSave:
        if wait:
            future: Future[CheckpointRef] = Future()
            future.set_result(work())
            return PendingSave(future)
        # The interpreter joins the worker at exit, so that a save that was begun is also ended.
        self._executor = self._executor or ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending = PendingSave(self._executor.submit(_logged, work))
        return self._pending


def _accept(ref: CheckpointRef, damaged: Findings, on_damage: OnDamage) -> CheckpointRef:
    if not damaged:
        return ref
    if on_damage == "raise":
        newest, damages = damaged[0]
        advice = f"the newest intact one is {ref.path}: load it by its path, or move the damaged one away"
        raise DamagedCheckpointError(newest.path, damages, advice=advice)
    logger.warning("going back to %s", ref.path)
    return ref


def _logged(work: Callable[[], CheckpointRef]) -> CheckpointRef:
    try:
        return work()
    except CheckpointError as error:
        logger.error("in the background: %s", error)
        raise
    except Exception:  # nobody may ever wait for this save: say now what happened to it
        logger.exception("saving a checkpoint in the background failed")
        raise
