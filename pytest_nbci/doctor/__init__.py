"""``nbci doctor``: what stands between this project and its published results.

It prints every setting with the place it came from, then tries git, the private checkout, each
kernel that the notebooks need, the results folder, the store and MLflow for real.
"""

from __future__ import annotations

from pytest_nbci.doctor.checks import examine
from pytest_nbci.doctor.values import settings_lines

__all__ = ["examine", "settings_lines"]
