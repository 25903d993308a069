"""The door: the ``mlops`` command, thin, over adapters and ml.

Belongs here: arguments, printing, exit codes. Does not: what a command does (``adapters``, ``ml``, ``demo``).
Each command imports what it needs inside itself, so that ``mlops --help`` is instant and ``mlops serve`` never
imports Dagster.
"""
