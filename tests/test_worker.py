"""What a worker does ahead of the first notebook."""

from __future__ import annotations

import subprocess
import sys

# The signal comes in the middle of an import.
INTERRUPTED = """
import os, signal, sys
from types import SimpleNamespace
from pytest_nbci.worker import Worker

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "pytest_nbci.execution.engine":
            os.kill(os.getpid(), signal.SIGINT)
            print("imported")

sys.meta_path.insert(0, Finder())
worker = object.__new__(Worker)
worker.bench = SimpleNamespace(make_checkout=lambda: None)
worker._tracking = SimpleNamespace(tracking_uri=None)
try:
    worker.expect_notebooks()
except KeyboardInterrupt:
    print("interrupted", "pytest_nbci.execution.engine" in sys.modules)
"""


def test_a_ctrl_c_while_threads_import_waits_for_the_import():
    """It would leave the import lock locked, and the threads that are waited for with it."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "imported\ninterrupted True\n"
