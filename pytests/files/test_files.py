"""What saving and loading does to the file system: modes, links, odd paths, kills, errors."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq

ONES = {"a": np.ones(3, np.float32)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o664, 0o755])
def test_saving_keeps_the_mode_of_a_file(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "private"
    vq.save(path, ONES)
    path.chmod(bits)
    vq.save(path, {"a": np.zeros(3, np.float32)})
    assert mode(path) == bits and vq.load(path)[0]["a"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_mode_of_the_mask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        vq.save(tmp_path / "new", ONES)
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o666 & ~mask


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_and_its_file_is_written(
    tmp_path: Path, relative: bool, exists: bool
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    real, link, second = folder / "real", tmp_path / "link", tmp_path / "second"
    if exists:
        vq.save(real, {"old": np.zeros(1, np.float32)})
        real.chmod(0o600)
    link.symlink_to(Path("runs", "real") if relative else real)
    second.symlink_to("link")
    vq.save(second, ONES)
    assert second.is_symlink() and link.is_symlink() and not real.is_symlink()
    assert list(vq.load(real)[0]) == ["a"] and list(vq.load(second)[0]) == ["a"]
    assert mode(real) == 0o600 if exists else real.exists()
    assert sorted(os.listdir(tmp_path)) == ["link", "runs", "second"]
    assert os.listdir(folder) == ["real"]


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for call in (lambda: vq.save(tmp_path / "a", ONES), lambda: vq.load(tmp_path / "a")):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ELOOP


def test_what_is_no_regular_file_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null"), Path("/dev/zero")):
        before = path.stat()
        for call in (lambda path=path: vq.load(path), lambda path=path: vq.save(path, ONES)):
            with pytest.raises(OSError, match="not a regular file") as caught:
                call()
            assert caught.value.filename == str(path) and caught.value.errno == errno.EINVAL
        assert path.stat().st_mode == before.st_mode and path.stat().st_ino == before.st_ino
    link = tmp_path / "to the pipe"
    link.symlink_to("pipe")
    with pytest.raises(OSError, match="not a regular file"):
        vq.save(link, ONES)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_loading_a_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    started = time.monotonic()
    with pytest.raises(OSError):
        vq.load(tmp_path / "pipe")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("action", ["load", "save"])
def test_errors_are_those_of_open(tmp_path: Path, action: str) -> None:
    def call(path: object) -> None:
        vq.load(path) if action == "load" else vq.save(path, ONES)  # type: ignore[arg-type]

    missing, below = str(tmp_path / "no" / "file"), str(tmp_path / "file" / "x")
    (tmp_path / "file").write_bytes(b"")
    cases = [
        (missing, FileNotFoundError, errno.ENOENT),
        (missing.encode(), FileNotFoundError, errno.ENOENT),
        (str(tmp_path), IsADirectoryError, errno.EISDIR),
        (f"{tmp_path}/", IsADirectoryError, errno.EISDIR),
        (below, NotADirectoryError, errno.ENOTDIR),
        (str(tmp_path / ("x" * 256)), OSError, errno.ENAMETOOLONG),
        ("", FileNotFoundError, errno.ENOENT),
    ]
    for path, kind, code in cases:
        with pytest.raises(kind) as caught:
            call(path)
        assert caught.value.errno == code and caught.value.filename == path
        assert caught.value.strerror == os.strerror(code)
    assert os.listdir(tmp_path) == ["file"]


def test_files_without_permission() -> None:
    """As another user, in a child, where this one may do everything."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() != 0:
            check_permissions(Path(name, "mine"))
            return
        os.chmod(name, 0o777)
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                check_permissions(Path(name, "mine"))
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def check_permissions(folder: Path) -> None:
    folder.mkdir()
    secret, fixed = folder / "secret", folder / "fixed"
    for path in (secret, fixed):
        vq.save(path, ONES)
    secret.chmod(0)
    fixed.chmod(0o444)
    for call in (lambda: vq.load(secret), lambda: vq.save(fixed, {})):
        try:
            call()
        except PermissionError as error:
            assert error.errno == errno.EACCES and error.filename in (str(secret), str(fixed))
        else:
            raise AssertionError("no error")
    assert vq.load(fixed)[0]["a"].tolist() == [1, 1, 1] and mode(fixed) == 0o444
    folder.chmod(0o555)
    try:
        vq.save(folder / "new", ONES)
    except PermissionError:
        pass
    else:
        raise AssertionError("no error")
    folder.chmod(0o333)
    vq.save(folder / "in a folder that cannot be listed", ONES)
    folder.chmod(0o755)


