# SPDX-License-Identifier: Apache-2.0
"""The kill loop in its short form, and proof that its ledger sees each kind of broken promise."""
import os

from kill import kill_loop
from kill.ledger import Ledger, parse, value_of

PLACE = ("t", 0)
ROUNDS = 5


def story(count=4):
    """A ledger after `count` acknowledged messages, and what a faithful broker would show."""
    ledger, found = Ledger(), []
    for number in range(count):
        value = value_of("p", number, b"filler:%d" % number)
        ledger.note_sent(("p", number), PLACE)
        ledger.note_acknowledged(("p", number), PLACE, number)
        found.append((number, value))
    return ledger, found


def faults(ledger, found, committed=None):
    return ledger.check({PLACE: found}, ledger.committed_now(), {PLACE: committed})


def test_a_faithful_broker_has_no_faults():
    ledger, found = story()
    assert faults(ledger, found) == []
    assert parse(found[3][1]) == ("p", 3)


def test_a_lost_acknowledged_message_is_seen():
    ledger, found = story()
    assert "acknowledged ('p', 3)" in faults(ledger, found[:3])[0]


def test_a_message_that_stands_twice_is_seen():
    ledger, found = story()
    assert any("stands at" in f for f in faults(ledger, found + [(4, found[3][1])]))


def test_swapped_messages_are_seen():
    ledger, found = story()
    swapped = [found[0], (1, found[2][1]), (2, found[1][1]), found[3]]
    assert any("stands behind" in f for f in faults(ledger, swapped))


def test_a_torn_message_is_seen():
    ledger, found = story()
    assert any("not whole" in f for f in faults(ledger, found[:3] + [(3, found[3][1][:-1])]))


def test_a_hole_is_seen():
    ledger, found = story()
    assert "offset 2 where 1 was due" in faults(ledger, [found[0], found[2]])[0]


def test_an_invented_message_is_seen():
    ledger, found = story()
    assert any("never sent" in f for f in faults(ledger, found + [(4, value_of("p", 99, b""))]))


def test_an_unacknowledged_message_may_be_there_or_not():
    ledger, found = story()
    ledger.note_sent(("p", 4), PLACE)
    assert ledger.outstanding() == 1
    ledger.note_failed(("p", 4))
    assert ledger.outstanding() == 0
    assert faults(ledger, found) == []
    assert faults(ledger, found + [(4, value_of("p", 4, b"x"))]) == []


def test_a_message_that_a_reader_saw_and_that_is_gone_is_seen():
    ledger, found = story()
    ledger.note_sent(("p", 4), PLACE)
    ledger.note_failed(("p", 4))
    ledger.note_seen(PLACE, 4, value_of("p", 4, b"x"))
    assert "was read there before" in faults(ledger, found)[0]


def test_a_commit_that_went_back_is_seen():
    ledger, found = story()
    ledger.note_commit_tried(PLACE, 3)
    ledger.note_committed(PLACE, 3)
    assert faults(ledger, found, 3) == []
    assert "was committed" in faults(ledger, found, 2)[0]
    assert "was committed" in faults(ledger, found, None)[0]


def test_a_commit_that_nobody_made_is_seen():
    ledger, found = story()
    ledger.note_commit_tried(PLACE, 3)
    assert "nobody committed" in faults(ledger, found, 4)[0]


def test_a_broker_killed_under_load_keeps_what_it_promised(kind, tmp_path):
    loop = kill_loop.Loop(kind, tmp_path / "broker", int.from_bytes(os.urandom(4), "big"))
    assert loop.run(ROUNDS) == []
    assert len(loop.lines) == ROUNDS
