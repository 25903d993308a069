"""What: every stage of a model's life as assets, one thin module per stage, same names as ``ml``.

Belongs here: the wiring of one stage: keys, partitions, dependencies, metadata. Does not: mathematics (``ml``),
clients (``adapters``), triggers (``automation``). Stages meet by asset key, never by import.
"""
