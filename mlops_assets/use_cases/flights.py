"""Flights out of New York, 2013: the calendar and the owners that every use case on these datasets shares.

Here: the facts of the domain. Belongs here: what is true of the data whoever uses it. Does not: column contracts
(``ml.datasets``), feature views (``feature_repo``), one prediction problem.
"""

from mlops_assets.contracts import Domain, Levels, Owner

FLIGHTS = Domain(
    name="flights",
    timezone="America/New_York",
    first_day="2013-01-01",
    last_day="2013-12-31",
    # Three months hold winter storms and calm weeks; with less, the first model knows one kind of day only.
    live_from="2013-04-01",
    owner=Owner(data="team:data", machine_learning="team:machine-learning", operations="team:operations"),
    # 331, 305 and 287 flights a day, enough for a model each.
    levels=(Levels(column="origin", values=("EWR", "JFK", "LGA")),),
)