@pytest.mark.parametrize(
    "name",
    ["x" * 255, "ü" * 127, b"\xff\xfe\x80", os.fsdecode(b"caf\xe9"), b"\xe9" * 255, "a\nb", " "],
    ids=range(7),
)
def test_every_name_that_the_system_takes(tmp_path: Path, name: str | bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
    given = path if isinstance(name, bytes) else os.fsdecode(path)
    for _ in range(2):
        vq.save(given, ONES)
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]
    assert vq.load(given)[0]["a"].tolist() == [1, 1, 1]
    Path(os.fsdecode(path)).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        vq.load(given)
    assert caught.value.filename == given


def test_deep_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path.joinpath(*["d" * 200] * 15)
    deep.mkdir(parents=True)
    vq.save(deep / "x", ONES)
    assert list(vq.load(deep / "x")[0]) == ["a"]
    monkeypatch.chdir(tmp_path)
    vq.save("plain", ONES)
    vq.save(f"{'d' * 200}/../dotted", ONES)
    assert list(vq.load("plain")[0]) == list(vq.load(tmp_path / "dotted")[0]) == ["a"]


SAVE_FOR_EVER = """
import sys
import numpy as np
import vqswift as vq
big = {"a": np.zeros(8_000_000, np.float32)}
print("ready", flush=True)
while True:
    vq.save(sys.argv[1], big)
"""


def test_a_killed_save_leaves_nothing_after_the_next(tmp_path: Path) -> None:
    path = tmp_path / "model"
    vq.save(path, ONES)
    for delay in (0.01, 0.03, 0.06):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(path)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert list(vq.load(path)[0]) == ["a"]
    vq.save(path, ONES)
    assert os.listdir(tmp_path) == ["model"]


def test_stale_temporaries_of_this_file_alone_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "model"
    vq.save(path, ONES)
    # FNV-1a of the name.
    value = 0xCBF29CE484222325
    for byte in b"model":
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    stale = tmp_path / f".vqswift-{value:016x}-1-2-3"
    other = tmp_path / f".vqswift-{value ^ 1:016x}-1-2-3"
    used = tmp_path / f".vqswift-{value:016x}-4-5-6"
    for file in (stale, other, used):
        file.write_bytes(b"part of a checkpoint")
    import fcntl

    with used.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        vq.save(path, ONES)
        assert sorted(os.listdir(tmp_path)) == sorted(["model", other.name, used.name])
    vq.save(path, ONES)
    assert sorted(os.listdir(tmp_path)) == sorted(["model", other.name])


def test_many_threads_save_one_path(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "shared"
    arrays = [{"a": np.full(1000, value, np.float32)} for value in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda arrays: [vq.save(path, arrays) for _ in range(20)], arrays))
    found = vq.load(path)[0]["a"]
    assert len(set(found.tolist())) == 1 and os.listdir(tmp_path) == ["shared"]


WITHOUT_UNNAMED_FILES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

static int refused;

int openat(int folder, const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    refused++;
    errno = EOPNOTSUPP;
    return -1;
  }
  int (*real)(int, const char *, int, ...) = dlsym(RTLD_NEXT, "openat");
  return real(folder, path, flags, mode);
}

int times_refused(void) { return refused; }
"""

SAVE_TWICE = """
import ctypes, os, stat, sys
import numpy as np
import vqswift as vq
os.umask(0o022)
for value in (1.0, 2.0):
    vq.save(sys.argv[1], {"a": np.full(3, value, np.float32)})
    os.chmod(sys.argv[1], 0o640)
vq.save(sys.argv[1], {"a": np.full(3, 3.0, np.float32)})
try:
    vq.save(sys.argv[1], {"a": np.zeros(1), "__metadata__": np.zeros(1)})
except ValueError:
    pass
print(vq.load(sys.argv[1])[0]["a"].tolist(), oct(os.stat(sys.argv[1]).st_mode & 0o777))
print(os.listdir(os.path.dirname(sys.argv[1])), ctypes.CDLL(sys.argv[2]).times_refused())
"""


def test_file_systems_without_unnamed_files(tmp_path: Path) -> None:
    library, source = tmp_path / "without.so", tmp_path / "without.c"
    source.write_text(WITHOUT_UNNAMED_FILES)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    folder = tmp_path / "models"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SAVE_TWICE, str(folder / "model"), str(library)],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[3.0, 3.0, 3.0] 0o640\n['model'] 3\n"
