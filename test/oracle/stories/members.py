# SPDX-License-Identifier: Apache-2.0
"""Classic groups beyond the ordinary life of a member: ids that nobody used yet, types other than consumer, static members
that come back differently, who is late, who is one too many, many that leave at once, and when offsets go.
"""
from oracle.session import served, story
from oracle.stories.groups import (PROTOCOLS, beat_body, commit_body, describe, fetch_body, find, join, join_body, learn, leave_body,
                                   sync_body)

ROUND_ROBIN = [{"name": "roundrobin", "metadata": b"rr"}]


def until_state(s, group, state):
    while s.quietly("DescribeGroups", 5, {"groups": [group]})["groups"][0]["groupState"] != state:
        pass


def alone(s, group, name, version=9, **more):
    """A group of one stable member."""
    find(s, group)
    one = join(s, version, group, name, f"{name} joins", **more)
    protocol = (more.get("protocol_type", "consumer"), one["protocolName"])
    s.ask("SyncGroup", 5, sync_body(5, group, one["generationId"], one["memberId"], [(one["memberId"], b"all")], protocol=protocol,
                                    instance=more.get("instance")), f"{name} assigns")
    return one


@story
def pending_members(s):
    """An id that was given but not used yet: it is no member, may be given back, and is asked for only where it is."""
    for version in served("JoinGroup", lowest=4):
        group = f"members-pending-{version}"
        find(s, group)
        one = learn(s, s.ask("JoinGroup", version, join_body(version, group), "asks for an id"), f"pending {version}")
        me = one["memberId"]
        until_state(s, group, "Empty")  # in Kafka a group shows once what was written before it is committed
        describe(s, group, "nobody is in it")
        s.ask("Heartbeat", 4, beat_body(4, group, 0, me), "beats")
        s.ask("SyncGroup", 5, sync_body(5, group, 0, me), "syncs")
        s.ask("OffsetCommit", 9, {"groupId": group, "generationIdOrMemberEpoch": 0, "memberId": me, "groupInstanceId": None, "topics": []},
              "commits nothing")
        s.ask("JoinGroup", version, join_body(version, group, member=me, session_ms=99), "joins with a session too short")
        s.ask("JoinGroup", version, join_body(version, group, member="somebody"), "another joins with an id of its own")
        if version >= 5:
            s.ask("JoinGroup", version, join_body(version, group, member=me, instance="i"), "joins as an instance")
        leave = min(version, 5)
        s.ask("LeaveGroup", leave, leave_body(leave, group, me), "leaves")
        s.ask("LeaveGroup", leave, leave_body(leave, group, me), "leaves again")
        s.ask("JoinGroup", version, join_body(version, group, member=me), "joins after that")
        learn(s, s.ask("JoinGroup", version, join_body(version, group), "one that never comes back"), f"forgotten {version}")
        there = join(s, version, group, f"member {version}", "one that does")
        s.ask("SyncGroup", 5, sync_body(5, group, there["generationId"], there["memberId"], [(there["memberId"], b"all")]), "is assigned")
        describe(s, group, "one member")
        learn(s, s.ask("JoinGroup", version, join_body(version, group), "asks while the group is stable"), f"late {version}")
        s.ask("Heartbeat", 4, beat_body(4, group, there["generationId"], there["memberId"]), "which disturbs nobody")


@story
def pending_ids_of_a_deleted_group(s):
    group = "members-pending-deleted"
    find(s, group)
    me = learn(s, s.ask("JoinGroup", 9, join_body(9, group), "asks for an id"), "pending")["memberId"]
    s.ask("DeleteGroups", 2, {"groupsNames": [group]}, "the group is deleted")
    s.ask("JoinGroup", 9, join_body(9, group, member=me), "joins with the id")


