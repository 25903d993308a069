"""The model as MLflow serves it, with a signature: ``python mlflow_model.py MODEL ROWS FOLDER`` writes it."""

import json
import sys

import lightgbm
import mlflow.lightgbm
import pandas as pd
from mlflow.models import infer_signature

model, rows, folder = sys.argv[1:]
booster = lightgbm.Booster(model_file=model)
with open(rows) as file:
    told = json.load(file)
frame = pd.DataFrame(told["matrix"], columns=list(told["features"][0]))
mlflow.lightgbm.save_model(booster, folder, signature=infer_signature(frame, booster.predict(frame.to_numpy())))
