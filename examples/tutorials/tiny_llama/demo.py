"""The main job, from text to a model you talk to: `hatch run demo`, or `python demo.py`.

Every claim that is printed is checked; a claim that does not hold ends the demo with exit code 1.

1. Take the text from an installed package and train `v1.yaml` on it.
2. Start the same training again elsewhere, kill it without warning, resume it, and compare what both logged.
3. Load the result with transformers alone, in a process that cannot import Forgather.
4. Serve it, and talk to it with the official OpenAI client.
5. Plot the losses.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import demo_checks
import prepare_data

PROJECT = Path(__file__).resolve().parent
MODELS = PROJECT / "output_models"
STEPS = 500
LEAST_STEPS = 60
BITS_PER_CHARACTER = 1.59
"""What `STEPS` updates reached where it was measured (1.513), plus 5 %."""


def main() -> None:
    """Run the whole demo."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the trainings end too
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    began = time.perf_counter()
    MODELS.mkdir(exist_ok=True)

    title("The text")
    prepare_data.main()
    print(f"{prepare_data.TARGET.relative_to(PROJECT)}: the King James text, one chapter per line, public domain,")
    print(f"taken from the installed package {prepare_data.PACKAGE}. Every 40th chapter is held out.")

    title(f"Training: {args.steps} updates of 1024 tokens")
    model = fresh(MODELS / "tiny_llama")
    seconds = train(model, args.steps)
    check_learning(model, args.steps, seconds)

    title("Nothing is lost: a second run is killed without warning, and resumed")
    kill_and_resume(model, fresh(MODELS / "tiny_llama_killed"), args.steps)

    title("The result is a plain model directory")
    demo_checks.same_logits_without_forgather(model)
    demo_checks.cache_changes_nothing(model)

    title("Talk to it")
    with server(model) as (url, token):
        demo_checks.chat(url, token)

    plot(model)
    title(f"Done in {time.perf_counter() - began:.0f} s. Where to go from here")
    print("In the environment of the demo (`hatch shell`):")
    print(f"  forgather inf server -m {shown(model)}    (then, in another shell: forgather inf client --interactive)")
    print(f"  forgather -p {shown(PROJECT)} -t v2.yaml train     (the same model with another optimizer)")
    print(f"  forgather -p {shown(PROJECT)} pp                   (the config that all of this was)")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"updates of the training (default {STEPS})")
    args = parser.parse_args()
    if args.steps < LEAST_STEPS:
        parser.error(f"--steps must be at least {LEAST_STEPS}: fewer updates leave nothing to kill and compare")
    return args


# --- training -------------------------------------------------------------------------------------