@story
def other_types(s):
    """Groups of Kafka Connect, of schema registries, of anybody: the broker does not look into what they say."""
    topic = s.topic()
    for kind, protocols in (("connect", [{"name": "sessioned", "metadata": b"\0\1"}, {"name": "default", "metadata": b""}]),
                            ("sr", [{"name": "v0", "metadata": b'{"host":"a","port":8081}'}]),
                            ("of our own", [{"name": "", "metadata": b"\xff" * 300}])):
        for version in (0, 5, 9):
            group = f"members-{kind.replace(' ', '-')}-{version}"
            find(s, group)
            more = {"protocol_type": kind, "protocols": protocols}
            one = join(s, version, group, f"{kind} {version}", "joins", **more)
            ours = (kind, protocols[0]["name"])
            me, generation = one["memberId"], one["generationId"]
            s.ask("SyncGroup", 5, sync_body(5, group, generation, me, [(me, b"work")], protocol=("consumer", "range")), "as a consumer")
            s.ask("SyncGroup", 5, sync_body(5, group, generation, me, [(me, b"work")], protocol=ours), "is assigned")
            s.ask("OffsetCommit", 8, commit_body(s, 8, group, topic, [(0, 5)], generation, me), "commits")
            s.ask("OffsetDelete", 0, {"groupId": group, "topics": [{"name": topic, "partitions": [{"partitionIndex": 0}]}]}, "deletes an offset")
            s.ask("DescribeGroups", 6, {"groups": [group]}, "described")
            s.ask("JoinGroup", 9, join_body(9, group, protocols=PROTOCOLS), "a consumer wants to join")
            answer = s.ask("ListGroups", 5, {}, "listed")
            answer["groups"] = [g for g in answer["groups"] if g["groupId"] == group]
            s.ask("DeleteGroups", 2, {"groupsNames": [group]}, "deleted too early")
            s.ask("LeaveGroup", 5, leave_body(5, group, me), "leaves")
            s.ask("OffsetDelete", 0, {"groupId": group, "topics": [{"name": topic, "partitions": [{"partitionIndex": 0}]}]},
                  "deletes an offset of the empty group")
            join(s, 9, group, f"consumer after {kind} {version}", "a consumer in its place", protocols=PROTOCOLS)


@story
def no_protocol_type(s):
    """Null is not empty; both are refused before anything else is looked at."""
    find(s, "members-no-type")
    for version in served("JoinGroup"):
        for kind, protocols in (("", PROTOCOLS), ("consumer", []), ("", [])):
            s.ask("JoinGroup", version, join_body(version, "members-no-type", protocol_type=kind, protocols=protocols), f"type {kind!r}, {len(protocols)} protocols")


@story
def chosen_protocol(s):
    """The first that all have in common, by votes; who joins with none of them is refused."""
    group = "members-chosen"
    find(s, group)
    first, second, third = s.link(), s.link(), s.link()

    def of(*names):
        return [{"name": n, "metadata": n.encode()} for n in names]

    def members_of(answer):  # out of a map in Kafka
        answer["groups"][0]["members"].sort(key=lambda m: m["memberId"] != one["memberId"])
    one = join(s, 3, group, "one", "one", link=first, protocols=of("a", "b", "c"))
    first.ask("SyncGroup", 3, sync_body(3, group, one["generationId"], one["memberId"], [(one["memberId"], b"all")]), "is assigned")
    second.send("JoinGroup", 3, join_body(3, group, protocols=of("c", "b")))
    until_state(s, group, "PreparingRebalance")
    members_of(describe(s, group, "while it rebalances"))
    for state in ("PreparingRebalance", "preparingrebalance", "Stable"):
        answer = s.ask("ListGroups", 4, {"statesFilter": [state]}, f"listed as {state}")
        answer["groups"] = [g for g in answer["groups"] if g["groupId"] == group]
    first.ask("OffsetFetch", 7, fetch_body(s, 7, group, None), "offsets while it rebalances")
    third.ask("JoinGroup", 3, join_body(3, group, protocols=of("d")), "nothing in common")
    first.send("JoinGroup", 3, join_body(3, group, member=one["memberId"], protocols=of("a", "b", "c")))
    for link, name in ((first, "one"), (second, "two")):
        answer = learn(s, link.answer(f"{name} is in"), name)
        answer["members"].sort(key=lambda m: m["memberId"] != one["memberId"])
    members_of(describe(s, group, "before the leader has assigned"))


