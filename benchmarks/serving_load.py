"""Load on a server, by wrk on a processor of its own.

Here: one round of load and what it gave. Does not belong here: servers (``benchmarks.serving_peers``).
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchmarkFailed

SERVER_CORE, LOAD_CORE = "0", "1"
SCRIPT = """
local requests, at = {}, 0
init = function(args)
  for line in io.lines(os.getenv("BODIES")) do
    local head = {["content-type"] = "application/json"}
    requests[#requests + 1] = wrk.format("POST", os.getenv("ROUTE"), head, line)
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
done = function(summary, latency, _)
  local e = summary.errors
  print(string.format('{"requests": %d, "us": %d, "failed": %d, "p50_us": %d, "p99_us": %d}', summary.requests,
    summary.duration, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50),
    latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """What one round gave."""

    rate: float
    """Answered requests a second."""
    median_ms: float
    p99_ms: float


def load(url: str, route: str, bodies: Path, connections: int, seconds: float) -> Load:
    """Ask as fast as ``connections`` are answered. Raises BenchmarkFailed when a request failed."""
    if shutil.which("wrk") is None:
        raise BenchmarkFailed("wrk is missing: install it (Debian's package is called wrk)")
    script = bodies.parent / "load.lua"
    script.write_text(SCRIPT)
    wanted = ["-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script), url]
    env = {**os.environ, "BODIES": str(bodies), "ROUTE": route}
    done = subprocess.run(["taskset", "-c", LOAD_CORE, "wrk", *wanted], env=env, capture_output=True, text=True)
    told = json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr}
    if told["failed"] or not told["requests"]:
        raise BenchmarkFailed(f"{url}{route} with {connections} connections: {told}")
    return Load(told["requests"] / told["us"] * 1e6, told["p50_us"] / 1e3, told["p99_us"] / 1e3)


def write_bodies(file: Path, requests: Sequence[Mapping[str, Any]]) -> Path:
    """One request a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(request) + "\n" for request in requests))
    return file
