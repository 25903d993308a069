"""The Dockerfile as stages of instructions.

Belongs here: reading it, and house rules that no linter knows. Does not: assertions.
"""

import json
import re
import shlex
from typing import NamedTuple

from mlops_assets_tests.deploy.manifests import DEPLOY


class Instruction(NamedTuple):
    name: str
    words: str


class Stage(NamedTuple):
    name: str
    base: str
    instructions: list[Instruction]


def text_of() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def stages(text: str | None = None) -> list[Stage]:
    kept = [line for line in (text or text_of()).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in "\n".join(kept).replace("\\\n", " ").splitlines():
        name, _, words = line.partition(" ")
        if name == "FROM":
            base, _, stage = words.partition(" AS ")
            found.append(Stage(stage, base, []))
        else:
            found[-1].instructions.append(Instruction(name, re.sub(r"\s+", " ", words).strip()))
    return found


def environment_of(stage: Stage, text: str | None = None) -> dict[str, str]:
    """What a container of the stage finds set."""
    known = {each.name: each for each in stages(text)}
    told = environment_of(known[stage.base], text) if stage.base in known else {}
    for instruction in stage.instructions:
        if instruction.name == "ENV":
            told |= dict(word.split("=", 1) for word in shlex.split(instruction.words))
    return told


def command_of(stage: Stage, name: str) -> list[str]:
    """The words of an instruction in exec form. Raises ValueError for any other form."""
    (words,) = [instruction.words for instruction in stage.instructions if instruction.name == name]
    return json.loads(words[words.index("[") :])


def house_problems(text: str) -> list[str]:
    """What is against the rules of the house."""
    problems = []
    for stage in stages(text):
        names = [instruction.name for instruction in stage.instructions]
        if "ENTRYPOINT" in names:
            users = [instruction.words for instruction in stage.instructions if instruction.name == "USER"]
            if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
                problems.append(f"{stage.name}: runs as {users[-1:] or 'root'}, wanted a number other than root's")
            entry = next(i.words for i in stage.instructions if i.name == "ENTRYPOINT")
            if not entry.startswith("["):
                problems.append(f"{stage.name}: the entry point goes through a shell, which swallows signals")
        for name, words in stage.instructions:
            if name == "ADD":
                problems.append(f"{stage.name}: ADD unpacks and fetches; COPY does not")
            if "pip install" in words and not all(
                "--no-deps" in part and ("--require-hashes" in part or "--editable /app" in part)
                for part in words.split("&&")
                if "pip install" in part
            ):
                problems.append(f"{stage.name}: pip installs what no lock names")
            if name in ("ENV", "ARG") and re.search(r"(TOKEN|PASSWORD|SECRET|SIGNING_KEY|TRAFFIC_LOG)", words):
                problems.append(f"{stage.name}: a secret in the image")
    return problems
