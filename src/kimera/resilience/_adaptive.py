"""How many calls a dependency bears, learned from how long they take."""

from __future__ import annotations

from kimera.errors import ConfigurationError


class AdaptiveLimit:
    """A concurrency limit that follows the latency it sees (Gradient2; Netflix concurrency-limits).

    ``sample(seconds, in_flight)`` takes one finished call and returns the new limit.
    """

    def __init__(
        self,
        initial: float = 20,
        minimum: float = 1,
        maximum: float = 200,
        smoothing: float = 0.2,
        tolerance: float = 1.5,
        long_window: int = 600,
        queue: float = 4,
    ) -> None:
        if not 1 <= minimum <= initial <= maximum:
            raise ConfigurationError("AdaptiveLimit takes 1 <= minimum <= initial <= maximum.", "adaptive")
        if not 0 < smoothing <= 1 or tolerance < 1 or long_window < 1 or queue < 0:
            raise ConfigurationError(
                "AdaptiveLimit takes 0 < smoothing <= 1, tolerance >= 1, long_window >= 1 and queue >= 0.", "adaptive"
            )
        self.limit = float(initial)
        self._minimum, self._maximum = minimum, maximum
        self._smoothing, self._tolerance, self._queue = smoothing, tolerance, queue
        self._alpha = 2 / (long_window + 1)
        self._first: list[float] = []
        self._long = 0.0

    def sample(self, seconds: float, in_flight: int) -> float:
        """Take the duration of one finished call and the calls then in flight; return the new limit."""
        if len(self._first) < 10:
            self._first.append(seconds)
            self._long = sum(self._first) / len(self._first)
        else:
            self._long = self._long * (1 - self._alpha) + seconds * self._alpha
        if self._long > 2 * seconds:
            self._long *= 0.95
        if in_flight < self.limit / 2:
            return self.limit
        gradient = max(0.5, min(1.0, self._tolerance * self._long / seconds)) if seconds > 0 else 1.0
        target = (1 - self._smoothing) * self.limit + self._smoothing * (gradient * self.limit + self._queue)
        self.limit = max(self._minimum, min(self._maximum, target))
        return self.limit
