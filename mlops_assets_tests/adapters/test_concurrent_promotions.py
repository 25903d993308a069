"""Two processes promote at once: one is recorded, the other is told, and alias and history agree."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.promotions import HistoryMoved, Promotions
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.contracts import Arm
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets_tests.adapters.test_registry import mlflow_server  # noqa: F401 (a fixture)

MODEL = "contested"
ROUNDS = 3


class WaitingRegistry(MlflowRegistry):
    """Waits for the other process after the move was decided and before it is recorded."""

    def __init__(self, address: str, barrier: Barrier) -> None:
        super().__init__(address)
        self.barrier = barrier

    def verify(self, *arguments, **options):
        self.barrier.wait(60)
        return super().verify(*arguments, **options)


def promote(address: str, folder: Path, barrier: Barrier, mine: int, results: "multiprocessing.Queue") -> None:
    releases = Releases(WaitingRegistry(address, barrier), Promotions(DeltaTables(folder)))
    for number in range(ROUNDS):
        # Round by round two fresh versions: 1 and 2, 3 and 4, ...
        version = 2 * number + mine
        digest = releases.registry.version(MODEL, version).digest
        cause = Cause(id=f"race/{version}", day="2013-04-01", by=f"operator:{mine}", reason="a race")
        try:
            releases.enter(MODEL, version, digest, Arm.CHAMPION, cause=cause)
            results.put((number, version, "recorded"))
        except HistoryMoved as error:
            results.put((number, version, str(error)))
        barrier.wait(60)


@pytest.mark.integration
def test_of_two_processes_one_wins_and_the_other_gets_a_clear_error(mlflow_server, tmp_path: Path) -> None:  # noqa: F811
    address, _ = mlflow_server
    registry = MlflowRegistry(address)
    from mlops_assets.adapters.mlflow_server import connect

    run = connect(address).create_run("0").info.run_id
    for number in range(2 * ROUNDS):
        files = {"model.txt": str(number).encode()}
        registry.register(MODEL, run, files, {"card.md": b"#"}, bundle_digest(files), {"cutoff_day": "2013-03-31"})
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    racers = [spawn.Process(target=promote, args=(address, tmp_path, barrier, mine, results)) for mine in (1, 2)]
    for racer in racers:
        racer.start()
    told = [results.get(timeout=120) for _ in range(2 * ROUNDS)]
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    history = Promotions(DeltaTables(tmp_path))
    winners = [version for _, version, outcome in sorted(told) if outcome == "recorded"]
    assert len(winners) == ROUNDS
    assert all("meanwhile operator:" in outcome for _, _, outcome in told if outcome != "recorded")
    assert [line.version for line in history.all(MODEL) if line.to_arm] == winners
    assert history.arms(MODEL)[Arm.CHAMPION].version == winners[-1] == registry.model(MODEL).aliases["champion"]
