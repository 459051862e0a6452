"""The scenario that every client passes.

Each client's mirror program follows one account of the real server while a second client changes the mailbox. Connections
freeze, slow down and are dropped, also at random; a mirror is slow; the server is killed and stopped; the log is compacted
while the mirrors are cut off and while they are down; the mirrors are killed, also while they begin; at last the store is
made anew. In the end every mirror must hold exactly what the server lists, and the server what the mail server holds.

    pytest --log-cli-level=INFO clients/scenario --mirror python="python clients/python/examples/mirror.py" --mirror go=/tmp/mirror
"""

import logging
import shutil
import time
from pathlib import Path
from random import Random

import pytest

from clients.scenario.cast import Scenario

# A folder; all of them are several pieces of a snapshot.
_HISTORY = 1000
# The mean between two connections that are dropped at random; a mirror has one or two.
_DROP_SECONDS = 1.0
# At this pace the state takes seconds, in several pieces.
_SLOW_OCTETS_PER_SECOND = 400_000
_BEGINNINGS = 8

say = logging.getLogger("scenario").info


@pytest.mark.timeout(1200)
def test_all_clients_same_final_state_hash(scenario: Scenario, tmp_path: Path) -> None:
    the_mailbox_is_listed_while_it_is_synced(scenario)
    connections_break(scenario)
    the_server_and_the_mirrors_are_killed(scenario)
    the_log_is_compacted(scenario)
    the_mirrors_begin_again_and_again(scenario)
    the_store_is_made_anew(scenario)
    each_mirror_ends_by_itself(scenario, tmp_path)


def the_mailbox_is_listed_while_it_is_synced(scenario: Scenario) -> None:
    say("the first sync runs while the mirrors list, one of them slowly")
    scenario.mailbox.fill(_HISTORY)
    scenario.start_server()
    scenario.create_account()
    scenario.start_mirrors()
    with scenario.mirrors[0].slowed():
        scenario.settle()


def connections_break(scenario: Scenario) -> None:
    mailbox, proxy = scenario.mailbox, scenario.proxy
    say("connections freeze, then are dropped, while mail changes")
    mailbox.change(10)
    proxy.freeze()
    mailbox.change(10)
    # Its history must be read by plain calls, whose connection is frozen too.
    scenario.select("Archive", True)
    scenario.settle()
    mailbox.change(10)
    proxy.drop()
    scenario.settle()

    say("connections are dropped at random while mail changes, and one mirror is slow")
    with proxy.dropping(Random(11), _DROP_SECONDS), scenario.mirrors[-1].slowed():
        scenario.select("Archive", False)
        mailbox.change(20)
        scenario.select("Archive", True)
        mailbox.change(20)
        scenario.sync()
    scenario.settle()


def the_server_and_the_mirrors_are_killed(scenario: Scenario) -> None:
    mailbox, server = scenario.mailbox, scenario.server
    say("the server is killed in mid-watch and comes back")
    server.kill()
    mailbox.change(10)
    scenario.start_server()
    scenario.settle()

    say("the mirrors are killed and go on from their files; the server is stopped and comes back")
    scenario.kill_mirrors()
    mailbox.change(10)
    scenario.select("Archive", False)
    server.stop()
    scenario.start_server()
    scenario.start_mirrors()
    scenario.settle()


def the_log_is_compacted(scenario: Scenario) -> None:
    say("the log is compacted while the mirrors are there: nothing is lost")
    scenario.server.compact()
    scenario.mailbox.change(10)
    scenario.settle()
    assert max(scenario.told("REVISION_COMPACTED")) == 0

    say("the log is compacted while the mirrors are cut off")
    scenario.proxy.refuse(True)
    scenario.proxy.drop()
    _changes_that_no_event_tells_any_more(scenario)
    scenario.proxy.refuse(False)
    scenario.settle()
    assert min(scenario.told("REVISION_COMPACTED")) == 1

    say("the log is compacted while the mirrors are down")
    scenario.kill_mirrors()
    _changes_that_no_event_tells_any_more(scenario)
    scenario.start_mirrors()
    scenario.settle()
    assert min(scenario.told("REVISION_COMPACTED")) == 2


def _changes_that_no_event_tells_any_more(scenario: Scenario) -> None:
    scenario.mailbox.change(10)
    scenario.sync()
    scenario.server.compact()


def the_mirrors_begin_again_and_again(scenario: Scenario) -> None:
    say(
        "the mirrors begin from nothing on a slow line, cut off, killed, and their positions compacted while they do"
    )
    random = Random(13)
    with scenario.proxy.slow(_SLOW_OCTETS_PER_SECOND), scenario.proxy.dropping(random, _DROP_SECONDS):
        for beginning in range(_BEGINNINGS):
            scenario.kill_mirrors()
            # Every other time they go on from what little they had.
            if beginning % 2 == 0:
                scenario.empty_mirrors()
                scenario.server.compact()
            scenario.start_mirrors()
            scenario.mailbox.change(3)
            time.sleep(random.uniform(0.5, 3.0))
    scenario.kill_mirrors()
    scenario.start_mirrors()
    scenario.settle()


def the_store_is_made_anew(scenario: Scenario) -> None:
    say("the store is made anew: no token holds any more")
    # Mirrors must not see the moment without an account, which they would rightly report as an error.
    scenario.proxy.refuse(True)
    scenario.proxy.drop()
    scenario.server.stop()
    shutil.rmtree(scenario.server.data_dir)
    scenario.start_server()
    scenario.create_account()
    scenario.mailbox.change(10)
    scenario.proxy.refuse(False)
    scenario.settle()
    assert min(scenario.told("STORE_EPOCH_CHANGED")) > 0


def each_mirror_ends_by_itself(scenario: Scenario, directory: Path) -> None:
    say("each mirror ends by itself: from its file, and from nothing")
    expected = scenario.settle()
    scenario.kill_mirrors()
    for mirror in scenario.mirrors:
        found = [mirror.run_until_quiet(), mirror.run_until_quiet(directory / f"{mirror.name}-fresh.json")]
        assert found == [expected, expected], f"{mirror.name} says {found}, the server holds {expected}"
    say("the server and %s say %s", ", ".join(mirror.name for mirror in scenario.mirrors), expected)
