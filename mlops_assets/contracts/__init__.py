"""The nouns that cross a boundary between two rooms, frozen.

Here: small immutable records and enumerations without behaviour, and their JSON form, by file; all are imported from
``mlops_assets.contracts``. Belongs here: a type that at least two rooms exchange. Does not: anything that computes,
reads, writes or knows a framework.

Every digest in this project is a SHA-256 in lower-case hex. Every day is an ISO date of the use case's own
calendar ("2013-04-01"); every instant is an ISO 8601 UTC time that ends in "Z".
"""

from mlops_assets.contracts.evidence import (
    Action,
    Decision,
    Evaluation,
    Gate,
    Judgement,
    Outcome,
    ReleaseDecision,
    ServerAnswers,
    Step,
    Verdict,
)
from mlops_assets.contracts.facts import (
    CanaryStep,
    Domain,
    Gates,
    Levels,
    Monitoring,
    Owner,
    Release,
    Segment,
    ServerLimits,
    Slice,
    Training,
    UseCase,
)
from mlops_assets.contracts.incidents import Incident, IncidentDay, InvolvedVersion, Moment, Phase
from mlops_assets.contracts.plain import from_json, to_json, to_plain
from mlops_assets.contracts.studies import ParameterStudy, Trial
from mlops_assets.contracts.training_sets import EntityQuery, FilePointer, TrainingSetManifest
from mlops_assets.contracts.versions import (
    Arm,
    ArmStatus,
    Manifest,
    ModelVersion,
    ServerStatus,
    TableVersion,
    Transition,
)

__all__ = [
    "Action",
    "Arm",
    "ArmStatus",
    "CanaryStep",
    "Decision",
    "Domain",
    "EntityQuery",
    "Evaluation",
    "FilePointer",
    "Gate",
    "Gates",
    "Incident",
    "IncidentDay",
    "InvolvedVersion",
    "Judgement",
    "Levels",
    "Manifest",
    "ModelVersion",
    "Moment",
    "Monitoring",
    "Outcome",
    "Owner",
    "ParameterStudy",
    "Phase",
    "Release",
    "ReleaseDecision",
    "Segment",
    "ServerAnswers",
    "ServerLimits",
    "ServerStatus",
    "Slice",
    "Step",
    "TableVersion",
    "Training",
    "TrainingSetManifest",
    "Transition",
    "Trial",
    "UseCase",
    "Verdict",
    "from_json",
    "to_json",
    "to_plain",
]
