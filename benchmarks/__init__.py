"""Benchmarks: each a module that measures this project beside a named peer or limit, in one run, on this machine.

Here: one module per ``make bench-NAME``, and the two that they share: ``measure`` (a process with its time and its
peak of memory) and ``report`` (rows to docs/benchmarks/NAME.md and NAME.json). Belongs here: what is measured. Does
not: what is shipped, tests.
"""
