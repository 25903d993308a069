"""``python -m mlops_assets.serving``: the model server of this machine's deployment, in the foreground.

Here: the entry point. Belongs here: nothing else. Does not: anything that runs (``serving.supervisor``).
"""

from mlops_assets.adapters.settings import Settings
from mlops_assets.serving.supervisor import serve
from mlops_assets.use_cases import USE_CASES

if __name__ == "__main__":
    raise SystemExit(serve(Settings.from_environment(), USE_CASES))
