"""Hosts that change their names and addresses while they run."""

import pytest

from fg_tls.membership.keeper import Keeper
from fg_tls.pki.names import parse_names

from .household import member_id


class Called:
    """What a host is called at the moment."""

    def __init__(self, *names):
        self.now = names

    def __call__(self, *, bridges=True):
        return parse_names([*self.now, *(["172.17.0.1"] if bridges else [])])


class Laptop:
    """A member that runs a server; `asked` is how many certificates it has been given."""

    def __init__(self, household, clock):
        self.household, self.clock = household, clock
        self.store = household.member("laptop")
        self.called = Called("laptop.lan")
        self.keeper = Keeper(self.store, clock, poll=0, names=self.called)
        clock.forward(hours=4)

    def stays(self, *names, minutes=6):
        self.called.now = names
        for _ in range(2):
            self.keeper.round()
            self.clock.forward(minutes=minutes / 2)
        self.keeper.round()

    @property
    def names(self):
        return self.store.identity().certificate.names

    @property
    def issued(self):
        return len(self.household.issuer.books.member(member_id("laptop")).issued)


@pytest.fixture
def laptop(running, clock):
    return Laptop(running, clock)


def test_a_new_address_is_in_the_certificate_within_minutes(laptop):
    laptop.stays("laptop.lan", "10.0.0.5")
    assert "10.0.0.5" in laptop.names
    laptop.clock.forward(hours=4)
    laptop.stays("laptop.lan", "10.0.1.7")
    assert "10.0.1.7" in laptop.names
    assert "10.0.0.5" not in laptop.names
    assert laptop.issued == 3


def test_addresses_of_passing_networks_are_not_asked_for(laptop):
    for last in range(1, 40):
        laptop.stays("laptop.lan", f"10.0.0.{last}", minutes=4)
    assert laptop.issued == 1


def test_who_moves_all_the_time_asks_every_three_hours(laptop):
    for number in range(48):  # two addresses in turn, an hour each
        laptop.stays("laptop.lan", f"10.0.{number % 2}.5", minutes=60)
    assert 3 <= laptop.issued <= 1 + 48 / 3


def test_what_was_declined_is_not_asked_for_again(laptop):
    laptop.household.member("other")
    for _ in range(20):
        laptop.stays("laptop.lan", "other.lan", "10.0.0.5")
        laptop.clock.forward(hours=4)
    assert "10.0.0.5" in laptop.names
    assert "other.lan" not in laptop.names
    assert laptop.store.read_state()["declined"] == ["other.lan"]
    assert laptop.issued == 2


def test_a_public_address_is_no_reason_to_ask(laptop):
    laptop.stays("laptop.lan", "8.8.8.8")
    assert laptop.issued == 1


def test_names_from_config_yaml_come_by_themselves(laptop):
    laptop.store.save_settings(hostnames=["printer.lan"])
    laptop.stays("laptop.lan")
    assert "printer.lan" in laptop.names
