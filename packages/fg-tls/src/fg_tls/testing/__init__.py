"""What every listener of ours must pass, for the tests of whoever serves."""

from __future__ import annotations

from fg_tls.testing.conformance import Case as Case
from fg_tls.testing.conformance import ConformanceError as ConformanceError
from fg_tls.testing.conformance import Listener as Listener
from fg_tls.testing.conformance import conformance_cases as conformance_cases
from fg_tls.testing.conformance import run_case as run_case

__all__ = ["Case", "ConformanceError", "Listener", "conformance_cases", "run_case"]
