"""Plays of the whole graph in one process: ``mlops demo``, the life of a model; ``mlops sample``, a few days for CI.

Here: the story and its report, the sample and its digests, the daemon that plays both. Belongs here: dates, speed, the
two faults and the printing. Does not: thresholds or policies (the demo runs the shipped ones), anything that a real
deployment needs.
"""
