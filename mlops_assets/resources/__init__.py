"""Where: Dagster resources, named by role, thin over the adapters.

Belongs here: handing an adapter to an asset. Does not: behaviour of a client (``adapters``), facts (``use_cases``).
"""
