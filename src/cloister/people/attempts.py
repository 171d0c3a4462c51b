"""How often somebody may try to sign in: slow for a guesser, hardly felt by whoever mistypes.

Rules:
1. A try is counted as a failure before it is looked at, by the name it is for and by the address it comes from (of IPv6 the first
   64 bits: one line has all the rest), so that many at once are no way around the pace. Names without an account count alike.
2. After `FREE` failures of a name, or `FREE_ADDRESS` of an address, each further one doubles the wait, up to `MOST` seconds.
   A success clears the name's count and takes its own try off the address's.
3. The wait holds for wrong and right passwords alike, and is told.
4. This machine's own address is not counted: behind a proxy everybody comes from it, and one guesser would keep out all.
5. So many names without an account and addresses are remembered; the oldest go first, so that nobody fills the memory. What is
   remembered of an account does not go, so that nobody clears it by filling the memory.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

FREE = 5
FREE_ADDRESS = 20
MOST = 15 * 60
FORGOTTEN = 24 * 3600
REMEMBERED = 10_000


@dataclass(frozen=True)
class Failures:
    """How many in a row, and when the last was (seconds)."""

    count: int = 0
    at: float = 0.0

    def wait(self, now: float, free: int, most: float) -> float:
        """Seconds until the next try is looked at."""
        if self.count < free:
            return 0.0
        return max(0.0, self.at + min(most, 2.0 ** min(self.count - free, 20)) - now)


class Attempts:
    """Counts failures by name and by address. Callers hold their own lock.

    Args:
        most: the longest wait in seconds.
    """

    def __init__(self, most: float = MOST) -> None:
        self._most = most
        self._accounts: dict[str, Failures] = {}
        self._names: OrderedDict[str, Failures] = OrderedDict()
        self._addresses: OrderedDict[str, Failures] = OrderedDict()

    def begin(self, name: str | None, address: str, now: float, *, known: bool = False) -> float:
        """Counts a try, unless one has to wait; returns the seconds to wait, 0 if the try is to be looked at.

        Args:
            name: whom it is for, or `None` where a try is not for a name (a passkey tells whose it is).
            address: where it comes from.
            now: seconds of a clock that never goes back.
            known: whether there is an account of that name (rule 5).
        """
        place, who = _network(address), None if name is None else name[:256]
        of_name = Failures() if who is None else _recent(self._kept(known).get(who), now)
        of_address = Failures() if place is None else _recent(self._addresses.get(place), now)
        wait = max(of_name.wait(now, FREE, self._most), of_address.wait(now, FREE_ADDRESS, self._most))
        if wait:
            return wait
        if who is not None:
            kept = self._kept(known)
            kept.pop(who, None)  # so that it is the newest
            kept[who] = Failures(of_name.count + 1, now)
        if place is not None:
            self._addresses[place] = Failures(of_address.count + 1, now)
            self._addresses.move_to_end(place)
        for bounded in (self._names, self._addresses):
            while len(bounded) > REMEMBERED:
                bounded.popitem(last=False)
        return 0.0

    def succeeded(self, name: str | None, address: str) -> None:
        """Forgets a name's failures, and this try of its address (rule 2)."""
        if name is not None:
            self._accounts.pop(name[:256], None)
        place = _network(address)
        if place is not None and (found := self._addresses.get(place)) is not None:
            self._addresses[place] = Failures(max(0, found.count - 1), found.at)

    def _kept(self, known: bool) -> dict[str, Failures]:
        return self._accounts if known else self._names


def _recent(found: Failures | None, now: float) -> Failures:
    return found if found is not None and now - found.at < FORGOTTEN else Failures()


def _network(address: str) -> str | None:
    """What is counted of an address; nothing of this machine's own (rule 4)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:256]
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))
