"""The contest of the benchmarks, its verdicts, and the table that they leave."""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from benchmarks import _busy, _contest, _report, _results, _serve, _verdict
from benchmarks import all as suite
from benchmarks._contest import Contestant, Outcome
from benchmarks._verdict import Comparison

FOLDER = ROOT / "benchmarks"

# All contestants count their measurements in one file; the count is given as the seconds.
CONTESTANT = """
import os, sys
from pathlib import Path
from benchmarks._serve import serve
counter, reject = Path(sys.argv[1]), sys.argv[2]

def prepare(case):
    if case == reject:
        raise ValueError("not this case")
    def measure():
        counter.write_text(counter.read_text() + "x")
        return {"way": [float(len(counter.read_text()))]}
    core = os.environ.get("OPENBLAS_CORETYPE")
    return {"case": case, "core": core, "pid": os.getpid()}, measure

print("not an answer")
serve(prepare)
"""


def outcome(name: str, seconds: float, **given: Any) -> Outcome:
    return Outcome(name, seconds=[seconds], **given)


@pytest.mark.parametrize(
    "name",
    ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "VQSWIFT_INSTRUCTIONS", "VQSWIFT_SCREEN"],
)
def test_the_environment_is_cleaned_of_what_pins_kernels(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "avx2")
    assert name not in _contest.clean_environment({})
    assert _contest.clean_environment({name: "avx512"})[name] == "avx512"


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "counter"
    path.write_text("")
    return path


def command(counter: Path, reject: str = "-") -> list[str]:
    return [sys.executable, "-c", CONTESTANT, str(counter), reject]


def test_contestants_measure_in_turn_round_after_round(counter: Path) -> None:
    entries = [Contestant(name, command(counter)) for name in "ab"]
    outcomes = _contest.contest(entries, 3, ["one", "two"], pause=0)
    assert [(o.case, o.name, o.seconds) for o in outcomes] == [
        ("one", "a", [1, 3, 5]),
        ("one", "b", [2, 4, 6]),
        ("two", "a", [7, 9, 11]),
        ("two", "b", [8, 10, 12]),
    ]
    assert [o.facts["case"] for o in outcomes] == ["one", "one", "two", "two"]
    assert outcomes[0].facts["pid"] == outcomes[2].facts["pid"] != outcomes[1].facts["pid"]


def test_every_round_is_measured_under_every_condition(counter: Path) -> None:
    entered: list[int] = []

    @contextmanager
    def noted() -> Iterator[None]:
        entered.append(len(counter.read_text()))
        yield

    conditions = {"quiet": noted, "busy": noted}
    outcomes = _contest.contest(
        [Contestant("a", command(counter))], 2, conditions=conditions, pause=0
    )
    assert entered == [0, 1, 2, 3]
    assert {o.condition: o.seconds for o in outcomes} == {"quiet": [1, 3], "busy": [2, 4]}


