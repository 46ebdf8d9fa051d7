"""The command line among other programs: pipes, signals, locales, full outputs, help."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

from holdbook import Ledger, migrations
from holdbook.infrastructure.cli import main
from holdbook.infrastructure.cli.app import app
from support.cli import PROCESS_SECONDS_MAX, Done, Holdbook, call, environment, program, run
from support.workloads import made_up, write_workload

REVISIONS = Path(migrations.__path__[0], "versions")
"""The folder of the migrations; a file's name begins with its revision."""


@pytest.fixture
def holdbook(sqlite_url: str, tmp_path: Path) -> Holdbook:
    """The command line on a ledger whose export is longer than a pipe holds."""
    holdbook = Holdbook(sqlite_url)
    holdbook("import", str(write_workload(tmp_path / "w.jsonl", made_up(600))))
    return holdbook


def test_a_reader_that_has_seen_enough(holdbook: Holdbook) -> None:
    """`| head -1` gets its line, and the command ends quietly with the code that the shell gives to SIGPIPE."""
    command = program("export", "--database", holdbook.url)
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(PROCESS_SECONDS_MAX) == 141


def test_an_output_nobody_reads(holdbook: Holdbook) -> None:
    """The last flush of a short answer meets a closed pipe as quietly."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = program("pools", "--database", holdbook.url)
    done = subprocess.run(command, env=environment(), check=False, stdout=theirs, stderr=subprocess.PIPE, timeout=120)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_is_full(holdbook: Holdbook) -> None:
    """It is said once, without a traceback."""
    command = program("pools", "--database", holdbook.url)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=environment(), check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.stderr == "error: [Errno 28] No space left on device\n"
    assert done.returncode == 2


def hear_interrupts() -> None:
    """Undo what a shell does to what it runs in the background: it has the interrupt ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_command(sqlite_url: str) -> None:
    """Ctrl-C ends with 130 and a line that says what became of the work; the log is whole."""
    command = program("import", "-", "--batch", "1", "--database", sqlite_url)
    with (
        Ledger.open(sqlite_url, create=False) as ledger,
        subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=hear_interrupts,  # noqa: PLW1509 - this process has no other thread that could hold a lock
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(
            b'{"at": "2026-03-01T00:00:00Z", "command": "open_pool", "pool": "p", "resource_type": "t", '
            b'"limits": {"total": 1}}\n'
        )
        process.stdin.flush()
        with ledger.log.watching() as news:
            while not ledger.pools():
                news(0.05)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(PROCESS_SECONDS_MAX) == 130
        finally:
            process.kill()
        said = process.stderr.read().decode()
    assert said == "interrupted: each command not answered yet was recorded whole or not at all\n"


def test_json_is_utf_8_in_any_locale(holdbook: Holdbook) -> None:
    """Programs read the same bytes wherever the command runs; people see what their terminal can show."""
    holdbook("pool", "open", "mémoire 🙂", "--type", "t", "--total", "1")
    latin = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    command = program("pools", "--database", holdbook.url)
    done = subprocess.run([*command, "--json"], env=environment(**latin), check=True, capture_output=True, timeout=120)
    assert "mémoire 🙂".encode() in done.stdout
    done = subprocess.run(command, env=environment(**latin), check=True, capture_output=True, timeout=120)
    assert b"m\xe9moire \\U0001f642" in done.stdout


def test_a_word_that_is_no_text(holdbook: Holdbook) -> None:
    """Bytes of the command line that are no UTF-8 are malformed, and can be shown."""
    done = run("allocate", os.fsdecode(b"gpu\xff=1"), "--owner", "o", "--database", holdbook.url).ends(2)
    assert "udcff" in done.err
    error = run("show", os.fsdecode(b"\xff"), "--database", holdbook.url, "--json").ends(2).error
    assert error["value"] == "\udcff"


def test_people_at_a_terminal_see_progress(holdbook: Holdbook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar on the standard error once the work takes long, gone at the end; none for programs."""
    monkeypatch.setattr("holdbook.infrastructure.cli.terminal.output.PROGRESS_AFTER_SECONDS", 0.0)
    assert "rebuilding" not in holdbook("projections", "rebuild", "current_allocations").err
    code = (
        "import sys; from holdbook.infrastructure.cli import main; "
        "from holdbook.infrastructure.cli.terminal import output; "
        "output.PROGRESS_AFTER_SECONDS = 0.0; sys.argv[0] = 'holdbook'; main()"
    )
    words = ("verify", "--database", holdbook.url)
    assert "verifying" in at_terminal(program()[0], "-P", "-c", code, *words)
    assert "verifying" not in at_terminal(program()[0], "-P", "-c", code, *words, "--json")


def at_terminal(*command: str) -> str:
    """Run a command whose standard error is a terminal; what it showed there."""
    ours, theirs = pty.openpty()
    env = environment(TERM="xterm", COLUMNS="100")
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 65536):
                shown += more
        except OSError:  # how Linux says that the other end was closed
            pass
        assert process.wait(PROCESS_SECONDS_MAX) == 0
    os.close(ours)
    return shown.decode()


# Help


def all_commands() -> list[tuple[str, ...]]:
    """List every command by the words that call it."""
    found: list[tuple[str, ...]] = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # the root is a group
        inner = getattr(command, "commands", {})
        found += [(name, one) for one in inner] or [(name,)]
    return found


COMMANDS = all_commands()


def test_the_commands_are_those_of_the_design() -> None:
    """No more, no fewer."""
    assert {" ".join(words) for words in COMMANDS} == {
        "pool open", "pool limits", "pool close", "pools", "allocate", "reserve", "confirm", "void", "renew", "resize",
        "transfer", "release", "expire", "import", "export", "adopt", "rollback",
        "allocations", "history", "show", "explain", "metrics",
        "failures", "usage", "usage-over-time", "queue", "replay", "what-if", "verify",
        "seal list", "seal key", "seal cosign", "prove", "verify-bundle",
        "projections status", "projections rebuild", "projections rollback", "projections prune", "projections retry",
        "projections skip", "projections follow", "events check", "db upgrade", "db current", "db check", "demo",
    }  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    """One line says what it does, an example shows it, `--json` is there, and it names the database if it has one."""
    said = call(*words, "--help", env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).ends(0).out
    assert re.search(rf"Usage: .* {' '.join(words)} ", said)
    assert re.search(rf"Examples?  .*holdbook {' '.join(words)}", said)
    assert "--json" in said
    assert words in {("demo",), ("verify-bundle",)} or "--database" in said


@pytest.mark.parametrize("group", sorted({words[0] for words in COMMANDS if len(words) > 1}))
def test_every_group_explains_itself(group: str) -> None:
    """A group of commands says what it is about, with an example."""
    said = call(group, "--help", env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).ends(0).out
    assert re.search(rf"Usage: .* {group} ", said)
    assert re.search(rf"Example  holdbook {group}", said)


def test_the_command_line_explains_itself() -> None:
    """Alone it shows the help, with exit codes and environment."""
    said = call().ends(0).out
    for word in ("Exit codes", "HOLDBOOK_DATABASE_URL", "demo"):
        assert word in said
    assert call("--help").ends(0).out.strip() == said.strip()


def test_the_command_line_knows_its_version() -> None:
    """It says the version of the package and the newest revision of the packaged schema, to people and to programs."""
    release, newest = version("holdbook"), max(path.name[:4] for path in REVISIONS.glob("*.py"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", release)
    assert call("--version").ends(0).out == f"holdbook {release}, schema revision {newest}\n"
    for words in (("--version", "--json"), ("--json", "--version"), ("--version", "--json", "pools")):
        assert call(*words).ends(0).document == {"version": release, "schema_revision": newest}


@pytest.mark.parametrize("words", [("--json",), ("--json", "pools")])
def test_json_belongs_to_a_command_or_to_the_version(words: tuple[str, ...]) -> None:
    """Alone, or before a command, the option is wrong usage, and the error says where it goes."""
    error = call(*words).ends(2).error
    assert error["type"] == "Usage"
    assert error["message"] == "expected a command before --json, or --version beside it"


def test_the_version_is_said_without_delay() -> None:
    """Alembic, which takes long to import, is not imported for it."""
    lines = [
        "import sys",
        "from holdbook.infrastructure.cli import main",
        "try: main()",
        "finally: print(*sys.modules)",
    ]
    command = [*program()[:2], "-c", "\n".join(lines), "--version"]
    done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
    said, modules = done.stdout.splitlines()
    assert said.startswith("holdbook ")
    assert "alembic" not in modules.split()


def test_the_module_is_the_command_line() -> None:
    """`python -m holdbook` does what `holdbook` does, by the name `holdbook`."""
    assert "Usage: holdbook" in run("pools", "--help").ends(0).out


def test_an_error_of_the_system_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as no room for a temporary folder."""

    def fail(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("holdbook.infrastructure.cli.commands.demo.TemporaryDirectory", fail)
    done: Done = call("demo").ends(2)
    assert done.err == "error: [Errno 28] No space left on device\n"


def test_a_program_may_catch_the_output(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With something else in the place of the standard output, `main` works; and fails as it does elsewhere."""
    monkeypatch.setattr(sys, "argv", ["holdbook", "pools", "--json", "--database", sqlite_url])
    with redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit) as ended:
        main()
    assert (said.getvalue(), ended.value.code) == ('{"position": 0, "pools": []}\n', 0)
    with redirect_stdout(Closed()), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 141


class Closed(io.StringIO):
    """An output that nobody reads."""

    def write(self, _text: str) -> int:
        """Fail as a pipe does."""
        raise BrokenPipeError
