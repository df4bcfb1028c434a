"""What the kernel refuses a job where Landlock and seccomp are there; asserted according to the probe."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from kimera.sandbox import Session, probe
from kimera.sandbox._seccomp import program
from kimera.sandbox._syscalls import TABLES

needs_isolation = pytest.mark.skipif(
    probe().level == "none" and os.environ.get("CI") is None, reason="this kernel has no Landlock"
)


def test_the_probe_says_what_a_job_really_gets(session: Session) -> None:
    """Promise: level and mechanisms of the probe are those recorded on a job, and a reason is given."""
    found = probe()
    answer = session.run("result = 1")
    assert (found.level, found.mechanisms) == (answer.level, answer.mechanisms)
    assert found.reason.endswith(".")
    assert found.missing
    assert ("reduced" == found.level) == ({"landlock", "seccomp"} <= set(found.mechanisms))


def test_a_host_without_isolation_says_none(bare: Session) -> None:
    """Promise: without Landlock and seccomp the level on the record is none."""
    answer = bare.run("result = 1")
    assert "none" == answer.level
    assert not {"landlock", "seccomp"} & set(answer.mechanisms)


ABUSE = {
    "read a system file": "open('/etc/passwd').read()",
    "list the root": "import os; os.listdir('/')",
    "read another process's environment": "import os; open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "read its own environment block": "open('/proc/self/environ', 'rb').read()",
    "write outside": "open(parameters['outside'], 'w')",
    "write through ..": "open('../../x', 'w')",
    "change an input": "open(tables['t'], 'ab').write(b'x')",
    "truncate an input": "import os; os.truncate(tables['t'], 0)",
    "remove an input": "import os; os.unlink(tables['t'])",
    "list the folder of an input": "import os; os.listdir(tables['t'].parent)",
    "read beside an input": "open(parameters['sibling']).read()",
    "link out": "import os; os.link(tables['t'], 'mine')",
    "symlink out": "import os; os.symlink('/etc/passwd', 'p')",
    "make a fifo": "import os; os.mkfifo('f')",
    "change the mode of an input": "import os; os.chmod(tables['t'], 0o777)",
    "change the times of an input": "import os; os.utime(tables['t'], (0, 0))",
    "raw open by ctypes": "import ctypes, os; c = ctypes.CDLL(None, use_errno=True)\n"
    "if c.open(b'/etc/passwd', 0) < 0: raise OSError(ctypes.get_errno(), 'open')",
    "tcp": "import socket; socket.create_connection(('127.0.0.1', parameters['port']))",
    "udp": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX)",
    "socket pair": "import socket; socket.socketpair()",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "shell": "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])",
    "fork": "import os; os.fork()",
    "new session": "import os; os.setsid()",
    "signal the worker": "import os; os.kill(os.getppid(), 0)",
    "signal everybody": "import os; os.kill(-1, 0)",
    "memory file": "import os; os.memfd_create('x')",
    "limit the worker": "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    "raise its own limit": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (999, 999))",
}
RAW = {  # name: (call number on x86_64, arguments)
    "ptrace": (101, 16, 1),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, 0x10000000),
    "bpf": (321, 0, 0, 0),
    "keyctl": (250, 0, 0),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 1, 0),
    "clone3": (435, 0, 0),
    "pidfd_open": (434, 1, 0),
    "shmget": (29, 0, 4096, 0o1600),
    "not yet invented": (2000,),
}


ATTEMPTS = """
result = {}
for name, attempt in parameters['attempts'].items():
    try:
        exec(attempt)
        result[name] = 'got through'
    except OSError as refused:
        result[name] = 'refused'
    except (ValueError, ImportError) as other:
        # raising a limit and starting a program are wrapped by the standard library
        result[name] = 'refused'
"""


@needs_isolation
def test_abuse_is_refused(session: Session, parquet: Path, tmp_path: Path) -> None:
    """Promise: none of these gets through, and the input is as it was."""
    sibling = parquet.with_name("sibling.txt")
    sibling.write_text("secret")
    before = (parquet.read_bytes(), parquet.stat().st_mode, parquet.stat().st_mtime)
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = {"outside": str(tmp_path / "x"), "sibling": str(sibling), "port": server.getsockname()[1]}
        answer = session.run(ATTEMPTS, {"t": parquet}, {**facts, "attempts": ABUSE})
    assert dict.fromkeys(ABUSE, "refused") == answer.result, answer
    assert before == (parquet.read_bytes(), parquet.stat().st_mode, parquet.stat().st_mtime)
    assert [] == list(tmp_path.iterdir())


@needs_isolation
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of this machine")
def test_raw_system_calls_are_refused(session: Session) -> None:
    """Promise: by number, past every Python check, the kernel still says EPERM or ENOSYS."""
    code = (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nresult = {}\n"
        "for name, call in parameters.items():\n"
        "    returned = c.syscall(*[ctypes.c_long(a) for a in call])\n"
        "    result[name] = [returned, ctypes.get_errno()]"
    )
    found = session.run(code, parameters={name: list(call) for name, call in RAW.items()}).result
    assert [] == [name for name in RAW if found[name] not in ([-1, 1], [-1, 38])]


@needs_isolation
def test_honest_work_passes(session: Session, parquet: Path) -> None:
    """Promise: threads, temporary files, late imports, sqlite and time zones work inside."""
    code = (
        "import threading, tempfile, sqlite3, zoneinfo, datetime, csv, os, signal\n"
        "seen = []\nt = threading.Thread(target=seen.append, args=(1,))\nt.start()\nt.join()\n"
        "with tempfile.TemporaryFile() as f: f.write(b'x')\n"
        "c = sqlite3.connect('a.db')\nc.execute('create table a (b)')\nc.commit()\n"
        "import wave, numpy, numpy.polynomial.chebyshev\n"
        "open('a', 'w').write('x')\nos.rename('a', 'b')\nos.remove('b')\n"
        "numpy.save('x.npy', numpy.ones(3))\nn = numpy.load('x.npy', allow_pickle=False).sum()\n"
        "result = [seen, str(datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('UTC')).utcoffset()), float(n)]"
    )
    answer = session.run(code, {"t": parquet})
    assert (None, [[1], "0:00:00", 3.0]) == (answer.error, answer.result)


@pytest.mark.parametrize("machine", sorted(TABLES))
def test_the_filter_is_well_formed_on_every_machine(machine: str) -> None:
    """Promise: every jump lands inside the program and every path ends in a verdict."""
    lines = program(machine, 4711)
    assert lines is not None
    assert 0x06 == lines[-1][0]
    for index, (code, yes, no, _) in enumerate(lines):
        if code & 0x07 == 0x05:
            assert index + 1 + max(yes, no) < len(lines)


def test_an_unknown_machine_has_no_filter() -> None:
    """Promise: no table of system calls, no filter, and so not reduced."""
    assert program("pdp11", 1) is None
