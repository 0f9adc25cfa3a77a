"""Which requests are taken: so many at once from a client and from all, and none that would wait too long."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from neuron_whisper.errors import ClientBusy, Overloaded

HALF_LIFE_S = 30.0  # so fast the measured rate forgets
ENOUGH = 3.0  # requests served, before their rate is believed
LONGEST_RETRY_S = 600.0


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that was taken. `is_ready`: its upload is here, so it stands in the queue for a slot."""

    client: str
    since: float
    is_ready: bool = False


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
    refused: Counter[str] = field(default_factory=Counter)
    _tickets: set[Ticket] = field(default_factory=set)
    _ready: int = 0
    _busy_s: float = 0.0
    _served: float = 0.0
    _looked_at: float | None = None

    @property
    def in_flight(self) -> int:
        return len(self._tickets)

    def enter(self, client: str, now: float, *, most: int | None = None) -> Ticket:
        """Take a request whose headers are here. `most`: what this client may have at once, else as everybody.

        Raises ClientBusy, Overloaded.
        """
        self._pass(now)
        limit = self.max_per_client if most is None else most
        if limit and sum(ticket.client == client for ticket in self._tickets) >= limit:
            self.refused["client"] += 1
            raise ClientBusy(limit, self._turn_s(now, client))
        if len(self._tickets) >= self.max_requests:
            self.refused["requests"] += 1
            raise Overloaded(f"{self.max_requests} requests are in flight already", self._soon_s())
        self._check_wait()
        ticket = Ticket(client, now)
        self._tickets.add(ticket)
        return ticket

    def ready(self, ticket: Ticket, now: float) -> None:
        """The upload is here. Raises Overloaded: so many others came first."""
        self._pass(now)
        if not ticket.is_ready and ticket in self._tickets:
            self._check_wait()
            ticket.is_ready = True
            self._ready += 1

    def leave(self, ticket: Ticket, now: float, *, is_served: bool) -> None:
        """It is over, with an answer or without."""
        self._pass(now)
        if ticket.is_ready and ticket in self._tickets:
            if is_served and self._ready >= self.slots:
                self._served += 1
            self._ready -= 1
        self._tickets.discard(ticket)

    @property
    def rate(self) -> float | None:
        """Requests served a second while all slots were taken; None while too few were."""
        return self._served / self._busy_s if self._served >= ENOUGH and self._busy_s > 0 else None

    @property
    def wait_s(self) -> float:
        """How long a request that came now would wait for a slot; 0 while that is not known."""
        ahead = self._ready - self.slots + 1
        return ahead / self.rate if ahead > 0 and self.rate else 0.0

    def _check_wait(self) -> None:
        if self.wait_s > self.max_wait_s:
            self.refused["wait"] += 1
            raise Overloaded(
                f"a request would wait about {self.wait_s:.0f} seconds now", min(LONGEST_RETRY_S, self._soon_s())
            )

    def _soon_s(self) -> float:
        """Until a request would be taken: until the queue is as short as it may be."""
        return max(1.0, self.wait_s - self.max_wait_s, 1.0 / self.rate if self.rate else 1.0)

    def _turn_s(self, now: float, client: str) -> float:
        """Until one of the client's own requests is over, if they take as long as they have taken so far."""
        oldest = min(ticket.since for ticket in self._tickets if ticket.client == client)
        return max(1.0, min(60.0, now - oldest))

    def _pass(self, now: float) -> None:
        """Time passes: what was measured fades, and while all slots are taken it is measured."""
        passed = 0.0 if self._looked_at is None else max(0.0, now - self._looked_at)
        self._looked_at = now
        if self._ready >= self.slots:  # otherwise nobody waits, and the rate is the clients', not ours
            kept = 0.5 ** (passed / HALF_LIFE_S)
            self._busy_s, self._served = self._busy_s * kept + passed, self._served * kept
