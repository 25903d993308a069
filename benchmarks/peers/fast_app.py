"""The model behind FastAPI: run under uvicorn with MODEL, the model's text file, in the environment."""

import os

import lightgbm
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

booster = lightgbm.Booster(model_file=os.environ["MODEL"])
app = FastAPI()


class Rows(BaseModel):
    rows: list[list[float]]


@app.post("/predict")
async def predict(asked: Rows) -> list[float]:
    return booster.predict(np.array(asked.rows, dtype=np.float64), num_threads=1).tolist()
