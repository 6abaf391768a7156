"""The random number generators of this process as one stateful object."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import torch

logger = logging.getLogger(__name__)


class RNGState:
    """Python's, numpy's and torch's global generators, and that of the current CUDA device.

    Each rank has its own streams, so it belongs into a PER_RANK component.
    """

    def state_dict(self) -> dict[str, Any]:
        """The generators' states; `cuda` is None when CUDA is not in use."""
        return {
            "python": random.getstate(),
            "numpy": np.random.get_state(legacy=True),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the saved streams."""
        random.setstate(state_dict["python"])
        np.random.set_state(state_dict["numpy"])
        torch.set_rng_state(state_dict["torch"])
        if state_dict["cuda"] is None:
            return
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(state_dict["cuda"])
        else:
            logger.warning("the checkpoint has a CUDA random state and there is no CUDA device: left out")
