"""``mlops demo``: the life of a model on real flights, played fast.

Here: the story, the daemon that plays it in one process, the report that checks it. Belongs here: dates, speed,
the two faults and the printing. Does not: thresholds or policies (the demo runs the shipped ones), anything that a
real deployment needs.
"""
