"""The model behind BentoML: ``bentoml serve bento_service:Model`` with MODEL in the environment."""

import os

import bentoml
import lightgbm
import numpy as np


@bentoml.service(workers=1)
class Model:
    def __init__(self) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["MODEL"])

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[float]:
        return self.booster.predict(np.array(rows, dtype=np.float64), num_threads=1).tolist()
