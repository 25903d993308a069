"""With what: clients of everything outside this process, each an interface with a real and an in-memory twin.

Belongs here: code that reads or writes tables, feature stores, registries, endpoints, alerts. Does not: Dagster,
decisions, mathematics. Only ``adapters.settings`` reads the environment.
"""
