"""The model server: its own processes, no Dagster in them.

A supervisor (``supervisor``) holds the listening socket and keeps two children alive: the worker (``worker``), which
answers requests, and the reconciler (``reconciler``), which follows the registry and prepares verified bundles. They
meet in one file, the desired state (``desired``): the worker never speaks to the registry, and the reconciler never
answers a request.

Belongs here: everything between a request and its durable, acknowledged answer. Does not: Dagster; deciding which
version holds which arm (``ml.policy``, ``ml.releases``). The worker imports neither mlflow nor feast nor pandas nor
the lightgbm package: it starts in well under a second and stays small.
"""
