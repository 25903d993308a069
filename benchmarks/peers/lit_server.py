"""The model behind LitServe: run with MODEL and PORT in the environment."""

import os

import lightgbm
import litserve
import numpy as np


class Model(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["MODEL"])

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["rows"], dtype=np.float64)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.booster.predict(rows, num_threads=1)

    def encode_response(self, scores: np.ndarray) -> list[float]:
        return scores.tolist()


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
