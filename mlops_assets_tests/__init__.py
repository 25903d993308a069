"""The tests: same rooms as the package. Fast by default; ``integration`` needs real parts, ``live`` needs dagster dev."""
