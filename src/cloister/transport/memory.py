"""A carrier within one process, for tests and the simulator: real envelopes, no network, faults on request.

`MemoryHub` stands for the hub: it sees exactly what a hub sees and can be told to misbehave as one might.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cloister.foundation.clock import Clock
from cloister.identity.keys import SecretKeys
from cloister.transport.carrier import Lane, NoReply, Receiver
from cloister.transport.messenger import Messenger
from cloister.transport.peers import Peers
from cloister.transport.tuning import Tuning


@dataclass
class Faults:
    """What goes wrong on the way. Chances lie between 0 and 1 and apply to each direction of each exchange.

    Attributes:
        drop: chance that a message is lost.
        duplicate: chance that a request arrives twice.
        corrupt: chance that one byte is changed.
        delay: seconds by which everything is late.
        cut: pairs of parties between which nothing passes, either way.
        seed: makes the chances repeatable.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0
    cut: set[frozenset[str]] = field(default_factory=set)
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - faults for tests, not secrets
        self._lock = threading.Lock()

    def strikes(self, chance: float) -> bool:
        """Whether a fault of this chance happens now."""
        with self._lock:
            return chance > 0 and self._random.random() < chance

    def changed(self, data: bytes) -> bytes:
        """`data` with one bit of one byte flipped."""
        with self._lock:
            at, bit = self._random.randrange(len(data)), self._random.randrange(8)
        return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]

    def partition(self, left: str, right: str) -> None:
        """Cuts two parties off from each other."""
        self.cut.add(frozenset((left, right)))

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.drop = self.duplicate = self.corrupt = self.delay = 0.0
        self.cut.clear()


class MemoryHub:
    """Connects the carriers of one process.

    Attributes:
        faults: switches, to be set at any time.
        record: if true, `seen` keeps every frame, as a curious hub would.
    """

    def __init__(self, faults: Faults | None = None, *, record: bool = False) -> None:
        self.faults = faults or Faults()
        self.record = record
        self.seen: list[tuple[str, str, bytes]] = []
        self._nodes: dict[str, MemoryCarrier] = {}
        self._watchers: list[tuple[MemoryCarrier, Callable[[str, bool], None]]] = []
        self._lock = threading.Lock()

    def carrier(self, party: str) -> MemoryCarrier:
        """A new connection for `party`."""
        return MemoryCarrier(self, party)

    def transport(
        self,
        party: str,
        keys: SecretKeys,
        peers: Peers,
        *,
        clock: Clock | None = None,
        tuning: Tuning | None = None,
    ) -> Messenger:
        """A whole transport for `party` over this hub."""
        return Messenger(self.carrier(party), party, keys, peers, clock=clock, tuning=tuning)

    def join(self, carrier: MemoryCarrier) -> None:
        """Lets a carrier take part."""
        with self._lock:
            self._nodes[carrier.party] = carrier
        self._tell(carrier.party, here=True)

    def leave(self, carrier: MemoryCarrier) -> None:
        """Takes a carrier out."""
        with self._lock:
            if self._nodes.get(carrier.party) is carrier:
                del self._nodes[carrier.party]
            self._watchers = [item for item in self._watchers if item[0] is not carrier]
        self._tell(carrier.party, here=False)

    def watch(self, carrier: MemoryCarrier, seen: Callable[[str, bool], None]) -> None:
        """Tells `seen` of everybody here, and from now on who comes and goes."""
        with self._lock:
            self._watchers.append((carrier, seen))
            here = list(self._nodes)
        for party in here:
            seen(party, True)

    def _tell(self, party: str, *, here: bool) -> None:
        with self._lock:
            watchers = [seen for _, seen in self._watchers]
        for seen in watchers:
            seen(party, here)

    def find(self, sender: str, to: str) -> MemoryCarrier | None:
        """The other end, unless it is absent or cut off."""
        if frozenset((sender, to)) in self.faults.cut:
            return None
        with self._lock:
            return self._nodes.get(to)

    def pass_on(self, sender: str, to: str, data: bytes) -> bytes | None:
        """What arrives of `data`, or nothing."""
        if self.record:
            self.seen.append((sender, to, data))
        if self.faults.delay:
            time.sleep(self.faults.delay)
        if self.faults.strikes(self.faults.drop) or frozenset((sender, to)) in self.faults.cut:
            return None
        return self.faults.changed(data) if self.faults.strikes(self.faults.corrupt) else data


class MemoryCarrier:
    """One party's end of a `MemoryHub`."""

    def __init__(self, hub: MemoryHub, party: str) -> None:
        self.party = party
        self._hub = hub
        self._receivers: dict[Lane, Receiver] = {}
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="memory-carrier")
        self._closed = threading.Event()
        self._waiting: set[threading.Event] = set()

    def exchange(self, to: str, lane: Lane, data: bytes, timeout: float) -> bytes:
        """Sends `data` and waits for the reply. Raises `NoReply`."""
        other = self._hub.find(self.party, to)
        if other is None or self._closed.is_set():
            raise NoReply(absent=True)
        arrived, box = threading.Event(), list[bytes]()

        def reply(answer: bytes) -> None:
            passed = self._hub.pass_on(to, self.party, answer)
            if passed is not None:
                box.append(passed)
                arrived.set()

        self._waiting.add(arrived)
        try:
            for _ in range(2 if self._hub.faults.strikes(self._hub.faults.duplicate) else 1):
                passed = self._hub.pass_on(self.party, to, data)
                if passed is not None:
                    other.deliver(self.party, lane, passed, reply)
            # A lost message is noticed at the timeout only, as on a real network; tests keep theirs short.
            if not arrived.wait(timeout) or not box:
                raise NoReply(absent=False)
            return box[0]
        finally:
            self._waiting.discard(arrived)

    def deliver(self, sender: str, lane: Lane, data: bytes, reply: Callable[[bytes], None]) -> None:
        """Hands over what another carrier sent."""
        receiver = self._receivers.get(lane)
        if receiver is not None and not self._closed.is_set():
            self._pool.submit(receiver, sender, data, reply)

    def receive(self, lane: Lane, receiver: Receiver) -> None:
        """Hands what arrives on `lane` to `receiver`; with both lanes set, the party counts as here."""
        self._receivers[lane] = receiver
        if len(self._receivers) == 2:
            self._hub.join(self)

    def watch(self, seen: Callable[[str, bool], None]) -> None:
        """Tells `seen` who comes and goes."""
        self._hub.watch(self, seen)

    def close(self) -> None:
        """Leaves; pending exchanges end."""
        self._closed.set()
        self._hub.leave(self)
        for waiting in list(self._waiting):
            waiting.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
