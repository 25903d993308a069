"""Every drill, by name.

Here: the list. Belongs here: an entry for each incident. Does not: the incidents.
"""

from collections.abc import Mapping

from mlops_assets.drills.corrupted_artifact import CORRUPTED_ARTIFACT
from mlops_assets.drills.daemon_killed import DAEMON_KILLED
from mlops_assets.drills.disk_full import DISK_FULL
from mlops_assets.drills.drifted_feed import DRIFTED_FEED
from mlops_assets.drills.drill import Drill
from mlops_assets.drills.inverted_labels import INVERTED_LABELS
from mlops_assets.drills.poisoned_champion import POISONED_CHAMPION
from mlops_assets.drills.registry_down import REGISTRY_DOWN
from mlops_assets.drills.server_killed import SERVER_KILLED, WORKER_KILLED
from mlops_assets.drills.slow_model import SLOW_MODEL
from mlops_assets.drills.stale_features import STALE_FEATURES

DRILLS: Mapping[str, Drill] = {
    drill.name: drill
    for drill in (
        DRIFTED_FEED,
        INVERTED_LABELS,
        POISONED_CHAMPION,
        CORRUPTED_ARTIFACT,
        SLOW_MODEL,
        STALE_FEATURES,
        REGISTRY_DOWN,
        WORKER_KILLED,
        SERVER_KILLED,
        DAEMON_KILLED,
        DISK_FULL,
    )
}