@story
def late_members(s):
    """Who does not join again within the rebalance timeout is out; so is a leader that never assigns."""
    for version in (1, 3, 4, 9):
        group = f"members-late-{version}"
        find(s, group)
        first, second = s.link(), s.link()
        one = join(s, version, group, f"first {version}", "the first", link=first, rebalance_ms=300)
        first.ask("SyncGroup", 3, sync_body(3, group, one["generationId"], one["memberId"], [(one["memberId"], b"all")]), "is assigned")
        two = join(s, version, group, f"second {version}", "the second comes, the first does not", link=second, rebalance_ms=300)
        first.ask("Heartbeat", 3, beat_body(3, group, one["generationId"], one["memberId"]), "the first beats")
        first.ask("OffsetCommit", 7, {"groupId": group, "generationIdOrMemberEpoch": one["generationId"], "memberId": one["memberId"],
                                      "groupInstanceId": None, "topics": []}, "the first commits nothing")
        until_state(s, group, "Empty")  # the second never assigns
        second.ask("SyncGroup", 3, sync_body(3, group, two["generationId"], two["memberId"], [(two["memberId"], b"all")]), "the second assigns, too late")


@story
def waiting_for_the_leader(s):
    """Whose sync waits when the leader goes is told to join again."""
    for version in (0, 3, 5):
        group = f"members-leaderless-{version}"
        find(s, group)
        first, second = s.link(), s.link()
        one = join(s, 3, group, f"first {version}", "the first", link=first)
        first.ask("SyncGroup", 3, sync_body(3, group, one["generationId"], one["memberId"], [(one["memberId"], b"all")]), "is assigned")
        second.send("JoinGroup", 3, join_body(3, group))
        until_state(s, group, "PreparingRebalance")
        first.send("JoinGroup", 3, join_body(3, group, member=one["memberId"]))
        a, b = first.answer(), learn(s, second.answer(), f"second {version}")
        for answer in (a, b):
            answer["members"].sort(key=lambda m: m["memberId"] != one["memberId"])
        second.send("SyncGroup", version, sync_body(version, group, b["generationId"], b["memberId"]))
        first.ask("LeaveGroup", 3, leave_body(3, group, a["memberId"]), "the leader leaves")
        second.answer("the second waited for it")
        second.ask("Heartbeat", 3, beat_body(3, group, b["generationId"], b["memberId"]), "the second beats")
        again = join(s, 3, group, f"second {version}", "the second joins again", link=second, member=b["memberId"])
        s.steps.append({"ask": "it leads now", "answer": again["leader"] == again["memberId"]})


def until_members(s, group, count):
    """Gives up at some time: then the transcript shows what is different."""
    for _ in range(2000):
        if len(s.quietly("DescribeGroups", 5, {"groups": [group]})["groups"][0]["members"]) == count:
            return


@story(group_max_size=3)
def full_groups(s):
    """group.max.size, which is 3 here; while a group rebalances those count who have joined again."""
    for version in served("JoinGroup"):
        group = f"members-full-{version}"
        find(s, group)
        links, ids, told = [s.link() for _ in range(4)], ["", "", "", ""], []

        def come(n):
            """With the id that it has, or that it must ask for first."""
            if version >= 4 and not ids[n]:
                ids[n] = learn(s, links[n].ask("JoinGroup", version, join_body(version, group), f"member {n} asks"), f"{n} {version}")["memberId"]
            links[n].send("JoinGroup", version, join_body(version, group, member=ids[n], rebalance_ms=60000, session_ms=60000))

        def heard(n, note):
            answer = learn(s, links[n].answer(f"member {n}, {note}"), f"{n} {version}")
            told.append(len(answer["members"]))
            answer["members"], ids[n] = [], answer["memberId"]
            answer["leader"] = "a member" if answer["leader"] else answer["leader"]
        come(0)
        heard(0, "the first")
        for n in (1, 2, 3):
            come(n)
            until_members(s, group, n + 1)
        newcomer = s.link()
        newcomer.ask("JoinGroup", version, join_body(version, group, member="somebody"), "with an id of its own")
        newcomer.ask("LeaveGroup", 0, leave_body(0, group, ids[0]), "the first leaves")
        for n in (1, 2, 3):
            heard(n, "when the first has left")
        s.steps.append({"ask": "how many the leaders were told of", "answer": sum(told)})
        newcomer.ask("JoinGroup", version, join_body(version, group), "when all are in")
        if version >= 5:
            newcomer.ask("JoinGroup", version, join_body(version, group, instance="i"), "as an instance")
        describe(s, group, "in the end")
        members = s.steps[-1]["answer"]["groups"][0]["members"]
        s.steps[-1]["answer"]["groups"][0]["members"] = len(members)


