"""What the demo claims about the trained model, each claim checked."""

from __future__ import annotations

import sys

PROMPT = "And it came to pass"
TOLERANCE = 1e-5

WITHOUT_FORGATHER = """
import sys, torch

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("fg_"):
            raise ImportError(f"{name} may not be imported here")

sys.meta_path.insert(0, Refuse())
from transformers import AutoModelForCausalLM, AutoTokenizer
directory, prompt, target = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True, dtype=torch.float32).eval()
with torch.no_grad():
    logits = model(**tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)).logits
torch.save({"logits": logits}, target)
assert not [name for name in sys.modules if name.startswith("fg_")]
"""


def claim(holds: bool, text: str) -> None:
    """Print a claim that holds; end the process with exit code 1 at one that does not."""
    if not holds:
        sys.exit(f"  FAILED: {text}")
    print(f"  ok: {text}", flush=True)
