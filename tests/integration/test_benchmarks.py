"""The benchmark measures every case, compares it with its baseline, and writes down what it found."""

import io
import json
import re
import sys
import threading
from array import array
from itertools import pairwise, product
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import auditing, command, managing, measure, page, plots, runner, targets, uma
from benchmarks.case import Case, NotAvailable
from benchmarks.measure import Sample, Span, Stuck, Window, percentile
from benchmarks.plan import Plan
from benchmarks.report import Found, Report

SMALLEST = Plan(
    seconds=0.0,
    warm_up=0.0,
    rounds=1,
    # not those that differ from others in the number of clients only
    only=r"^(?!.*(64 pools, (1|256) |sqlite, .*, 256 |each process, 32 |eventsourcing, .*, 1 |boundary, 1 |a tenth"
    r"|manager.*, 1 ))",
    clients=(1, 32, 256),
    baseline_clients=(1, 32),
    batches=1,
    race=50,
    crowd=1500,
    events=1500,
    audited=1500,
    projected=50,
)
AUDITS = (auditing.ROWS, auditing.VERIFY, auditing.AS_OF, auditing.SEAL, auditing.PROVE)
SPAN = Span(warm_up=0.0, seconds=0.0)


@pytest.mark.slow
@pytest.mark.untraced
def test_the_smallest_benchmark_measures_everything() -> None:
    """Every system is measured on its databases, compared with its baselines, and the limit is met exactly."""
    report = runner.run(SMALLEST, Console(file=io.StringIO()))
    assert [(found.key, found.error) for found in report.cases if found.status != "measured"] == []
    check_systems(report)
    check_rounds(report)
    check_targets(report)
    check_processes(report)
    check_crowds(report)
    check_rebuilds(report)
    check_audits(report)
    check_facts(report)


def check_systems(report: Report) -> None:
    """Every system is there, UmaDB included, and a case's name names one case."""
    assert len({found.key for found in report.cases}) == len(report.cases)
    everywhere = ("Holdbook", "row-locked SQL", "eventsourcing", "bare insert")
    assert {(found.system, found.database) for found in report.cases} == {
        *((system, name) for system in everywhere for name in SMALLEST.databases),
        ("COPY", "postgresql"),
        ("executemany", "sqlite"),
        ("ProjectionRunner", "postgresql"),
        *(("bare SELECT", name) for name in SMALLEST.databases),
        ("UmaDB", "its own"),
        ("Holdbook", "memory"),
        ("asyncio.Semaphore", "none"),
    }


def check_rounds(report: Report) -> None:
    """Each round of each case has operations and their times."""
    for found in report.cases:
        assert len(found.rounds) == SMALLEST.rounds, found.key
        for sample in found.rounds:
            assert sample.operations > 0, found.key
            assert sample.per_second > 0, found.key
            assert 0 < sample.p50_ms <= sample.p99_ms, found.key


def check_targets(report: Report) -> None:
    """Each target has its row: what was reached, by the best of its baselines."""
    assert [row.what for row in report.targets] == [
        target.what.replace(targets.CROWD, "1,500") for target in targets.TARGETS
    ]
    measured = {found.key: found for found in report.cases}
    for row, target in zip(report.targets, targets.TARGETS, strict=True):
        assert row.reached_case == target.reached
        assert row.reached == measured[row.reached_case].median(row.measure)
        baseline = target.figure or measured[row.baseline_case or ""].median(row.measure)
        assert row.baseline_case in (target.baselines or (None,))
        assert row.baseline == baseline
        assert row.ratio == row.reached / baseline
        assert row.met == (row.ratio >= row.goal if row.at_least else row.ratio <= row.goal)


def check_processes(report: Report) -> None:
    """Processes that empty a pool together are granted what it has, and the slowest one's share is known."""
    shared = [found for found in report.cases if found.callers == "processes"]
    assert {found.clients for found in shared} == {1, 4}
    for found in shared:
        assert found.special("granted") == found.special("limit") == SMALLEST.race
        assert 0 < (found.special("slowest_to_fastest") or 0) <= 1


