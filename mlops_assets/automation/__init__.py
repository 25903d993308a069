"""When: jobs, schedules and sensors; the only place where the loop is closed.

Belongs here: what triggers what, and why it did or did not. Does not: decisions (``ml.policy``, ``ml.releases``),
work (``assets``). Sensors are plain: each walks materializations from a cursor of its own, so that none is lost
between two ticks, and asks once for each.
"""
