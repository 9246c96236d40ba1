"""The helper module on a few rows, and the small data file against the full one's columns."""

from pathlib import Path

import pandas as pd
import pytest
from features import PLAUSIBLE, add_ratios, check_visits, load_visits, split_by_patient

SMALL = Path(__file__).parents[1] / "testdata" / "data" / "train.csv"
PATIENTS = 40


@pytest.fixture
def visits() -> pd.DataFrame:
    return load_visits(SMALL)


def test_small_file_is_valid_and_sorted(visits):
    assert visits["patient"].nunique() == PATIENTS
    assert visits[["patient", "visit"]].apply(tuple, axis=1).is_monotonic_increasing


def test_ratios_leave_the_input_alone(visits):
    columns = list(visits.columns)
    ratios = add_ratios(visits)
    assert list(visits.columns) == columns
    assert ratios["tc_hdl"].iloc[0] == pytest.approx(157 / 38)


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_in_both_parts(visits, seed):
    train, test = split_by_patient(visits, test_share=0.25, seed=seed)
    assert not set(train["patient"]) & set(test["patient"])
    assert len(train) + len(test) == len(visits)
    assert test["patient"].nunique() == PATIENTS // 4


def test_same_seed_gives_same_split(visits):
    first, second = (split_by_patient(visits, seed=3)[1] for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("share", [0, 1, 25])
def test_impossible_share_is_refused(visits, share):
    with pytest.raises(ValueError, match=f"got {share}"):
        split_by_patient(visits, test_share=share)


@pytest.mark.parametrize("column", PLAUSIBLE)
def test_implausible_value_is_named_with_its_row(visits, column):
    visits.loc[7, column] = 9999
    with pytest.raises(ValueError, match=rf"{column} must be .* row 7 has 9999"):
        check_visits(visits)


def test_missing_column_is_named(visits):
    with pytest.raises(ValueError, match="missing columns: hdl"):
        check_visits(visits.drop(columns="hdl"))
