"""The resident size of this process, on Linux."""

from __future__ import annotations

from pathlib import Path

_PROCESS = Path("/proc/self")


def resident() -> int:
    """Bytes now."""
    return _status("VmRSS")


def peak() -> int:
    """The most since the process began or `forget_peak` was called."""
    return _status("VmHWM")


def forget_peak() -> None:
    """The peak begins anew from what is resident now."""
    (_PROCESS / "clear_refs").write_text("5", encoding="ascii")


def _status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    for line in (_PROCESS / "status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
