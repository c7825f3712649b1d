"""A model of a step over machines, fitted to two ranks on links that `tc netem` delays and limits.

    python -m benchmarks.scaling [--delays 0 1 5 20] [--batch 8] [--images 64] [--repeats 60]

Needs root, PyTorch's gloo, and a kernel with network namespaces and netem; one without netem takes
`--delays 0`, and the model then counts a delay once for each message. Each rank trains the
CIFAR-10 autoencoder on `--batch` random images of its own, in a namespace of its own, then repeats
the messages of a step alone. A step takes the processor's time of one process's plus that of the
messages, which the model fits. Writes what was measured, the fit, its errors, runs of three and
four ranks that the fit has not seen, and a prediction for 8 to 512 machines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import vqswift as vq
from vqswift.distributed import Communicator

from ._links import LINK, address, bytes_sent, inside, namespaces, shape
from ._report import markdown
from ._results import options_of, save
from ._traffic import Traffic, traffic
from .ranks import made

DELAYS = 0.0, 1.0, 5.0, 20.0  # milliseconds, one way
RATES = 5e7, 1e8, 2e8, 4e8, 1e9  # bits a second
UNSEEN = {3: ((0.0, 2e8), (2e-3, 2e8)), 4: ((0.0, 5e8), (10e-3, 1e8))}  # by ranks
NETWORKS = {"1 Gbit/s, 0.1 ms": (1e-4, 1e9), "10 Gbit/s, 0.02 ms": (2e-5, 1e10)}
MACHINES = 8, 16, 32, 64, 128, 256, 512
PORT = 29511
_ROW = 5
Link = tuple[float, float]


def worker(options: argparse.Namespace) -> None:
    """Train on one rank, and print what its steps sent and what its messages take by link."""
    here = vq.distributed.init()
    vq.set_threads(1)
    trainer = made(options.batch * here.size, None)
    trainer.fit(3, progress=False)
    here.barrier()
    sent, wire = here.sent, bytes_sent() if here.size > 1 else 0
    used = time.process_time()
    trainer.fit(options.steps, progress=False)
    used = (time.process_time() - used) / options.steps
    sent, wire = here.sent - sent, (bytes_sent() if here.size > 1 else 0) - wire
    messages, seconds = traffic(trainer, here.size), []
    for delay, rate in json.loads(options.links):
        here.barrier()
        shape(delay, rate)
        seconds.append(repeated(messages, here, options.repeats))
    told = {
        "processor": used,
        "seconds": seconds,
        "sent": sent / options.steps,
        "formula": messages.bytes_of(here.size, here.rank) if here.size > 1 else 0,
        "interface": wire / options.steps,
        "formulas": {n: messages.bytes_of(n, 0) for n in MACHINES},
        "rounds": {n: messages.rounds(n) for n in (here.size, *MACHINES)},
    }
    print(json.dumps(told), flush=True)


def repeated(messages: Traffic, here: Communicator, times: int) -> float:
    """Seconds that the messages of a step take by themselves: the mean of five times in a row that
    were disturbed least, since other work on the CPUs only adds to it."""
    sums = [np.ones(elements, f"f{width}") for elements, width in messages.sums]
    gathered = np.ones(messages.gathered[1] // 8)
    here.barrier()
    marks = [time.perf_counter()]
    for _ in range(times):
        for values in sums:
            here.all_reduce(values)
        here.all_gather(gathered)
        marks.append(time.perf_counter())
    return min(np.diff(marks[::_ROW]).tolist()) / _ROW


def measured(links: Sequence[Link], ranks: int, options: argparse.Namespace) -> dict[str, Any]:
    """What the first of some ranks tells, each in a namespace of its own."""
    with namespaces(ranks) as names:
        command = _command(options, options.batch, links)
        return _run([inside(name, command) for name in names], ranks)


def _command(options: argparse.Namespace, batch: int, links: Sequence[Link]) -> list[str]:
    worker = [sys.executable, "-m", "benchmarks.scaling", "--worker", "--links", json.dumps(links)]
    numbers = {"--batch": batch, "--steps": options.steps, "--repeats": options.repeats}
    return [*worker, *(str(part) for pair in numbers.items() for part in pair)]


def _run(commands: Sequence[list[str]], ranks: int) -> dict[str, Any]:
    """What the first of the processes prints."""
    world = {"MASTER_ADDR": address(0), "MASTER_PORT": str(PORT), "WORLD_SIZE": str(ranks)}
    own = {"GLOO_SOCKET_IFNAME": LINK, "OMP_NUM_THREADS": "1"} | (world if ranks > 1 else {})
    processes = []
    for rank, command in enumerate(commands):
        environment = os.environ | own | ({"RANK": str(rank)} if ranks > 1 else {})
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"[scaling] ranks ended with {[p.returncode for p in processes]}")
    found: dict[str, Any] = json.loads(outputs[0].splitlines()[-1])
    return found


def runs_of(links: Sequence[Link], ranks: int, told: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each link; `steps` are messages behind each other: an all-to-all is one, an
    all-gather goes round a ring."""
    direct, rings = told["rounds"][str(ranks)]
    steps = direct + rings * (ranks - 1)
    same = {"ranks": ranks, "steps": steps, "bytes": told["sent"]}
    return [
        same | {"delay": delay, "rate": rate, "seconds": seconds}
        for (delay, rate), seconds in zip(links, told["seconds"], strict=True)
    ]


