"""Admission control: limits on requests in flight, per client and in total, and on the expected wait."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from neuron_whisper.errors import ClientBusy, Overloaded

RATE_HALF_LIFE_S = 30.0  # exponential decay of the measured service rate
MIN_SAMPLES = 3.0  # requests served before their rate is used
MAX_RETRY_AFTER_S = 600.0


@dataclass(slots=True, eq=False)
class AdmissionTicket:
    """An admitted request. `is_queued`: its upload is complete, so it waits for a slot or is decoded in one."""

    client: str
    admitted_at: float
    is_queued: bool = False


@dataclass(slots=True, kw_only=True)
class Admission:
    """Counts requests in flight and measures the service rate. No I/O: time is an argument, in seconds; one thread.

    `max_requests` and `max_per_client` (0: no limit) bound the requests in flight. The expected wait of a new request
    is the number of waiting requests, itself included, divided by the rate at which requests were served while all
    slots were busy. Above `max_wait_s` it is rejected at once, so that admitted requests keep their latency.
    """

    max_requests: int
    max_per_client: int
    max_wait_s: float
    slots: int = 1
    rejected: Counter[str] = field(default_factory=Counter)
    _tickets: set[AdmissionTicket] = field(default_factory=set)
    _n_queued: int = 0
    _busy_s: float = 0.0
    _served: float = 0.0
    _updated_at: float | None = None

    @property
    def in_flight(self) -> int:
        return len(self._tickets)

    def admit(self, client: str, now: float, *, client_limit: int | None = None) -> AdmissionTicket:
        """Admit a request whose headers have arrived. `client_limit` replaces `max_per_client` for this client.

        Raises ClientBusy, Overloaded.
        """
        self._advance_clock(now)
        limit = self.max_per_client if client_limit is None else client_limit
        if limit and sum(ticket.client == client for ticket in self._tickets) >= limit:
            self.rejected["client"] += 1
            raise ClientBusy(limit, self._client_retry_after_s(now, client))
        if len(self._tickets) >= self.max_requests:
            self.rejected["requests"] += 1
            raise Overloaded(f"{self.max_requests} requests are in flight, which is the limit", self._retry_after_s())
        self._check_wait()
        ticket = AdmissionTicket(client, now)
        self._tickets.add(ticket)
        return ticket

    def enqueue(self, ticket: AdmissionTicket, now: float) -> None:
        """Note that the upload is complete. Raises Overloaded where the queue became too long meanwhile."""
        self._advance_clock(now)
        if not ticket.is_queued and ticket in self._tickets:
            self._check_wait()
            ticket.is_queued = True
            self._n_queued += 1

    def release(self, ticket: AdmissionTicket, now: float, *, is_served: bool) -> None:
        """Note the end of a request. `is_served`: it got its response, so it counts for the service rate."""
        self._advance_clock(now)
        if ticket.is_queued and ticket in self._tickets:
            if is_served and self._n_queued >= self.slots:
                self._served += 1
            self._n_queued -= 1
        self._tickets.discard(ticket)

    @property
    def served_per_s(self) -> float | None:
        """Requests served per second while all slots were busy; None before MIN_SAMPLES of them."""
        return self._served / self._busy_s if self._served >= MIN_SAMPLES and self._busy_s > 0 else None

    @property
    def wait_s(self) -> float:
        """Expected wait for a slot of a request that arrives now; 0 while the rate is unknown."""
        ahead = self._n_queued - self.slots + 1
        return ahead / self.served_per_s if ahead > 0 and self.served_per_s else 0.0

    def _check_wait(self) -> None:
        if self.wait_s > self.max_wait_s:
            self.rejected["wait"] += 1
            raise Overloaded(
                f"a request would wait about {self.wait_s:.0f} seconds for a slot",
                min(MAX_RETRY_AFTER_S, self._retry_after_s()),
            )

    def _retry_after_s(self) -> float:
        """Time until the expected wait has fallen to `max_wait_s`, at least 1 s."""
        return max(1.0, self.wait_s - self.max_wait_s, 1.0 / self.served_per_s if self.served_per_s else 1.0)

    def _client_retry_after_s(self, now: float, client: str) -> float:
        """Estimated time until one of the client's requests ends: the age of its oldest, 1 to 60 s."""
        oldest = min(ticket.admitted_at for ticket in self._tickets if ticket.client == client)
        return max(1.0, min(60.0, now - oldest))

    def _advance_clock(self, now: float) -> None:
        """Decay the measurements, and add the elapsed time to the busy time while all slots are busy."""
        elapsed_s = 0.0 if self._updated_at is None else max(0.0, now - self._updated_at)
        self._updated_at = now
        if self._n_queued >= self.slots:  # otherwise no request waits, and the rate would be that of arrivals
            kept = 0.5 ** (elapsed_s / RATE_HALF_LIFE_S)
            self._busy_s, self._served = self._busy_s * kept + elapsed_s, self._served * kept
