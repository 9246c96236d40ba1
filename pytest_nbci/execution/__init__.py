"""Running one notebook: private checkout, test data, kernel, papermill engine, verdict."""
