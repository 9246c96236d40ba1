"""Features of the clinic visits in data/train.csv, shared by notebooks and tests."""

from pathlib import Path

import numpy as np
import pandas as pd

MEASUREMENTS = ("bmi", "bp", "tc", "ldl", "hdl", "ltg", "glu")
TARGET = "progression"
OVERWEIGHT = 25  # BMI from which the WHO speaks of overweight

# Widest values we accept as a measurement; beyond them it is a typing error.
PLAUSIBLE = {
    "age": (18, 100),
    "bmi": (12, 70),
    "bp": (40, 200),
    "glu": (30, 500),
}


def load_visits(path: str | Path) -> pd.DataFrame:
    """Return the visits in a CSV file, oldest visit of each patient first.

    Raises:
        ValueError: A column is missing or a value is not plausible.
    """
    visits = pd.read_csv(path)
    check_visits(visits)
    return visits.sort_values(["patient", "visit"], ignore_index=True)


def check_visits(visits: pd.DataFrame) -> None:
    """Raise ValueError naming the first column that is missing or implausible."""
    required = ["patient", "visit", "age", "sex", *MEASUREMENTS, TARGET]
    missing = [name for name in required if name not in visits.columns]
    if missing:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    for name, (low, high) in PLAUSIBLE.items():
        wrong = visits.loc[~visits[name].between(low, high), name]
        if not wrong.empty:
            raise ValueError(
                f"{name} must be {low} to {high}, but row {wrong.index[0]} has {wrong.iloc[0]:g}"
            )


def add_ratios(visits: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with the ratios that clinicians read.

    Adds `tc_hdl` (total cholesterol to HDL), `ldl_hdl`, and `overweight` (BMI of 25 or more).
    """
    return visits.assign(
        tc_hdl=visits["tc"] / visits["hdl"],
        ldl_hdl=visits["ldl"] / visits["hdl"],
        overweight=visits["bmi"] >= OVERWEIGHT,
    )


def split_by_patient(
    visits: pd.DataFrame, test_share: float = 0.25, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into (train, test) so that no patient is in both.

    Args:
        visits: One row a visit.
        test_share: Share of the patients, not of the visits, that goes into test.
        seed: Seed of the shuffle.

    Raises:
        ValueError: `test_share` is not between 0 and 1.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be between 0 and 1, got {test_share}")
    patients = np.sort(visits["patient"].unique())
    shuffled = np.random.default_rng(seed).permutation(patients)
    in_test = visits["patient"].isin(shuffled[: max(1, round(test_share * len(patients)))])
    return visits[~in_test], visits[in_test]
