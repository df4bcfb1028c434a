"""The sequence memory: what was seen before, what is missing, what comes next, and why.

`Memory.open` is one memory, `Memories` all memories of one database. No model, no chance: the same log, short-term
memory and options give the same bytes.
"""

from kimera.memory.contracts import (
    Guard,
    Learned,
    MemoryTuning,
    NextEvents,
    Observed,
    Prediction,
    Predictions,
    Why,
)
from kimera.memory.keeping.changes import Changed
from kimera.memory.keeping.reading import LogView, PatternPage, PatternView, Stats, SymbolView
from kimera.memory.keeping.replay import Verified
from kimera.memory.keeping.transfer import Exported, Imported
from kimera.memory.memories import Memories
from kimera.memory.memory import Memory
from kimera.memory.observing.observations import SequenceObserved
from kimera.memory.observing.sessions import Session
from kimera.memory.options import Options

__all__ = [
    "Changed",
    "Exported",
    "Guard",
    "Imported",
    "Learned",
    "LogView",
    "Memories",
    "Memory",
    "MemoryTuning",
    "NextEvents",
    "Observed",
    "Options",
    "PatternPage",
    "PatternView",
    "Prediction",
    "Predictions",
    "SequenceObserved",
    "Session",
    "Stats",
    "SymbolView",
    "Verified",
    "Why",
]
