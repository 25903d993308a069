"""The tests, in the rooms of the package. ``integration`` needs real parts, ``live`` needs dagster dev."""
