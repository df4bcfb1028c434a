"""A process that observes and learns on a shared memory, for the concurrency tests: URL, name, stm, session names."""

from __future__ import annotations

import sys
import threading

from kimera.memory import Memory


def events(session: str) -> list[list[str]]:
    """Return what a session observes: its own events, and patterns it shares with every other session."""
    own = [[f"{session}-{number}", "x"] for number in range(20)]
    shared = [["shared"], [f"s{len(session) % 3}"]] * 5
    return [event for pair in zip(own, (shared * 2)[:20], strict=True) for event in pair]


def work(memory: Memory, name: str) -> None:
    """Observe everything in one session, learning by length."""
    session = memory.session(name, max_pattern_length=4)
    for number, event in enumerate(events(name)):
        session.observe(event, source=name, unique_id=f"{name}-{number}")


def main() -> None:
    """Run one thread per session."""
    url, memory_name, stm, *names = sys.argv[1:]
    with Memory.open(url, memory_name, stm=stm) as memory:
        threads = [threading.Thread(target=work, args=(memory, name)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
