"""Write data/train.csv: 50 visits of each of the 442 diabetes patients in scikit-learn.

The data that scikit-learn ships (Efron et al., Least Angle Regression, 2004) has one visit
a patient. The others are drawn around it with the noise of a repeated measurement, from a
fixed seed, so the file is the same on every machine. No download.

    python make_full_data.py
    python make_full_data.py --patients 40 --visits 3 --output testdata/data/train.csv

The second line wrote the small file that is in git.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

NAMES = {"s1": "tc", "s2": "ldl", "s3": "hdl", "s4": "tch", "s5": "ltg", "s6": "glu"}
NOISE = 0.03  # standard deviation of a repeated measurement, as a share of its value
HERE = Path(__file__).parent


def make_visits(patients: int, visits: int, seed: int = 2004) -> pd.DataFrame:
    """Return `visits` rows for each of the first `patients` patients."""
    data = load_diabetes(as_frame=True, scaled=False)
    first = data.frame.rename(columns=NAMES).head(patients)
    measured = ["bmi", "bp", *NAMES.values()]
    rng = np.random.default_rng(seed)
    frames = []
    for visit in range(1, visits + 1):
        frame = first.copy()
        if visit > 1:
            frame[measured] *= rng.normal(1, NOISE, size=frame[measured].shape)
        frame.insert(0, "patient", first.index + 1)
        frame.insert(1, "visit", visit)
        frames.append(frame)
    table = pd.concat(frames).rename(columns={"target": "progression"})
    table = table.astype({"age": int, "sex": int, "progression": int})
    return table.sort_values(["patient", "visit"]).round(3)


def main() -> None:
    """Write the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=442)
    parser.add_argument("--visits", type=int, default=50)
    parser.add_argument("--output", type=Path, default=HERE / "data" / "train.csv")
    options = parser.parse_args()
    table = make_visits(options.patients, options.visits)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output, index=False)
    print(f"{options.output}: {len(table)} rows")


if __name__ == "__main__":
    main()