@story
def static_members_changed(s):
    """An instance that comes back with other protocols, as a leader, twice at once."""
    for version in served("JoinGroup", lowest=5):
        group = f"members-static-{version}"
        one = alone(s, group, f"first {version}", instance="i")
        back = learn(s, s.ask("JoinGroup", version, join_body(version, group, instance="i", protocols=PROTOCOLS[:1]), "with fewer protocols"), f"second {version}")
        s.ask("SyncGroup", 5, sync_body(5, group, back["generationId"], back["memberId"], [(back["memberId"], b"new")], instance="i"), "assigns")
        other = learn(s, s.ask("JoinGroup", version, join_body(version, group, instance="i", protocols=ROUND_ROBIN), "with another protocol"), f"third {version}")
        s.ask("SyncGroup", 5, sync_body(5, group, other["generationId"], other["memberId"], [(other["memberId"], b"newer")],
                                        protocol=("consumer", "roundrobin"), instance="i"), "assigns")
        for note, member, instance in (("a fenced id", one["memberId"], "i"), ("a fenced id without its instance", one["memberId"], None),
                                       ("the right id, without its instance", other["memberId"], None), ("an unknown instance", other["memberId"], "j")):
            generation = other["generationId"]
            s.ask("Heartbeat", 4, beat_body(4, group, generation, member, instance=instance), note)
            s.ask("SyncGroup", 5, sync_body(5, group, generation, member, protocol=("consumer", "roundrobin"), instance=instance), note)
            s.ask("OffsetCommit", 8, {"groupId": group, "generationIdOrMemberEpoch": generation, "memberId": member,
                                      "groupInstanceId": instance, "topics": []}, note)
            s.ask("JoinGroup", version, join_body(version, group, member=member, instance=instance, protocols=ROUND_ROBIN), note)
            s.ask("LeaveGroup", 4, {"groupId": group, "members": [{"memberId": member, "groupInstanceId": instance and "i"}]} if member == one["memberId"]
                  else {"groupId": group, "members": []}, note)
        describe(s, group, "in the end")


@story
def many_leave(s):
    """One request for many members, static or not, fenced or never there: each has its own outcome."""
    for version in served("LeaveGroup", lowest=3):
        group = f"members-many-{version}"
        find(s, group)
        links, ids = [s.link() for _ in range(3)], []
        one = learn(s, links[0].ask("JoinGroup", 5, join_body(5, group, instance="a", rebalance_ms=60000), "a"), f"a {version}")
        links[0].ask("SyncGroup", 5, sync_body(5, group, one["generationId"], one["memberId"], [(one["memberId"], b"all")], instance="a"), "is assigned")
        for n, name in ((1, "b"), (2, "c")):
            links[n].send("JoinGroup", 5, join_body(5, group, instance=name, rebalance_ms=60000))
            while len(s.quietly("DescribeGroups", 5, {"groups": [group]})["groups"][0]["members"]) <= n:
                pass
        links[0].send("JoinGroup", 5, join_body(5, group, member=one["memberId"], instance="a"))
        for link, name in zip(links, "abc"):
            answer = learn(s, link.answer(f"{name} is in"), f"{name} {version}")
            answer["members"].sort(key=lambda m: m["groupInstanceId"])
            ids.append(answer["memberId"])
        members = [{"memberId": ids[0], "groupInstanceId": "a"}, {"memberId": ids[0], "groupInstanceId": "b"},
                   {"memberId": "", "groupInstanceId": "b"}, {"memberId": "", "groupInstanceId": "b"},
                   {"memberId": "", "groupInstanceId": "z"}, {"memberId": "somebody", "groupInstanceId": None},
                   {"memberId": "", "groupInstanceId": None}]
        if version >= 5:
            members[0]["reason"] = "to see what happens"
        s.ask("LeaveGroup", version, {"groupId": group, "members": members}, "seven")
        links[2].ask("Heartbeat", 4, beat_body(4, group, answer["generationId"], ids[2], instance="c"), "who is left beats")
        s.ask("LeaveGroup", version, {"groupId": group, "members": [{"memberId": "", "groupInstanceId": "c"}]}, "the last")
        describe(s, group, "empty")


