"""A closed system whose truth is known: N users who think, c servers, exponential times (M/M/c//N).

Simulated for samples, and solved exactly: its saturation point, and the tail of its response time by the arrival
theorem (an arriving user sees the steady state of the system with one user less; Sevcik and Mitrani, JACM 28, 1981).
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.stats import gamma


@dataclass(frozen=True)
class ClosedSystem:
    """``servers`` servers of ``rate`` (1/s) each; users think ``think_s`` seconds on average."""

    servers: int
    rate: float
    think_s: float

    @property
    def saturation(self) -> float:
        """N* = Xmax (R0 + Z)."""
        return self.servers * self.rate * (1 / self.rate + self.think_s)

    def latencies_ms(
        self, users: int, seconds: float, rng: np.random.Generator, *, warmup_s: float = 5.0, speed: float = 1.0
    ) -> np.ndarray:
        """Response times of requests that start within ``seconds`` after the warm-up; ``speed`` scales the servers."""
        end = warmup_s + seconds
        events = [(t, False, user) for user, t in enumerate(rng.exponential(self.think_s, users).tolist())]
        heapq.heapify(events)
        draws = iter(rng.standard_exponential(int(4 * end * self.servers * self.rate * speed) + 8 * users).tolist())
        started: dict[int, float] = {}
        waiting: deque[int] = deque()
        busy, found = 0, []
        while events:
            now, done, user = heapq.heappop(events)
            if not done:
                if now >= end:
                    continue
                started[user] = now
                if busy == self.servers:
                    waiting.append(user)
                    continue
                busy += 1
            else:
                if started[user] >= warmup_s:
                    found.append((now - started[user]) * 1e3)
                heapq.heappush(events, (now + next(draws) * self.think_s, False, user))
                if not waiting:
                    busy -= 1
                    continue
                user = waiting.popleft()
            heapq.heappush(events, (now + next(draws) / (self.rate * speed), True, user))
        return np.array(found)

    def tail(self, users: int, seconds: float) -> float:
        """The share of requests that take longer than ``seconds``."""
        logs = [0.0]
        for k in range(users - 1):
            logs.append(
                logs[-1] + math.log((users - 1 - k) / self.think_s) - math.log(min(k + 1, self.servers) * self.rate)
            )
        seen = np.exp(np.array(logs) - max(logs))
        seen /= seen.sum()
        t = np.linspace(0.0, seconds, 1001)
        total = 0.0
        for k in np.flatnonzero(seen > 1e-12).tolist():
            if k < self.servers:
                total += seen[k] * math.exp(-self.rate * seconds)
                continue
            queue = gamma(k - self.servers + 1, scale=1 / (self.servers * self.rate))
            served_late = np.trapezoid(queue.pdf(t) * np.exp(-self.rate * (seconds - t)), t)
            total += seen[k] * (queue.sf(seconds) + served_late)
        return float(total)

    def most_users(self, seconds: float, share: float) -> int:
        """The most users of whose requests less than ``share`` take longer than ``seconds``."""
        low, high = 1, 1
        while self.tail(high, seconds) < share:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.tail(middle, seconds) < share else (low, middle)
        return low
