"""What no incident may do, whichever it is.

Here: promises that several drills make in the same words. Belongs here: a promise of more than one drill. Does not:
what one incident is seen by.
"""

from mlops_assets.drills.drill import Forbidden, Source

ANOTHER_CHAMPION = Forbidden(
    promise="callers are answered by another champion",
    source=Source.ANSWERS,
    facts={"answered": "yes", "arm": "champion", "digest": "not {good}"},
)
TURNED_AWAY = Forbidden(promise="callers are turned away", source=Source.ANSWERS, facts={"answered": "no"})
