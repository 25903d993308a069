"""How: pure functions, frames in, frames or contracts out.

Belongs here: the mathematics of every stage, one module per stage. Does not: Dagster, files, networks, clocks,
environment variables, facts of one use case.
"""