def train_command(output_dir: Path, steps: int) -> list[str]:
    """What `forgather -p … train …` runs, spelt so that it needs nothing on the PATH."""
    verb = [sys.executable, "-m", "fg_cli", "-p", str(PROJECT), "-t", "v1.yaml", "train"]
    return [*verb, "--output-dir", str(output_dir), "--max-steps", str(steps), "--save-steps", str(max(1, steps // 12))]


def train(output_dir: Path, steps: int) -> float:
    """Train to the end; returns seconds of wall clock."""
    began = time.perf_counter()
    with training(output_dir, steps) as process:
        pass
    if process.returncode != 0:
        sys.exit(f"the training ended with exit code {process.returncode}")
    return time.perf_counter() - began


def kill_and_resume(reference: Path, output_dir: Path, steps: int) -> None:
    """SIGKILL a repetition of the training, resume it, stop it by Ctrl-C, and compare its log with `reference`."""
    save_every = max(1, steps // 12)
    with training(output_dir, steps) as process:
        wait_for_record(output_dir, save_every + save_every // 2, process)
        process.kill()
    killed_at = last_step(output_dir)
    claim(process.returncode == -signal.SIGKILL, f"killed at step {killed_at} or later")

    with training(output_dir, steps) as process:
        wait_for_record(output_dir, killed_at + 1, process)
        process.send_signal(signal.SIGINT)
    stopped = process.returncode == 128 + signal.SIGINT
    # On a machine that is fast enough the run is over before the signal arrives.
    how = "resumed, and stopped by one Ctrl-C after saving" if stopped else "resumed, and trained to the end"
    claim(stopped or process.returncode == 0, how)

    expected = comparable(reference)
    seen = comparable(output_dir)
    equal = sum(1 for ours, theirs in zip(seen, expected, strict=False) if ours == theirs)
    claim(equal == len(seen) > 2, f"{equal} of {len(seen)} records equal those of the run never killed, bit for bit")


@contextmanager
def training(output_dir: Path, steps: int) -> Iterator[subprocess.Popen[bytes]]:
    """A training in the background; it ends with the block, or with the demo."""
    process = subprocess.Popen(train_command(output_dir, steps))
    try:
        yield process
        process.wait()
    finally:
        process.kill()
        process.wait()


def wait_for_record(output_dir: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Until the run has logged `step`, as its log shows."""
    while last_step(output_dir) < step:
        if process.poll() is not None:
            sys.exit(f"the training ended with exit code {process.returncode} before step {step}")
        time.sleep(0.05)


def log_of(output_dir: Path) -> Path:
    """The log of a run; a resumed run goes on in the file of the run it continues."""
    return min(output_dir.glob("runs/*/trainer_logs.jsonl"), default=output_dir / "none")


def records(output_dir: Path, key: str) -> list[dict[str, Any]]:
    """The records that hold `key`: "loss" in training, "eval_loss" in evaluation."""
    log = log_of(output_dir)
    lines = log.read_text().splitlines() if log.exists() else []
    return [record for line in lines if key in (record := json.loads(line))]


def last_step(output_dir: Path) -> int:
    return max((record["global_step"] for record in records(output_dir, "loss")), default=0)


def comparable(output_dir: Path) -> list[dict[str, Any]]:
    """All records of a run, training and evaluation, without what depends on the clock."""
    clock = {"timestamp", "tok_per_sec", "eval_runtime"}
    lines = log_of(output_dir).read_text().splitlines()[1:]
    return [{key: value for key, value in json.loads(line).items() if key not in clock} for line in lines]


def check_learning(output_dir: Path, steps: int, seconds: float) -> None:
    held_out = records(output_dir, "eval_loss")
    first, last = held_out[0], held_out[-1]
    print(f"{seconds:.0f} s of wall clock, {records(output_dir, 'loss')[-1]['tok_per_sec']:,} tokens/s at the end")
    claim(last["bits_per_char"] < first["bits_per_char"], f"held out: {last['bits_per_char']:.3f} bits per character")
    if steps >= STEPS:
        claim(last["bits_per_char"] <= BITS_PER_CHARACTER, f"at or below the {BITS_PER_CHARACTER} this demo must reach")


# --- serving --------------------------------------------------------------------------------------


@contextmanager
def server(model: Path) -> Iterator[tuple[str, str]]:
    """`forgather inf server -c -m MODEL` on a free port; yields its URL and token."""
    command = [sys.executable, "-m", "fg_cli", "inf", "server", "-c", "-m", str(model), "-p", "0", "--device", "cpu"]
    token_file = MODELS / "demo.token"
    token_file.touch(mode=0o600)  # before the secret is in it
    token_file.write_text(secrets.token_hex(32) + "\n")
    command += ["--auth-token-file", str(token_file)]
    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet)
    try:
        url = demo_checks.url_of(process)
        yield url, token_file.read_text().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        token_file.unlink()


# --- telling --------------------------------------------------------------------------------------


def plot(output_dir: Path) -> None:
    """Losses over tokens, as a picture beside the model."""
    os.environ.setdefault("MPLBACKEND", "agg")
    from matplotlib import pyplot

    training, held_out = records(output_dir, "loss"), records(output_dir, "eval_loss")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.plot([r["global_step"] for r in training], [r["loss"] for r in training], label="training", color="tab:blue")
    axes.plot(
        [r["global_step"] for r in held_out], [r["eval_loss"] for r in held_out], "o-", label="held out", color="k"
    )
    axes.set(xlabel="updates of 1024 tokens", ylabel="loss (nats per token)", title="Tiny Llama on the King James text")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(output_dir / "loss.png", dpi=120)
    print(f"\nplot: {shown(output_dir / 'loss.png')}")


def title(text: str) -> None:
    print(f"\n=== {text} ===", flush=True)


def claim(holds: bool, text: str) -> None:
    """Print a claim that holds; end the demo at one that does not."""
    demo_checks.claim(holds, text)


def shown(path: Path) -> str:
    """A path as one types it from here."""
    return os.path.relpath(path)


def fresh(directory: Path) -> Path:
    """An output directory of an earlier demo is removed: the demo shows a whole run."""
    if directory.exists():
        shutil.rmtree(directory)
    return directory


if __name__ == "__main__":
    main()
