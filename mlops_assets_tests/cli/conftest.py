"""The ``mlops`` command on twins: what a person types, and what comes back.

Belongs here: handing a deployment to the command. Does not: assertions.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.settings import Settings
from mlops_assets.cli.main import main
from mlops_assets_tests.conftest import Life, Twins
from mlops_assets_tests.serving.processes import free_port

Mlops = Callable[..., Result]


def settings_of(folder: Path, **chosen: object) -> Settings:
    """Settings of a deployment without servers."""
    registry, endpoint = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    facts = {"registry_uri": registry, "endpoint_url": endpoint, "start_services": False, **chosen}
    return Settings(state=folder / "state", **facts)  # type: ignore[arg-type]


def deployment_of(twins: Twins, settings: Settings) -> Deployment:
    """A deployment whose clients are the twins'."""
    here = Deployment(settings)
    parts: Mapping[str, object] = {
        "registry": twins.memory.registry,
        "production": twins.production,
        "artifacts": twins.memory.artifacts,
        "tables": twins.memory.tables,
        "feature_store": twins.memory.feature_store,
        "promotions": twins.promotions,
        "releases": twins.releases,
        "endpoint": twins.endpoint,
    }
    vars(here).update(parts)
    return here


def typed_into(here: Deployment) -> Mlops:
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], obj=here)


@pytest.fixture
def looks(life: Life, tmp_path: Path) -> Mlops:
    """``mlops`` on the system that has lived, for commands that only look."""
    return typed_into(deployment_of(life.twins, settings_of(tmp_path)))


@pytest.fixture
def acts(lived: Twins, tmp_path: Path) -> Mlops:
    """``mlops`` on a copy of it."""
    return typed_into(deployment_of(lived, settings_of(tmp_path)))
