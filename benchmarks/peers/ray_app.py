"""The model behind Ray Serve: run with MODEL and PORT in the environment."""

import os
import time

import lightgbm
import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Model:
    def __init__(self, model: str) -> None:
        self.booster = lightgbm.Booster(model_file=model)

    async def __call__(self, request: Request) -> list[float]:
        rows = (await request.json())["rows"]
        return self.booster.predict(np.array(rows, dtype=np.float64), num_threads=1).tolist()


if __name__ == "__main__":
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Model.bind(os.environ["MODEL"]), route_prefix="/predict")
    while True:
        time.sleep(3600)