@story(offsets_retention_check_interval_ms=50)
def expired_offsets(s):
    """A commit that says how long it is to be kept, which versions 2 to 4 may: gone when nobody is there, kept for others."""
    topic = s.topic(partitions=2)

    def commit(version, group, partition, retention_ms, generation=-1, member=""):
        value = commit_body(s, version, group, topic, [(partition, 7)], generation, member)
        value["retentionTimeMs"] = retention_ms
        s.ask("OffsetCommit", version, value, f"partition {partition}, kept for {retention_ms}")

    def until_gone(group, partition):
        while True:
            answer = s.quietly("OffsetFetch", 7, fetch_body(s, 7, group, [(topic, [partition])]))
            if answer["topics"][0]["partitions"][0]["committedOffset"] == -1:
                return
    for version in (2, 3, 4):
        group = f"members-expiry-{version}"
        find(s, group)
        commit(version, group, 0, 86400000)
        commit(version, group, 1, 1)
        until_gone(group, 1)
        s.ask("OffsetFetch", 7, fetch_body(s, 7, group, [(topic, [0, 1])]), "one is gone")
        describe(s, group, "the group is there")
        commit(version, group, 0, 1)
        until_gone(group, 0)
        while s.quietly("DescribeGroups", 6, {"groups": [group]})["groups"][0]["errorCode"] == 0:
            pass
        s.ask("DescribeGroups", 6, {"groups": [group]}, "with its last offset the group goes")
        # In one call, since Kafka may take a group that has but a pending member for an empty one, and clear it away.
        # A member of a group that isn't stable, or not of consumers, keeps them; one that has subscribed to the topic does too.
        subscription = b"\0\0\0\0\0\x01" + len(topic).to_bytes(2, "big") + topic.encode() + b"\xff\xff\xff\xff"
        kept = f"members-kept-{version}"
        one = alone(s, kept, f"subscribed {version}", 3, protocols=[{"name": "range", "metadata": subscription}])
        working = f"members-working-{version}"
        two = alone(s, working, f"worker {version}", 3, protocol_type="connect", protocols=[{"name": "default", "metadata": b""}])
        elsewhere = f"members-elsewhere-{version}"
        other = b"\0\0\0\0\0\x01\0\x01x\xff\xff\xff\xff"
        three = alone(s, elsewhere, f"elsewhere {version}", 3, protocols=[{"name": "range", "metadata": other}])
        for name, member in ((kept, one), (working, two), (elsewhere, three)):
            commit(version, name, 0, 1, member["generationId"], member["memberId"])
        until_gone(elsewhere, 0)
        witness = f"members-witness-{version}"  # committed later and gone, so that the others have had their turn
        for _ in range(3):
            for partition in range(2):
                commit(version, witness, partition, 1)
                until_gone(witness, partition)
        for name in (kept, working, elsewhere):
            s.ask("OffsetFetch", 7, fetch_body(s, 7, name, [(topic, [0])]), f"of {name}")
