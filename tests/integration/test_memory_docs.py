"""The pages on the memory, run as they stand: every Python snippet, every curl line, every command."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kimera.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / name for name in ("memory.md", "memory-predictions.md", "memory-http.md")]
LITERAL = re.compile(r"[(\[{'\"\d]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's blocks of a language, as they stand."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def run_snippet(source: str, names: dict[str, Any]) -> int:
    """Run a snippet; what a comment after an expression says it gives is compared. Returns how many were."""
    lines, compared = source.splitlines(), 0
    for statement in ast.parse(source).body:
        printed = io.StringIO()
        code = ast.unparse(statement)
        value = None
        with contextlib.redirect_stdout(printed):
            if isinstance(statement, ast.Expr):
                value = eval(code, names)
            else:
                exec(code, names)
        said = lines[(statement.end_lineno or 1) - 1].partition("  # ")[2]
        if LITERAL.match(said) and (isinstance(statement, ast.Expr) or printed.getvalue()):
            assert said == (printed.getvalue().strip() or repr(value)), code
            compared += 1
    return compared


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda page: page.name
)
def test_each_python_snippet_runs_and_gives_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: the snippets of a page, one after the other in one interpreter, give what their comments say."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIMERA_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    names: dict[str, Any] = {}
    assert sum(run_snippet(source, names) for source in blocks(page, "python")) >= 1
    if "memory" in names:
        names["memory"].close()
    load_settings.cache_clear()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder with a `kimera` on its PATH and a home of its own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "kimera"
    apart = '[ "$1" != serve ] || exec >&2'  # what a server says stands beside what the lines print
    program.write_text(f'#!/bin/sh\n{apart}\nexec {sys.executable} -c "from kimera.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    yield tmp_path


def shell(place: Path, block: str, end: str = "", **more: str) -> list[str]:
    """Run a block line by line in one shell that stops at the first failure; return what each line printed."""
    lines = [line for line in block.splitlines() if line.strip()]
    script = "\n".join(f"{line}\necho; echo '<<{number}>>'" for number, line in enumerate(lines))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KIMERA_")}
    environment = clean | {
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "KIMERA_HOME": str(place / "home"),
        "KIMERA_EMBEDDINGS": "off",
        **more,
    }
    with (place / "log").open("wb") as log:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{end}\n{script}"],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            cwd=place,
            text=True,
            timeout=150,
            check=False,
        )
    assert 0 == done.returncode, done.stdout[-2_000:] + (place / "log").read_text()[-3_000:]
    return re.split(r"\n<<\d+>>\n", done.stdout)[:-1]


def values(text: str) -> list[Any]:
    """Return the JSON values that stand one after the other."""
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        value, length = decoder.raw_decode(text)
        found.append(value)
        text = text[length:].strip()
    return found


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="no curl")
def test_each_curl_line_works_as_written(place: Path) -> None:
    """Promise: the lines of the page, in their order, against the server they start: no problem anywhere."""
    (block,) = [block for block in blocks(PAGES[2], "bash") if "curl" in block]
    port = str(free_port())
    told = shell(
        place,
        block.replace("8000", port),
        end="trap 'kill %1 && wait %1' EXIT",
        KIMERA_PORT=port,
        KIMERA_METRICS_PORT="0",
    )
    answers: dict[str, list[Any]] = {}
    lines = [line for line in block.splitlines() if line.strip()]
    for line, text in zip(lines, told, strict=True):
        if "curl" in line and "/dev/null" not in line:
            answers[line] = values(text)
            assert answers[line] and not any("code" in answer for answer in answers[line]), (line, text)
    learned = next(found for line, (found, *_) in answers.items() if line.split("#")[0].strip().endswith("/learn"))
    assert ("p1:", "PTRN|", 1) == (learned["id"][:3], learned["pattern_name"][:5], learned["seq"])
    (one,) = next(found["predictions"] for line, (found, *_) in answers.items() if "/predictions " in line)
    assert ([["a"]], [["d"]], 0.667) == (one["past"], one["future"], round(one["similarity"], 3))
    assert len(answers) >= 6


def test_each_command_works_as_written(place: Path) -> None:
    """Promise: the commands of the page, in their order, on an empty home and a file of messages."""
    (block,) = [block for block in blocks(PAGES[2], "bash") if "kimera memory" in block]
    message = {"role": "assistant", "tool_calls": [{"function": {"name": "search", "arguments": "{}"}}]}
    (place / "traces.jsonl").write_text(json.dumps({"messages": [message, message]}) + "\n")
    told = dict(zip([line for line in block.splitlines() if line.strip()], shell(place, block), strict=True))
    said = {line.split("#")[0].strip(): text.strip() for line, text in told.items()}
    assert "learned PTRN|" in said["kimera memory observe a; kimera memory observe b; kimera memory learn --utility 1"]
    follows = json.loads(said["""kimera memory next --events '[["a"]]' --json"""])
    assert ["b"] == follows["answer"]
    assert "everything agrees" in said["kimera memory verify"]
    assert "1 of 1 traces learned" in said["kimera memory ingest traces.jsonl --format openai"]


def test_the_scripts_that_pages_name_take_what_they_say() -> None:
    """Promise: each `python path options` in the text names a script that is there and knows each option."""
    named = set()
    for page in PAGES:
        text = re.sub(r"\s+", " ", page.read_text())
        for path, options in re.findall(r"`python ((?:scripts|benchmarks)/\w+\.py)([^`]*)`", text):
            named.add(path)
            source = (ROOT / path).read_text()
            assert [] == [option for option in re.findall(r"--[a-z-]+", options) if f'"{option}"' not in source], path
    assert len(named) >= 5
