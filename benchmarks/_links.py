"""Network namespaces with links whose delay and bandwidth the kernel sets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

LINK = "wire"  # the interface of each namespace
_HUB = "vqswift-hub"


def address(rank: int) -> str:
    """Of a rank's interface."""
    return f"10.77.0.{rank + 1}"


@contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """Names of `count` namespaces on one bridge; it needs root, and OSError says what fails."""
    names = [f"vqswift-{rank}" for rank in range(count)]
    try:
        _run("ip", "netns", "add", _HUB)
        _run("ip", "-n", _HUB, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", _HUB, "link", "set", "bridge", "up")
        for rank, name in enumerate(names):
            port = f"port{rank}"
            _run("ip", "netns", "add", name)
            _run("ip", "-n", _HUB, "link", "add", port, "type", "veth", "peer", "name", LINK)
            _run("ip", "-n", _HUB, "link", "set", LINK, "netns", name)
            _run("ip", "-n", _HUB, "link", "set", port, "master", "bridge", "up")
            _run("ip", "-n", name, "addr", "add", f"{address(rank)}/24", "dev", LINK)
            for device in ("lo", LINK):
                _run("ip", "-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in [*names, _HUB]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def shape(delay: float, rate: float) -> None:
    """Let what this process's namespace sends arrive `delay` seconds later, by `tc netem`, at
    `rate` bits a second; without a delay by `tc tbf`. An idle connection keeps its window."""
    if delay > 0:
        kind = ["netem", "delay", f"{delay * 1e6:.0f}us", "rate", f"{rate:.0f}bit"]
        kind += ["limit", "100000"]
    else:
        kind = ["tbf", "rate", f"{rate:.0f}bit", "burst", "128kb", "latency", "1s"]
    subprocess.run(["tc", "qdisc", "del", "dev", LINK, "root"], capture_output=True)
    _run("tc", "qdisc", "add", "dev", LINK, "root", *kind)
    with open("/proc/sys/net/ipv4/tcp_slow_start_after_idle", "w", encoding="ascii") as setting:
        setting.write("0")


def inside(name: str, command: list[str]) -> list[str]:
    """The command that runs another in a namespace."""
    return ["ip", "netns", "exec", name, *command]


def bytes_sent() -> int:
    """What the interface of this process's namespace has sent, headers and all."""
    with open(f"/sys/class/net/{LINK}/statistics/tx_bytes", encoding="ascii") as counter:
        return int(counter.read())


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        release = os.uname().release
        raise OSError(f"{' '.join(command)}, kernel {release}: {done.stderr.strip()}")
