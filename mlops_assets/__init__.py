"""Machine learning in production as one Dagster asset graph.

Here: nothing but the name. The rooms are described in the README; the entry point for Dagster is
``mlops_assets.definitions``, for people ``mlops`` (``mlops_assets.cli``).
"""