def test_a_contestant_that_cannot_is_left_out_of_that_case_alone(
    counter: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entries = [
        Contestant("a", command(counter, "one")),
        Contestant("b", [sys.executable, "-c", ""]),
    ]
    outcomes = _contest.contest(entries, 1, ["one", "two"], pause=0)
    told = {(o.name, o.case): (o.skipped, o.seconds) for o in outcomes}
    assert told["a", "one"] == ("ValueError: not this case", [])
    assert told["a", "two"] == (None, [1])
    assert told["b", "two"] == ("the process ended with status 0", [])
    assert "one a: skipped, ValueError: not this case" in capfd.readouterr().err


def test_core_types_run_with_their_variable_in_a_clean_environment(
    counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    outcomes = _contest.contest(_contest.core_types("a", command(counter)), 1, pause=0)
    assert [o.facts["core"] for o in outcomes] == [None, "Haswell", "SkylakeX"]
    assert [o.label for o in outcomes] == ["a way", "a way (Haswell)", "a way (SkylakeX)"]


def test_the_best_is_the_least_median_of_those_measured() -> None:
    slow, fast = outcome("peer", 2.0), Outcome("peer", core="Haswell", seconds=[1.0, 1.0, 9.0])
    skipped = Outcome("peer", core="SkylakeX", skipped="no")
    assert _contest.best([slow, fast, skipped]) is fast
    assert _contest.best([skipped]) is None
    other = outcome("peer", 5.0, way="chunked")
    assert _contest.best_cores([slow, fast, skipped, other]) == [fast, other]


def test_serve_says_why_it_cannot(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def prepare(case: str) -> Any:
        if case == "bad":
            raise RuntimeError("first line\nsecond line")
        return {}, lambda: {"": [1.0]}

    monkeypatch.setattr(sys, "stdin", iter(["measure\n", "case bad\n", "case good\n", "measure\n"]))
    _serve.serve(prepare)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"skip": "no case is ready"},
        {"skip": "RuntimeError: first line"},
        {"facts": {}},
        {"seconds": {"": [1.0]}},
    ]


@pytest.mark.parametrize(("slow", "calls"), [(60.0, 4), (0.0, 2)])
def test_a_slow_call_is_timed_once(slow: float, calls: int) -> None:
    made: list[int] = []
    seconds = _serve.timed(lambda: made.append(1), repeats=3, slow=slow)
    assert (len(made), len(seconds)) == (calls, calls - 1)


@pytest.mark.parametrize(
    ("value", "at_most", "met", "word"),
    [
        (1.5, False, True, "met"),
        (1.49, False, False, "missed"),
        (1.5, True, True, "met"),
        (1.51, True, False, "missed"),
        (None, False, None, "not measured"),
    ],
)
def test_verdict(value: float | None, at_most: bool, met: bool | None, word: str) -> None:
    row = Comparison("work", "2 ms", "", value, 1.5, "x peer", at_most)
    assert row.met is met
    kind = "most" if at_most else "least"
    ratio = "-" if value is None else f"{value:g}"
    assert row.cells() == ["work", "2 ms", "-", ratio, f"at {kind} 1.5 x peer", word]
    assert _verdict.from_json(_verdict.as_json([row])) == [row]


def test_ahead_and_beside_are_each_others_inverse() -> None:
    ours, peer = outcome("vqswift", 0.002), outcome("faiss", 0.003, core="Haswell")
    row = _verdict.ahead("work", ours, peer, 1.4, "x faiss")
    assert row.value == pytest.approx(1.5) and row.met
    assert (row.measured, row.peer) == ("2 ms", "3 ms, faiss (Haswell)")
    assert _verdict.beside("work", ours, peer, 0.6, "x faiss").value == pytest.approx(1 / 1.5)
    assert _verdict.ahead("work", ours, None, 1.4, "x faiss").met is None


def test_the_busy_process_runs_on_its_core_and_is_stopped() -> None:
    core = min(os.sched_getaffinity(0))
    with _busy.busy_core(core) as pid:
        assert os.sched_getaffinity(pid) == {core}
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_busy_process_ends_with_its_parent() -> None:
    """Once the parent is killed, it alone holds the writing end of a pipe open."""
    reading, writing = os.pipe()
    program = f"""
import os, subprocess, sys
core = min(os.sched_getaffinity(0))
busy = [sys.executable, "-m", "benchmarks._busy", str(core), str(os.getpid())]
child = subprocess.Popen(busy, cwd={str(ROOT)!r}, stdout=subprocess.PIPE, pass_fds=[{writing}])
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[writing],
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, parent:
        assert parent.stdout is not None and parent.stdout.readline().strip().isdigit()
        assert not select.select([pipe], [], [], 0)[0]
        parent.kill()
        assert select.select([pipe], [], [], 30)[0] and pipe.read() == b""


def test_command_lines_name_no_place_of_this_machine() -> None:
    given = ["/a/b/growth.py", "--peer-python", "/c/python", "--rounds", "3", "--results=/d"]
    assert _results.command_line(given) == "python -m benchmarks.growth --rounds 3"


def test_smoke_runs_do_not_replace_measurements(tmp_path: Path) -> None:
    for quick in (False, True):
        options = argparse.Namespace(results=tmp_path, quick=quick)
        _results.save("growth", options, {"rows": []})
    found = _report.documents(tmp_path, ["growth", "kmeans"])
    assert [*found] == ["growth"] and not found["growth"]["quick"]
    assert _report.documents(tmp_path / "quick", ["growth"]) == {}


def test_outcomes_are_told_by_contestant_with_all_its_ways() -> None:
    facts = {"version": "1"}
    outcomes = [
        outcome("a", 1.0, way="x", facts=facts),
        outcome("a", 2.0, way="x", condition="busy", facts=facts),
        Outcome("a", facts=facts, skipped="it ended"),
        outcome("a", 3.0, way="x", core="Haswell"),
    ]
    first, second = _results.told(outcomes)
    assert first["facts"] == facts and first["skipped"] == "it ended"
    assert [(w["condition"], w["median"]) for w in first["ways"]] == [("", 1.0), ("busy", 2.0)]
    assert (second["core type"], second["skipped"], len(second["ways"])) == ("Haswell", None, 1)


README = f"before\n{_report.START}\nold\n{_report.END}\nafter\n"


def document(value: float, date: str = "2026-01-01") -> dict[str, Any]:
    row = Comparison("import", f"{value} ms", "", value, 60, "ms", at_most=True)
    machine = {"cpu": "a CPU", "cpus": 2}
    return {"date": date, "quick": False, "machine": machine, "rows": _verdict.as_json([row])}


def test_the_table_is_refreshed_and_what_it_came_from_is_kept(tmp_path: Path) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "kept"
    readme.write_text(README)
    found = {"import_time": document(50), "other": document(70, "2026-01-02")}
    for _ in range(2):
        _report.publish(found, {"numpy": "2.0"}, readme, results, ["growth", "kmeans"])
    before, after = readme.read_text().split("| work |")
    assert before.startswith(f"before\n{_report.START}\na CPU, 2 CPUs.\n")
    assert "2026-01-01 to 2026-01-02" in before and "numpy 2.0." in before
    assert "| import | 50 ms | - | 50 | at most 60 ms | met |\n" in after
    assert "| import | 70 ms | - | 70 | at most 60 ms | missed |\n" in after
    assert (
        after.endswith(f"\n\nNot measured: growth, kmeans.\n{_report.END}\nafter\n")
        and "old" not in before + after
    )
    assert json.loads((results / "other.json").read_text()) == found["other"]


@pytest.mark.parametrize("text", ["", README + README, _report.START])
def test_a_readme_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the text must have one"):
        _report.refreshed(text, "table")


def test_nothing_measured_makes_no_table() -> None:
    with pytest.raises(ValueError, match="no benchmark has been run"):
        _report.report({}, {})


def test_the_readme_has_markers_and_names_what_exists() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert _report.refreshed(text, "table").count("table\n") >= 1
    named = set(re.findall(r"`(\w+\.py)`", text))
    assert all((FOLDER / name).is_file() for name in named)
    assert {f"{suite.MODULES.get(name, name)}.py" for name in suite.BENCHMARKS} <= named


@pytest.mark.parametrize("script", sorted(FOLDER.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_every_benchmark_says_how_to_run_it(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script.stem}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{script.stem} " in script.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["import_time", "growth", "quantizer_step"])
def test_a_smoke_run_leaves_rows(name: str, tmp_path: Path) -> None:
    """Without peers, too: what is absent is skipped."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--results", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    left = json.loads((tmp_path / "quick" / f"{name}.json").read_text(encoding="utf-8"))
    assert left["quick"] and left["command"] == f"python -m benchmarks.{name} --quick --rounds 1"
    assert _verdict.from_json(left["rows"])
