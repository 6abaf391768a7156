"""Where Forgather keeps what belongs to a user rather than to a project."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path | None:
    """What can be made again: `$FORGATHER_CACHE_DIR` (None when it is empty), else the platform's cache directory."""
    override = os.environ.get("FORGATHER_CACHE_DIR")
    if override is not None:
        return Path(override).expanduser() if override else None
    import platformdirs  # imported here: half of the callers never ask

    return Path(platformdirs.user_cache_dir("forgather"))


def config_dir() -> Path:
    """The per-user directory: `$FORGATHER_CONFIG_DIR`, else `forgather` under the platform's config directory."""
    override = os.environ.get("FORGATHER_CONFIG_DIR")
    if override:
        return Path(override).expanduser()
    import platformdirs  # imported here: half of the callers never ask

    return Path(platformdirs.user_config_dir("forgather"))
