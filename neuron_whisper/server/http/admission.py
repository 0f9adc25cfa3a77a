"""Which requests are taken: so many at once from a client and from all, and none that would wait too long."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from neuron_whisper.errors import ClientBusy, Overloaded

RATE_HALF_LIFE_S = 30.0  # so fast the measured rate forgets
MIN_SAMPLES = 3.0  # requests served, before their rate is believed
MAX_RETRY_AFTER_S = 600.0


@dataclass(slots=True, eq=False)
class AdmissionTicket:
    """A request that was taken. `is_queued`: its upload is here, so it stands in the queue for a slot."""

    client: str
    admitted_at: float
    is_queued: bool = False


@dataclass(slots=True, kw_only=True)
class Admission:
    """Counts requests and measures how fast they are served. Pure: the time comes in as seconds; one thread.

    `max_requests` and `max_per_client` (0: no limit) bound those in flight. A newcomer's wait is estimated as the
    requests that wait, it included, by the rate at which requests were served while all slots were taken; above
    `max_wait_s` it is refused at once, so that those which were taken keep their latency.
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
        """Take a request whose headers are here. `client_limit`: what this client may have at once, else as everybody.

        Raises ClientBusy, Overloaded.
        """
        self._advance_clock(now)
        limit = self.max_per_client if client_limit is None else client_limit
        if limit and sum(ticket.client == client for ticket in self._tickets) >= limit:
            self.rejected["client"] += 1
            raise ClientBusy(limit, self._client_retry_after_s(now, client))
        if len(self._tickets) >= self.max_requests:
            self.rejected["requests"] += 1
            raise Overloaded(f"{self.max_requests} requests are in flight already", self._retry_after_s())
        self._check_wait()
        ticket = AdmissionTicket(client, now)
        self._tickets.add(ticket)
        return ticket

    def enqueue(self, ticket: AdmissionTicket, now: float) -> None:
        """The upload is here. Raises Overloaded: so many others came first."""
        self._advance_clock(now)
        if not ticket.is_queued and ticket in self._tickets:
            self._check_wait()
            ticket.is_queued = True
            self._n_queued += 1

    def release(self, ticket: AdmissionTicket, now: float, *, is_served: bool) -> None:
        """It is over, with an answer or without."""
        self._advance_clock(now)
        if ticket.is_queued and ticket in self._tickets:
            if is_served and self._n_queued >= self.slots:
                self._served += 1
            self._n_queued -= 1
        self._tickets.discard(ticket)

    @property
    def served_per_s(self) -> float | None:
        """Requests served a second while all slots were taken; None while too few were."""
        return self._served / self._busy_s if self._served >= MIN_SAMPLES and self._busy_s > 0 else None

    @property
    def wait_s(self) -> float:
        """How long a request that came now would wait for a slot; 0 while that is not known."""
        ahead = self._n_queued - self.slots + 1
        return ahead / self.served_per_s if ahead > 0 and self.served_per_s else 0.0

    def _check_wait(self) -> None:
        if self.wait_s > self.max_wait_s:
            self.rejected["wait"] += 1
            raise Overloaded(
                f"a request would wait about {self.wait_s:.0f} seconds now",
                min(MAX_RETRY_AFTER_S, self._retry_after_s()),
            )

    def _retry_after_s(self) -> float:
        """Until a request would be taken: until the queue is as short as it may be."""
        return max(1.0, self.wait_s - self.max_wait_s, 1.0 / self.served_per_s if self.served_per_s else 1.0)

    def _client_retry_after_s(self, now: float, client: str) -> float:
        """Until one of the client's own requests is over, if they take as long as they have taken so far."""
        oldest = min(ticket.admitted_at for ticket in self._tickets if ticket.client == client)
        return max(1.0, min(60.0, now - oldest))

    def _advance_clock(self, now: float) -> None:
        """Time passes: what was measured fades, and while all slots are taken it is measured."""
        passed = 0.0 if self._updated_at is None else max(0.0, now - self._updated_at)
        self._updated_at = now
        if self._n_queued >= self.slots:  # otherwise nobody waits, and the rate is the clients', not ours
            kept = 0.5 ** (passed / RATE_HALF_LIFE_S)
            self._busy_s, self._served = self._busy_s * kept + passed, self._served * kept
