"""The error tree: every sentence this project tells a user starts as one of these.

NbciError
 ├── UsageError        a flag, variable, table or repository we cannot work with (exit code 4)
 ├── NotebookError     a file that is no runnable notebook
 ├── DataError         test data that cannot be laid over the checkout
 ├── CheckoutError     the private checkout cannot be made or restored
 ├── KernelError       a kernel that does not exist or does not start
 └── DeliveryError     a store or a tracking server that does not take a result

A message says what is wrong, the value, where it came from; ``cure`` says what to do.
"""

from __future__ import annotations


class NbciError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: One sentence: what is wrong, the value, where it came from.
        cure: What the reader can do about it; empty when nobody knows.
    """

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        """The message followed by the cure, as a terminal shows them."""
        return f"{self.message} {self.cure}".strip()


class UsageError(NbciError):
    """What the user asked for cannot be done; pytest and ``nbci`` exit with code 4."""


class NotebookError(NbciError):
    """A file that cannot be read as a notebook."""


class DataError(NbciError):
    """Test data that is missing, of the wrong kind, or would leave the checkout."""


class CheckoutError(NbciError):
    """The private checkout could not be made or restored."""


class KernelError(NbciError):
    """No kernel for the notebook, or one that did not start."""


class DeliveryError(NbciError):
    """A store or tracking server refused a result, or is away."""
