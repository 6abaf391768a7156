"""What the demo claims about the trained model, each claim checked."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROMPT = "And it came to pass"
TOLERANCE = 1e-5

WITHOUT_FORGATHER = """
import sys, torch

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("fg_"):
            raise ImportError(f"{name} may not be imported here")

sys.meta_path.insert(0, Refuse())
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar
disable_progress_bar()
directory, prompt, target = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True, dtype=torch.float32).eval()
with torch.no_grad():
    logits = model(**tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)).logits
save_file({"logits": logits}, target)
assert not [name for name in sys.modules if name.startswith("fg_")]
"""


def claim(holds: bool, text: str) -> None:
    """Print a claim that holds; end the process with exit code 1 at one that does not."""
    if not holds:
        sys.exit(f"  FAILED: {text}")
    print(f"  ok: {text}", flush=True)


def same_logits_without_forgather(model_dir: Path) -> None:
    """transformers alone computes what Forgather's loader computes."""
    import torch
    import transformers
    from safetensors.torch import load_file

    from fg_models import load_model

    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "logits.safetensors"
        subprocess.run([sys.executable, "-c", WITHOUT_FORGATHER, str(model_dir), PROMPT, str(target)], check=True)
        theirs = load_file(target)["logits"]
    model, tokenizer = load_model(model_dir, dtype=torch.float32)
    with torch.no_grad():
        ours = model(tokenizer(PROMPT, return_tensors="pt")["input_ids"]).logits
    difference = (ours - theirs).abs().max().item()
    claim(difference <= TOLERANCE, f"AutoModelForCausalLM without Forgather: logits differ by {difference:.1e} at most")


def cache_changes_nothing(model_dir: Path) -> None:
    """Generation with and without the key-value cache picks the same tokens."""
    import torch

    from fg_models import load_model

    model, tokenizer = load_model(model_dir, dtype=torch.float32)
    inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
    options = {"max_new_tokens": 40, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    cached, plain = (model.generate(**inputs, **options, use_cache=use_cache) for use_cache in (True, False))
    claim(torch.equal(cached, plain), f"{cached.shape[1]} tokens are the same with and without cache")


def chat(url: str, token: str) -> None:
    """The official client gets the same text streamed and whole."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=token)
    (model,) = client.models.list().data
    request = {"model": model.id, "prompt": PROMPT, "max_tokens": 60, "temperature": 0.7, "seed": 7}
    whole = client.completions.create(**request).choices[0].text
    streamed = "".join(
        part.choices[0].text for part in client.completions.create(**request, stream=True) if part.choices
    )
    print(f"    {PROMPT}{whole}".replace("\n", "\n    "))
    claim(streamed == whole, "text streamed to the OpenAI client equals text sent whole")
    message = {"role": "user", "content": "Who shall dwell in the house of the LORD?"}
    answer = client.chat.completions.create(model=model.id, messages=[message], max_tokens=40, seed=7)
    claim(
        bool(answer.choices[0].message.content), f"chat: {' '.join((answer.choices[0].message.content or '').split())}"
    )


def url_of(server: subprocess.Popen[str]) -> str:
    """The address a server prints when it accepts requests; its other lines are passed on."""
    assert server.stdout is not None
    for line in server.stdout:
        print(f"    {line}", end="")
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    sys.exit(f"the server ended with exit code {server.wait()}")