def check_crowds(report: Report) -> None:
    """The pool with very many allocations has so many, in memory and on SQLite."""
    crowds = {(found.database, found.special("open_allocations")) for found in report.cases if "beside" in found.work}
    assert crowds == {(database, count) for database in ("memory", "sqlite") for count in (1000, SMALLEST.crowd)}


def check_rebuilds(report: Report) -> None:
    """Everything is built from the whole log; a client works during a rebuild, and without."""
    opened = 3
    read = {"ProjectionRunner": SMALLEST.projected + opened, "bare SELECT": SMALLEST.events + opened}
    builds = [found for found in report.cases if found.special("events") is not None]
    assert len(builds) == 1 + len(SMALLEST.databases) * 5
    for found in builds:
        assert found.special("events") == read.get(found.system, SMALLEST.events + opened), found.key
        assert {one.operations for one in found.rounds} == {found.special("events")}, found.key
    clients = [found for found in report.cases if found.special("rebuilding") is not None]
    assert {(found.database, found.special("rebuilding")) for found in clients} == {
        (database, during) for database in SMALLEST.databases for during in (0, 1)
    }
    for found in clients:
        assert (found.special("longest_ms") or 0.0) >= found.median("p99_ms"), found.key


def check_audits(report: Report) -> None:
    """A log is read whole, verified, asked about, sealed and proven; what memory that took is told."""
    opened = 3
    audits = [found for found in report.cases if found.special("peak_mib") is not None]
    assert {(found.work, found.database) for found in audits} == {*product(AUDITS, SMALLEST.databases)}
    assert {found.special("log_events") for found in audits} == {SMALLEST.audited + opened}
    assert min(found.special("peak_mib") or 0.0 for found in audits) > 1


