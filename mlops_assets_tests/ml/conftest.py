"""One small trained model for the tests of this room: training costs a second, so it is done once."""

import pandas as pd
import pytest

from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.models import Scorer, TrainedModel, make_bundle, train
from mlops_assets.ml.references import DriftReference, fit_reference
from mlops_assets_tests.ml.made_rows import FEATURES, NAMES, TRAINING, made_rows


@pytest.fixture(scope="session")
def history() -> pd.DataFrame:
    """Six weeks of training rows."""
    return made_rows(days=42)


@pytest.fixture(scope="session")
def trained(history: pd.DataFrame) -> TrainedModel:
    """An honest model of them."""
    return train(history, TRAINING, FEATURES, **NAMES)


@pytest.fixture(scope="session")
def bundle(trained: TrainedModel) -> dict[str, bytes]:
    """The files of the honest model."""
    return make_bundle(
        trained,
        model="made_up",
        **NAMES,
        feature_service="made_up_v1",
        feature_service_digest="0" * 64,
        request_fields=(),
        views=(),
        transformations=(),
    )


@pytest.fixture(scope="session")
def scorer(bundle: dict[str, bytes]) -> Scorer:
    """The honest model, loaded."""
    return Scorer(bundle)


@pytest.fixture(scope="session")
def reference(history: pd.DataFrame, scorer: Scorer, trained: TrainedModel) -> DriftReference:
    """What was normal when the honest model was trained."""
    engine = drift_engine("scipy")
    return fit_reference(history, scorer.score(history), trained.held_out, trained.features, **NAMES, engine=engine)
