"""A year in the life of a household, day by day: real certificates, real handshakes, and hosts that are often off."""

import random
from contextlib import ExitStack
from dataclasses import dataclass, field

from fg_tls import TlsError
from fg_tls.issuing.revoking import revoke
from fg_tls.issuing.rotation import rotate
from fg_tls.membership.keeper import Keeper
from fg_tls.membership.renewal import due, renew

from .household import Host as Programs
from .household import Household, talk

SLACK = 8  # days at least, from when a certificate is due to when it runs out


@dataclass(kw_only=True)
class Happened:
    """What was counted, and every refusal that should not have been or did not come."""

    handshakes: int = 0
    renewals: int = 0
    refused: int = 0  # of the revoked host
    expired: int = 0  # refused because a certificate had run out and could not be renewed yet
    wrong: list[str] = field(default_factory=list)


class Year:
    """`hosts` members besides the authority's host; the last one is revoked half way, the first one is off for long.

    Keepers fetch bulletins every `every` days, and whenever their host is turned on; what is due they try every day. A
    certificate may only run out where no issuer could be reached: its host has slept, or the issuer was off for long.
    """

    def __init__(self, directory, clock, *, days, hosts, seed, every):
        self.clock = clock
        self.days = days
        self.every = every
        self.random = random.Random(seed)
        self.household = Household(directory, clock)
        with self.household.issuing():
            self.stores = [self.household.member(f"host{n}") for n in range(hosts)]
        self.stolen = len(self.stores) - 1
        self.off_until = [0] * hosts
        self.kept_up = [False] * hosts  # whether there was a whole round since the host was turned on
        self.away = 0  # days for which the issuer has been off
        self.keepers = [Keeper(each, clock, poll=0) for each in self.stores]
        self.programs = [Programs(each, clock) for each in (self.household.store, *self.stores)]
        self.happened = Happened()
        self.serials = {self.household.store: 0, **dict.fromkeys(self.stores, 0)}

    def live(self):
        """Live through it."""
        with ExitStack() as stack:
            issuer = None
            for day in range(self.days):
                on = not self._authority_off(day)
                if on and issuer is None:
                    issuer = stack.enter_context(ExitStack())
                    issuer.enter_context(self.household.issuing())
                if not on and issuer is not None:
                    issuer.close()
                    issuer = None
                self._day(day, authority_on=on)
        return self.happened

    def _authority_off(self, day):
        """Three weeks in the first third of the year, which is longer than what is left of any certificate."""
        return self.days // 6 <= day < self.days // 6 + 21

    def _day(self, day, *, authority_on):
        self.clock.forward(days=1)
        self.away = 0 if authority_on else self.away + 1
        on = [n for n in range(len(self.stores)) if self._is_on(n, day)]
        if authority_on:
            if day == self.days // 2:
                renew(self.stores[self.stolen], self.clock)  # so that there is a fresh certificate to refuse
                revoke(self.household.store, f"host{self.stolen}", self.clock)
                rotate(self.household.store, self.clock)
            Keeper(self.household.store, self.clock).round()
        for n in on:
            if self._has_to_do(n, day) or day == self.days // 2 or (day + n) % self.every == 0:
                self._keep(n, day, authority_on=authority_on)
        for n in set(range(len(self.stores))) - set(on):
            self.kept_up[n] = False
        self._talk(day, [0, *(n + 1 for n in on)] if authority_on else [n + 1 for n in on])

    def _is_on(self, n, day):
        """Mostly on, off for hours to weeks at random; host 0 sleeps through the change of authorities."""
        if n == 0 and self.days // 2 - 20 <= day < self.days // 2 + 50:
            return False
        if n == self.stolen and day >= self.days // 2:
            return True
        if day < self.off_until[n]:
            return False
        if self.random.random() < 0.06:
            self.off_until[n] = day + self.random.randint(1, 18)
            return False
        return True

    def _has_to_do(self, n, day):
        """Whether it has had no whole round since it was turned on, or its certificate is due."""
        if self._is_revoked(n, day):
            return False  # whatever it tries
        return not self.kept_up[n] or due(self.stores[n].identity(), self.clock())

    def _is_revoked(self, n, day):
        return n == self.stolen and day >= self.days // 2

    def _keep(self, n, day, *, authority_on):
        store = self.stores[n]
        try:
            self.keepers[n].round()
            self.kept_up[n] = True
        except TlsError as error:
            if authority_on and not self._is_revoked(n, day):
                self.happened.wrong.append(f"day {day}: host{n} could not renew: {error}")
        serial = store.identity().certificate.serial
        self.happened.renewals += serial != self.serials[store]
        self.serials[store] = serial

    def _talk(self, day, on):
        for one in on:
            for other in self.random.sample(on, min(2 if self.every == 1 else 1, len(on))):
                if one != other:
                    self._expect(day, one, other, talk(self.programs[one], self.programs[other]))

    def _expect(self, day, one, other, refusal):
        self.happened.handshakes += 1
        revoked = self._is_revoked(one - 1, day) or self._is_revoked(other - 1, day)
        expired = [n for n in (one, other) if not self._is_revoked(n - 1, day) and not self._holds(n)]
        self.happened.refused += revoked
        self.happened.expired += bool(expired) and not revoked
        if (revoked or bool(expired)) == (refusal is None):
            self.happened.wrong.append(f"day {day}: host {one} to {other}: {refusal or 'admitted'}")
        for n in expired:
            if n == 0 or (self.kept_up[n - 1] and self.away <= SLACK):
                self.happened.wrong.append(f"day {day}: the certificate of host {n} ran out for no reason")

    def _holds(self, n):
        return self.programs[n].store.identity().certificate.valid_at(self.clock())