def check_facts(report: Report) -> None:
    """Nothing is measured on a database that does not wait for its disk, and the reader learns of the machine."""
    postgres, sqlite = report.databases["postgresql"], report.databases["sqlite"]
    assert {postgres[name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {"on"}
    assert sqlite == {"journal_mode": "wal", "synchronous": "2"}, "2 is FULL"
    assert int(report.machine["cores"]) > 0
    assert int(report.machine["memory_bytes"]) > 0
    assert {"python", "sqlite", "holdbook", "psycopg", "umadb"} <= report.versions.keys()
    assert "not installed" not in report.versions.values()
    assert re.fullmatch(r"([0-9a-f]{40,64})?\+?", report.revision)
    assert report.plan == SMALLEST


def sample(rate: float, **extra: float) -> Sample:
    """Make up a round of so many operations in a second."""
    return Sample.of([Window(1.0, array("d", [1 / rate] * int(rate)))], **extra)


@pytest.fixture
def report() -> Report:
    """Make up a report: every case of every target, Holdbook twice as fast as all else, in three uneven rounds."""
    keys = dict.fromkeys(name for target in targets.TARGETS for name in (target.reached, *target.baselines))
    cases = []
    for name in keys:
        system, database, *work, callers = name.split(", ")
        clients, kind = callers.split(" ")
        rate = 200 if system == "Holdbook" and "few" not in name and "1 processes" not in name else 100
        extra = {"granted": 7.0, "limit": 7.0, "slowest_to_fastest": 0.5} if kind == "processes" else {}
        extra |= {"open_allocations": 1e6, "bytes_per_allocation": 800.0} if "beside" in name else {}
        extra |= {"events": 1000.0} if "rebuild" in name else {}
        found = Found(
            key=name,
            system=system,
            database=database,
            work=", ".join(work),
            callers=kind,
            clients=int(clients),
            rounds=[sample(rate + off, **extra) for off in (0, 7, -50)],
        )
        cases.append(found)
    return Report.of(Plan(), {"sqlite": {"synchronous": "2"}}, cases)


def test_a_target_is_met_by_the_medians(report: Report) -> None:
    """A ratio is that of the medians of the rounds; twice as fast is half the time."""
    rates = {row.ratio for row in report.targets if row.measure == "per_second"}
    times = {round(row.ratio or 0, 6) for row in report.targets if row.baseline_case and row.measure != "per_second"}
    given = {(row.baseline, round(row.ratio or 0, 6)) for row in report.targets if not row.baseline_case}
    assert (rates, times, given) == ({2.0}, {0.5}, {(50.0, 0.1), (20.0, 0.25)})
    assert {row.goal for row in report.targets if row.met} == {1.5, 0.4, 0.3, 1.0, 1.2}
    assert {row.goal for row in report.targets if not row.met} == {15.0, 40.0, 100.0}


def test_the_best_baseline_counts(report: Report) -> None:
    """Where a target names several numbers of clients, the baseline's fastest is taken."""
    fast = next(found for found in report.cases if found.key == "row-locked SQL, postgresql, one hot pool, 8 threads")
    fast.rounds = [sample(400)]
    rows = Report.of(Plan(), {}, report.cases).targets
    best = [row for row in rows if "256 clients" in row.what]
    assert [(row.baseline_case, row.ratio) for row in best] == [(fast.key, 0.5)] * len(best)


def test_json_gives_the_report_back(report: Report, tmp_path: Path) -> None:
    """What is written can be read again, whole; the targets are worked out from the rounds."""
    saved = tmp_path / "report.json"
    saved.write_text(report.model_copy(update={"targets": []}).model_dump_json())
    assert Report.read(saved) == report


def test_an_update_takes_the_place_of_some_cases_only(report: Report, tmp_path: Path) -> None:
    """Cases that are measured later take their places with the facts of that run; all others keep theirs."""
    again = [found.model_copy(update={"rounds": [sample(900)]}) for found in report.cases if "rebuild" in found.key]
    new = again[0].model_copy(update={"key": "something new"})
    later = Report.of(Plan(only="rebuild|new", rounds=1), {}, [*again, new], load_before=7.0)
    found = report.updated(later)
    assert [one.key for one in found.cases] == [*(one.key for one in report.cases), "something new"]
    measured = {one.key: one for one in found.cases}
    assert all(measured[one.key].rounds == one.rounds for one in later.cases)
    assert all(measured[one.key] == one for one in report.cases if "rebuild" not in one.key)
    (update,) = found.updates
    assert (update.load_before, update.plan, update.keys) == (7.0, later.plan, [one.key for one in later.cases])
    assert (found.load_before, found.plan, found.made_at) == (report.load_before, report.plan, report.made_at)
    assert [row.ratio for row in found.targets if "rebuild" in row.what] == [1.0] * 4
    assert [row for row in found.targets if "rebuild" not in row.what] == [
        row for row in report.targets if "rebuild" not in row.what
    ]
    text = tmp_path / "page.md"
    text.write_text(f"{page.BEGIN}\n{page.END}\n")
    page.write(found, text)
    assert f"### Measured later: {len(later.cases)} cases\n\nThose whose name holds `rebuild|new`." in text.read_text()


def test_what_is_measured_again_and_again_is_of_the_last_run(report: Report) -> None:
    """A later update takes cases from an earlier one; one that is left with none is forgotten."""
    one, other = (Report.of(Plan(only=name), {}, cases) for name, cases in (("a", report.cases[:2]), ("b", [])))
    first = report.updated(one)
    second = first.updated(other.model_copy(update={"cases": report.cases[1:3]}))
    assert [(run.plan.only, run.keys) for run in second.updates] == [
        ("a", [report.cases[0].key]),
        ("b", [found.key for found in report.cases[1:3]]),
    ]
    assert [run.plan.only for run in second.updated(one).updates] == ["b", "a"]
    assert [run.plan.only for run in first.updated(one).updates] == ["a"]


def test_a_ratio_is_within_one_run(report: Report) -> None:
    """A case that was measured again without its baseline meets no target, and misses none."""
    row = next(row for row in report.targets if "rebuild of one view" in row.what)
    again = [found for found in report.cases if found.key == row.reached_case]
    found = next(one for one in report.updated(Report.of(Plan(), {}, again)).targets if one.what == row.what)
    assert (row.ratio, found.ratio, found.met) == (2.0, None, None)


def test_a_page_is_made_anew_from_the_json(report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--report` with `--docs` writes tables and plots without measuring; doing it twice changes nothing more."""
    saved, text = tmp_path / "report.json", tmp_path / "page.md"
    saved.write_text(report.model_dump_json())
    text.write_text(f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nThe end.\n")
    arguments = ["--report", str(saved), "--docs", str(text), "--plots", str(tmp_path / "plots")]
    assert command.main(arguments) == 0
    first = text.read_text()
    assert command.main(arguments) == 0
    assert text.read_text() == first
    assert first.startswith("# Title\n\n<!--")
    assert first.endswith("The end.\n")
    assert "\nold\n" not in first
    assert all(f"| {row.what} |" in first for row in report.targets)
    assert all(f"| {found.system} | {found.database} | {found.work} |" in first for found in report.cases)
    for name in plots.FILES:
        assert (tmp_path / name).read_text() == (tmp_path / "plots" / name).read_text()
        assert "</svg>" in (tmp_path / name).read_text()
    assert "Targets" in capsys.readouterr().out


def test_the_page_sets_managers_beside_semaphores(report: Report) -> None:
    """A manager's time is told less that of a semaphore with as many tasks, of the same run."""
    reached = [found for found in report.cases if "manager" in found.key and found.database == "sqlite"]
    bare = [
        found.model_copy(update={"system": managing.SEMAPHORE, "work": managing.BASELINES[found.work]})
        for found in reached
    ]
    cases = [
        found.model_copy(update={"key": str(number), "rounds": [sample(rate, managed=1.0)]})
        for number, (found, rate) in enumerate([*((one, 100) for one in reached), *((one, 500) for one in bare)])
    ]
    body = page.body(report.model_copy(update={"cases": cases}))
    for operation, own in (("allocate", "acquire"), ("release", "release")):
        assert f"| Holdbook | sqlite | {operation} | 32 | 10.0 | 10.0 | 8.00 |" in body
        assert f"| asyncio.Semaphore | sqlite | {own} | 32 | 2.00 | 2.00 | – |" in body  # noqa: RUF001 - the page's


def test_a_page_without_its_marks_is_left_alone(report: Report, tmp_path: Path) -> None:
    """A page is overwritten between its marks or not at all."""
    text = tmp_path / "page.md"
    text.write_text("# Title\n")
    with pytest.raises(ValueError, match="expected the lines"):
        page.write(report, text)
    assert text.read_text() == "# Title\n"


def test_the_command_measures_what_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options choose the cases; what was not measured leaves its targets open."""
    saved = tmp_path / "report.json"
    only = ["--only", "bare insert|allocates only", "--database", "sqlite", "--seconds", "0", "--warm-up", "0"]
    assert command.main(["--quick", *only, "--rounds", "3", "--json", str(saved)]) == 0
    found = json.loads(saved.read_text())
    assert {case["database"] for case in found["cases"]} == {"sqlite"}
    assert [(case["system"], len(case["rounds"])) for case in found["cases"]] == [("bare insert", 3), ("Holdbook", 3)]
    assert sum(row["ratio"] is not None for row in found["targets"]) == 1
    assert "25 targets were not measured" in capsys.readouterr().out


def test_the_command_keeps_what_it_does_not_measure(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--update` takes the other cases from a report that was written before; printed is what was measured."""
    saved = tmp_path / "report.json"
    saved.write_text(report.model_dump_json())
    only = ["--only", "bare insert", "--database", "sqlite", "--seconds", "0", "--warm-up", "0"]
    assert command.main(["--quick", *only, "--update", str(saved), "--json", str(saved)]) == 0
    found = Report.read(saved)
    changed = [one for one, before in zip(found.cases, report.cases, strict=True) if one != before]
    assert [(one.system, one.database) for one in changed] == [("bare insert", "sqlite")]
    assert [one.keys for one in found.updates] == [[changed[0].key]]
    assert "row-locked SQL" not in capsys.readouterr().out.partition("Targets")[0]


def case(run: object, name: str = "work") -> Case:
    """Make a case that does as it is told."""
    return Case(system="it", database="none", work=name, callers="threads", clients=1, run=run)  # type: ignore[arg-type]  # a double


def test_a_case_that_fails_is_reported_and_the_rest_go_on() -> None:
    """An error is written down with its case; what cannot be had on a machine is no failure."""

    def fails(_: Span) -> Sample:
        message = "no such thing"
        raise ValueError(message)

    def is_missing(_: Span) -> Sample:
        message = "not for this machine"
        raise NotAvailable(message)

    cases = [case(fails, "a"), case(is_missing, "b"), case(lambda _: sample(3), "c")]
    with runner.progress(Console(file=io.StringIO())) as shown:
        found = runner.measure(cases, SMALLEST.model_copy(update={"rounds": 2}), shown)
    assert [(one.status, one.error, len(one.rounds)) for one in found] == [
        ("failed", "ValueError: no such thing", 0),
        ("not available here", "not for this machine", 0),
        ("measured", None, 2),
    ]


def test_what_has_no_wheel_here_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where UmaDB cannot be imported, its cases say so."""
    monkeypatch.setitem(sys.modules, "umadb", None)
    with runner.progress(Console(file=io.StringIO())) as shown:
        found = runner.measure(list(uma.cases(SMALLEST)), SMALLEST, shown)
    assert {one.status for one in found} == {"not available here"}
    assert all("the wheel of UmaDB cannot be imported here" in str(one.error) for one in found)


def test_a_failed_case_is_an_exit_code(report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever runs it in a script notices."""
    failed = Found(**{**report.cases[0].model_dump(), "status": "failed", "error": "broken", "rounds": []})
    saved = tmp_path / "report.json"
    saved.write_text(report.model_copy(update={"cases": [failed, *report.cases[1:]]}).model_dump_json())
    assert command.main(["--report", str(saved)]) == 1
    assert f"failed: {failed.key}: broken" in capsys.readouterr().out.replace("\n", "")


def test_an_error_in_a_client_is_the_case_s() -> None:
    """A client that fails ends the measurement, in a thread as in a task."""

    def fails() -> None:
        raise KeyError

    async def fails_too() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        measure.in_threads([fails, lambda: None], SPAN)
    with pytest.raises(KeyError):
        measure.in_tasks([fails_too], SPAN)


def test_a_client_that_gets_no_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement ends, with an error, when nothing is answered."""
    monkeypatch.setattr(measure, "PATIENCE_SECONDS", 0.05)
    answer = threading.Event()
    with pytest.raises(Stuck):
        measure.in_threads([answer.wait], SPAN)
    answer.set()


def test_a_window_has_enough_operations() -> None:
    """A window lasts until there are enough operations, and has those that ended in it."""
    window = measure.in_threads([lambda: None] * 3, Span(warm_up=0.0, seconds=0.0, operations_min=100))
    assert len(window.latencies) >= 100


def test_a_sample_sums_up_windows() -> None:
    """Rates of processes add up; a batch counts as all of its operations; percentiles are values that were seen."""
    windows = [Window(1.0, array("d", [0.1, 0.3])), Window(2.0, array("d", [0.2, 0.4]))]
    whole = Sample.of(windows, 5, share=0.5)
    assert (whole.operations, whole.per_second, whole.seconds) == (20, 15.0, 2.0)
    assert (whole.p50_ms, whole.p99_ms, whole.mean_ms) == (200.0, 400.0, 250.0)
    assert whole.extra == {"share": 0.5}
    ordered = [percentile(range(1, 101), share) for share in (0.0, 0.5, 0.99, 1.0)]
    assert ordered == [1, 50, 99, 100]
    assert all(low <= high for low, high in pairwise(ordered))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--only", "("],
        ["--rounds", "0"],
        ["--json", "no/such/folder/x.json"],
        ["--events", "0"],
        ["--docs", "no-such-page.md"],
        ["--update", "no-such-report.json"],
    ],
)
def test_what_cannot_work_is_said_before_anything_is_measured(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits a quarter of an hour for an error in an option."""
    with pytest.raises(SystemExit) as left:
        command.main(wrong)
    assert left.value.code == 2
    assert "error: " in capsys.readouterr().err
