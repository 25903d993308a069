"""Drills: an incident injected into a sandboxed copy of the running system, and what the system made of it.

Here: the sandbox and its base, the incidents, what must be seen of each, the post-mortem and the table. Belongs here:
breaking something on purpose, and looking. Does not: thresholds, policies, sensors (the shipped ones run), a test's
own double of anything. What a drill says it found stands in the system's own records: event log, promotion history,
alerts, the server's word.
"""