def fitted(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Least squares of relative errors: seconds = steps (latency + factor delay) + bits / (share
    rate); without delays the factor is 1, and not fitted."""
    seconds = np.array([run["seconds"] for run in runs])
    steps, delays, bits = (
        np.array(column)
        for column in zip(
            *((r["steps"], r["delay"], 8 * r["bytes"] / r["rate"]) for r in runs), strict=True
        )
    )
    columns = [steps, bits] + ([steps * delays] if delays.any() else [])
    weighted = np.stack(columns, 1) / seconds[:, None]
    latency, inverse, *factor = np.linalg.lstsq(weighted, np.ones(len(runs)), rcond=None)[
        0
    ].tolist()
    return {"latency": latency, "factor": factor[0] if factor else 1.0, "share": 1 / inverse}


def predicted(fit: dict[str, float], steps: int, sent: float, delay: float, rate: float) -> float:
    """Seconds that a step's messages take."""
    waiting = steps * (fit["latency"] + fit["factor"] * delay)
    return waiting + 8 * sent / (fit["share"] * rate)


def table(fit: dict[str, float], compute: float, told: dict[str, Any]) -> list[dict[str, Any]]:
    """The prediction: each machine has the batch of one rank here, and computes as fast."""
    rows = []
    for network, link in NETWORKS.items():
        for machines in MACHINES:
            direct, rings = told["rounds"][str(machines)]
            sent = told["formulas"][str(machines)]
            seconds = compute + predicted(fit, direct + rings * (machines - 1), sent, *link)
            rows.append(
                {
                    "network": network,
                    "machines": machines,
                    "bytes": sent,
                    "seconds": seconds,
                    "efficiency": compute / seconds,
                }
            )
    return rows


def main() -> None:
    """Measure, fit, predict and write."""
    parser = options_of(__doc__, 1)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--links", default="[]", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=8, help="images of each rank in the runs")
    parser.add_argument("--images", type=int, default=64, help="of each machine of the prediction")
    parser.add_argument("--delays", type=float, nargs="+", default=DELAYS, help="milliseconds")
    parser.add_argument("--steps", type=int, default=3, help="that are counted, after three")
    parser.add_argument("--repeats", type=int, default=60, help="of a step's messages")
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return
    compute = _run([_command(options, options.images, [])], 1)["processor"]
    delays = [delay / 1e3 for delay in options.delays]
    links = [(delay, rate) for delay in delays for rate in RATES][:: 5 if options.quick else 1]
    pair = measured(links, 2, options)
    runs = runs_of(links, 2, pair)
    fit = fitted(runs)
    unseen = []
    for ranks, links in {} if options.quick else UNSEEN.items():
        others = [link for link in links if link[0] == 0 or any(delays)]
        unseen += runs_of(others, ranks, measured(others, ranks, options))
    for run in (*runs, *unseen):
        run["model"] = predicted(fit, run["steps"], run["bytes"], run["delay"], run["rate"])
    rows = table(fit, compute, pair)
    document = {
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "images": options.images,
        "processor": compute,
        "bytes": {name: pair[name] for name in ("sent", "formula", "interface")},
        "runs": runs,
        "fit": fit,
        "delays_are_fitted": any(delays),
        "unseen": unseen,
        "prediction": rows,
    }
    path = save("scaling", options, document)
    print(
        f"wrote {path}; {compute * 1e3:.1f} ms of the processor a step; {document['bytes']}\n{fit}"
    )
    links_told = [
        tuple(f"{number:.4g}" for number in (run["ranks"], run["delay"] * 1e3, run["rate"] / 1e6))
        + tuple(f"{run[name] * 1e3:.1f}" for name in ("seconds", "model"))
        for run in (*runs, *unseen)
    ]
    print("\n".join(markdown(("ranks", "ms", "Mbit/s", "measured, ms", "model, ms"), links_told)))
    cells = [
        (r["network"], str(r["machines"]), f"{r['seconds'] * 1e3:.0f}", f"{r['efficiency']:.2f}")
        for r in rows
    ]
    print("\n".join(markdown(("prediction", "machines", "ms a step", "efficiency"), cells)))


if __name__ == "__main__":
    main()
