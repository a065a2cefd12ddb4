# SPDX-License-Identifier: Apache-2.0
"""The classic group protocol, member by member, and offsets: each request at every version."""
from oracle.session import served, story

PROTOCOLS = [{"name": "range", "metadata": b"r"}, {"name": "roundrobin", "metadata": b"rr"}]


def find(s, group):
    """Until the coordinator is there: the first question makes __consumer_offsets."""
    while True:
        answer = s.quietly("FindCoordinator", 4, {"keyType": 0, "coordinatorKeys": [group]})
        if answer["coordinators"][0]["errorCode"] == 0:
            break
    while True:  # and has loaded
        answer = s.quietly("OffsetFetch", 7, {"groupId": group, "topics": [], "requireStable": False})
        if answer["errorCode"] == 0:
            return


def join_body(version, group, member="", session_ms=30000, rebalance_ms=30000, protocol_type="consumer", protocols=PROTOCOLS,
              instance=None, reason=None):
    value = {"groupId": group, "sessionTimeoutMs": session_ms, "memberId": member, "protocolType": protocol_type, "protocols": protocols}
    if version >= 1:
        value["rebalanceTimeoutMs"] = rebalance_ms
    if version >= 5:
        value["groupInstanceId"] = instance
    if version >= 8:
        value["reason"] = reason
    return value


def learn(s, answer, name):
    """Gives a member's id its name in the transcript."""
    if answer and answer["memberId"]:
        s.call(answer["memberId"], name)
    return answer


def join(s, version, group, name, note, link=None, **more):
    """A whole join: asked again with the given id where the version wants that."""
    answer = learn(s, (link or s).ask("JoinGroup", version, join_body(version, group, **more), note), name)
    if answer["errorCode"] == 79:  # MEMBER_ID_REQUIRED
        answer = learn(s, (link or s).ask("JoinGroup", version, join_body(version, group, member=answer["memberId"], **more), note + ", with its id"), name)
    return answer


def sync_body(version, group, generation, member, assignments=(), protocol=("consumer", "range"), instance=None):
    value = {"groupId": group, "generationId": generation, "memberId": member,
             "assignments": [{"memberId": m, "assignment": a} for m, a in assignments]}
    if version >= 3:
        value["groupInstanceId"] = instance
    if version >= 5:
        value["protocolType"], value["protocolName"] = protocol
    return value


def beat_body(version, group, generation, member, instance=None):
    value = {"groupId": group, "generationId": generation, "memberId": member}
    if version >= 3:
        value["groupInstanceId"] = instance
    return value


def leave_body(version, group, member, instance=None):
    if version < 3:
        return {"groupId": group, "memberId": member}
    one = {"memberId": member, "groupInstanceId": instance}
    return {"groupId": group, "members": [one]}


def describe(s, group, note, version=5):
    return s.ask("DescribeGroups", version, {"groups": [group], "includeAuthorizedOperations": False}, note)


@story
def find_coordinator(s):
    find(s, "groups-find")
    for version in served("FindCoordinator"):
        def ask(note, key, kind=0):
            value = {"key": key} if version < 4 else {"coordinatorKeys": [key]}
            if version >= 1:
                value["keyType"] = kind
            s.ask("FindCoordinator", version, value, note)
        ask("a group", "groups-find")
        ask("no name", "")
        if version >= 1:
            ask("an unknown type", "x", 7)
        if version >= 4:
            s.ask("FindCoordinator", version, {"keyType": 0, "coordinatorKeys": []}, "nothing")
            s.ask("FindCoordinator", version, {"keyType": 0, "coordinatorKeys": ["b", "a", "b"]}, "three")


@story
def one_member(s):
    """Joins, is the leader, syncs, beats, leaves."""
    for join_version in served("JoinGroup"):
        group = f"groups-one-{join_version}"
        find(s, group)
        joined = join(s, join_version, group, f"member {join_version}", "the first member")
        me, generation = joined["memberId"], joined["generationId"]
        sync_version = min(join_version, 5)
        s.ask("SyncGroup", sync_version, sync_body(sync_version, group, generation, me, [(me, b"all")]), "the leader assigns")
        s.ask("SyncGroup", sync_version, sync_body(sync_version, group, generation, me), "asked again")
        beat_version = min(join_version, 4)
        s.ask("Heartbeat", beat_version, beat_body(beat_version, group, generation, me), "a beat")
        describe(s, group, "stable")
        leave_version = min(join_version, 5)
        s.ask("LeaveGroup", leave_version, leave_body(leave_version, group, me), "it leaves")
        s.ask("LeaveGroup", leave_version, leave_body(leave_version, group, me), "again")
        s.ask("Heartbeat", beat_version, beat_body(beat_version, group, generation, me), "a beat after that")
        describe(s, group, "empty")


@story
def refused_joins(s):
    for version in served("JoinGroup"):
        group = f"groups-refused-{version}"
        find(s, group)

        def ask(note, **more):
            learn(s, s.ask("JoinGroup", version, join_body(version, more.pop("group", group), **more), note), f"nobody {version} {note}")
        ask("no group", group="")
        ask("session too short", session_ms=99)
        ask("session too long", session_ms=1800001)
        ask("unknown member", member="somebody")
        ask("no protocols", protocols=[])
        ask("no protocol type", protocol_type="")
        if version >= 5:
            ask("an unknown member with an instance", member="somebody", instance="i")
        joined = join(s, version, group, f"member {version}", "a good one")
        s.ask("SyncGroup", 5, sync_body(5, group, joined["generationId"], joined["memberId"], [(joined["memberId"], b"")]))
        ask("another type", protocol_type="connect")
        ask("no protocol in common", protocols=[{"name": "sticky", "metadata": b""}])
        ask("an unknown member", member="somebody")


@story
def refused_syncs(s):
    for version in served("SyncGroup"):
        group = f"groups-syncs-{version}"
        find(s, group)

        def ask(note, *args, **more):
            s.ask("SyncGroup", version, sync_body(version, *args, **more), note)
        ask("no such group", group, 1, "somebody")
        joined = join(s, 9, group, f"member {version}", "a member")
        me, generation = joined["memberId"], joined["generationId"]
        ask("no group", "", 1, me)
        ask("unknown member", group, generation, "somebody")
        ask("wrong generation", group, generation + 1, me)
        ask("generation -1", group, -1, me)
        if version >= 5:
            ask("another type", group, generation, me, protocol=("connect", "range"))
            ask("another protocol", group, generation, me, protocol=("consumer", "sticky"))
            ask("no protocol", group, generation, me, protocol=(None, None))
        if version >= 3:
            ask("an unknown instance", group, generation, me, instance="i")
        ask("assignment for a stranger", group, generation, me, [("somebody", b"x")])
        describe(s, group, "now")


@story
def refused_beats(s):
    for version in served("Heartbeat"):
        group = f"groups-beats-{version}"
        find(s, group)

        def ask(note, *args, **more):
            s.ask("Heartbeat", version, beat_body(version, *args, **more), note)
        ask("no such group", group, 1, "somebody")
        joined = join(s, 9, group, f"member {version}", "a member")
        me, generation = joined["memberId"], joined["generationId"]
        ask("before the sync", group, generation, me)
        s.ask("SyncGroup", 5, sync_body(5, group, generation, me, [(me, b"all")]))
        ask("no group", "", generation, me)
        ask("no member", group, generation, "")
        ask("unknown member", group, generation, "somebody")
        ask("wrong generation", group, generation + 1, me)
        if version >= 3:
            ask("an unknown instance", group, generation, me, instance="i")
        ask("well", group, generation, me)


@story
def two_members(s):
    """The second one's join makes the first join again; the leader assigns for both; one leaves."""
    for version in served("JoinGroup"):
        group = f"groups-two-{version}"
        find(s, group)
        first, second = s.link(), s.link()
        one = join(s, version, group, f"first {version}", "the first", link=first)
        sync = min(version, 5)
        first.ask("SyncGroup", sync, sync_body(sync, group, one["generationId"], one["memberId"], [(one["memberId"], b"all")]), "the first assigns")
        body = join_body(version, group)
        two_id = ""
        if version >= 4:
            two_id = learn(s, second.ask("JoinGroup", version, body, "the second"), f"second {version}")["memberId"]
            body = join_body(version, group, member=two_id)
        second.send("JoinGroup", version, body)
        while first.ask("Heartbeat", 4, beat_body(4, group, one["generationId"], one["memberId"]))["errorCode"] == 0:
            s.steps.pop()  # until it hears of the rebalance
        first.send("JoinGroup", version, join_body(version, group, member=one["memberId"]))
        a = first.answer("the first joins again")
        b = learn(s, second.answer("the second has joined"), f"second {version}")
        for answer in (a, b):
            answer["members"].sort(key=lambda m: m["memberId"] != one["memberId"])
        second.send("SyncGroup", sync, sync_body(sync, group, b["generationId"], b["memberId"]))
        leads = a["leader"] == a["memberId"]
        s.steps.append({"ask": "the first still leads", "answer": leads})
        first.ask("SyncGroup", sync, sync_body(sync, group, a["generationId"], a["memberId"], [(a["memberId"], b"half"), (b["memberId"], b"other half")]), "the leader assigns")
        second.answer("the second is assigned")
        leave = min(version, 5)
        second.ask("LeaveGroup", leave, leave_body(leave, group, b["memberId"]), "the second leaves")
        first.ask("Heartbeat", 4, beat_body(4, group, a["generationId"], a["memberId"]), "the first hears of it")
        first.ask("LeaveGroup", leave, leave_body(leave, group, a["memberId"]), "the first leaves")


@story
def static_member(s):
    """A known instance comes back with a new member id: no rebalance; the old id is fenced (KIP-345)."""
    for version in served("JoinGroup", lowest=5):
        group = f"groups-static-{version}"
        find(s, group)
        one = learn(s, s.ask("JoinGroup", version, join_body(version, group, instance="i"), "joins"), f"first {version}")
        s.ask("SyncGroup", 5, sync_body(5, group, one["generationId"], one["memberId"], [(one["memberId"], b"all")], instance="i"))
        again = learn(s, s.ask("JoinGroup", version, join_body(version, group, instance="i"), "comes back"), f"second {version}")
        s.ask("SyncGroup", 5, sync_body(5, group, again["generationId"], again["memberId"], instance="i"), "gets what it had")
        s.ask("Heartbeat", 4, beat_body(4, group, one["generationId"], one["memberId"], instance="i"), "the old id beats")
        s.ask("Heartbeat", 4, beat_body(4, group, again["generationId"], again["memberId"], instance="i"), "the new id beats")
        s.ask("Heartbeat", 4, beat_body(4, group, again["generationId"], again["memberId"], instance="j"), "an instance that is not there")
        s.ask("JoinGroup", version, join_body(version, group, member=one["memberId"], instance="i"), "the old id joins")
        describe(s, group, "with its instance")
        s.ask("LeaveGroup", 5, leave_body(5, group, "", instance="i"), "removed by its instance")
        s.ask("LeaveGroup", 5, leave_body(5, group, "", instance="i"), "again")


@story
def leaving(s):
    for version in served("LeaveGroup"):
        group = f"groups-leaving-{version}"
        find(s, group)
        s.ask("LeaveGroup", version, leave_body(version, group, "somebody"), "no such group")
        s.ask("LeaveGroup", version, leave_body(version, "", "somebody"), "no group")
        joined = join(s, 9, group, f"member {version}", "a member")
        s.ask("LeaveGroup", version, leave_body(version, group, "somebody"), "unknown member")
        if version >= 3:
            members = [{"memberId": "somebody", "groupInstanceId": None}, {"memberId": joined["memberId"], "groupInstanceId": None},
                       {"memberId": "", "groupInstanceId": "i"}]
            s.ask("LeaveGroup", version, {"groupId": group, "members": members}, "three at once")
            s.ask("LeaveGroup", version, {"groupId": group, "members": []}, "nobody")
        else:
            s.ask("LeaveGroup", version, leave_body(version, group, joined["memberId"]), "it leaves")


def topic_key(s, version, topic, by_id_from):
    return {"topicId": s.topic_ids.get(topic, topic)} if version >= by_id_from else {"name": topic}


def commit_body(s, version, group, topic, offsets, generation=-1, member="", instance=None, metadata="m"):
    """`offsets`: (partition, offset) each"""
    parts = []
    for partition, offset in offsets:
        one = {"partitionIndex": partition, "committedOffset": offset, "committedMetadata": metadata}
        if version >= 6:
            one["committedLeaderEpoch"] = 0
        parts.append(one)
    value = {"groupId": group, "generationIdOrMemberEpoch": generation, "memberId": member,
             "topics": [{**topic_key(s, version, topic, 10), "partitions": parts}]}
    if version <= 4:
        value["retentionTimeMs"] = -1
    if version >= 7:
        value["groupInstanceId"] = instance
    return value


def fetch_body(s, version, group, topics, stable=False):
    """`topics`: [(name, [partition...])...] or None for all"""
    if version >= 8:
        asked = topics and [{**topic_key(s, version, t, 10), "partitionIndexes": p} for t, p in topics]
        one = {"groupId": group, "topics": asked}
        if version >= 9:
            one.update(memberId=None, memberEpoch=-1)
        return {"groups": [one], "requireStable": stable}
    value = {"groupId": group, "topics": topics and [{"name": t, "partitionIndexes": p} for t, p in topics]}
    if version >= 7:
        value["requireStable"] = stable
    return value


@story
def offsets(s):
    topic = s.topic(partitions=3)
    for version in served("OffsetCommit"):
        group = f"groups-offsets-{version}"
        find(s, group)
        s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(0, 5), (2, 7)]), "two, without a member")
        s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(0, 6)], metadata=None), "without metadata")
        s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(1, 1)], metadata="x" * 4097), "too much metadata")
        s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(3, 1), (-1, 1), (1, 9)]), "partitions that are not there")
        unknown = "AAAAAAAAAAAAAAAAAAAABQ" if version >= 10 else "oracle-no-such-topic"
        s.ask("OffsetCommit", version, commit_body(s, version, group, unknown, [(0, 1)]), "no such topic")
        s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(0, -5)]), "a negative offset")
        s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(0, 1)], generation=3), "a generation without a member")
        s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(0, 1)], generation=3, member="somebody"), "an unknown member")
        s.ask("OffsetCommit", version, commit_body(s, version, "", topic, [(0, 1)]), "no group")
        for fetch_version in served("OffsetFetch"):
            if fetch_version not in (1, 7, 8, 10) and version != 9:
                continue
            s.ask("OffsetFetch", fetch_version, fetch_body(s, fetch_version, group, [(topic, [0, 1, 2, 5])]), "by partition")
            if fetch_version >= 2:
                answer = s.ask("OffsetFetch", fetch_version, fetch_body(s, fetch_version, group, None), "all")
                for one in answer.get("topics") or answer["groups"][0]["topics"]:
                    one["partitions"].sort(key=lambda p: p["partitionIndex"])
            s.ask("OffsetFetch", fetch_version, fetch_body(s, fetch_version, "groups-nobody", [(topic, [0])]), "a group that is not there")
            s.ask("OffsetFetch", fetch_version, fetch_body(s, fetch_version, "", [(topic, [0])]), "no group")
            s.ask("OffsetFetch", fetch_version, fetch_body(s, fetch_version, group, []), "no topic")


@story
def offsets_of_members(s):
    topic = s.topic()
    for version in served("OffsetCommit"):
        group = f"groups-committing-{version}"
        find(s, group)
        joined = join(s, 9, group, f"member {version}", "a member")
        me, generation = joined["memberId"], joined["generationId"]

        def ask(note, *args, **more):
            s.ask("OffsetCommit", version, commit_body(s, version, group, topic, [(0, 5)], *args, **more), note)
        ask("before the sync", generation, me)
        s.ask("SyncGroup", 5, sync_body(5, group, generation, me, [(me, b"all")]))
        ask("well", generation, me)
        ask("wrong generation", generation + 1, me)
        ask("unknown member", generation, "somebody")
        ask("without a member", -1, "")
        if version >= 7:
            ask("an unknown instance", generation, me, instance="i")


@story
def several_groups(s):
    topic = s.topic()
    for name in "ab":
        find(s, f"groups-several-{name}")
        s.ask("OffsetCommit", 8, commit_body(s, 8, f"groups-several-{name}", topic, [(0, 5)]))
    for version in served("OffsetFetch", lowest=8):
        groups = [fetch_body(s, version, g, t)["groups"][0] for g, t in (("groups-several-a", [(topic, [0])]), ("groups-nobody", [(topic, [0])]),
                                                                       ("groups-several-b", None), ("groups-several-a", None))]
        s.ask("OffsetFetch", version, {"groups": groups, "requireStable": True}, "four")


@story
def described(s):
    find(s, "groups-described")
    member = join(s, 9, "groups-described", "member", "a member")
    for version in served("DescribeGroups"):
        def ask(note, names, **more):
            answer = s.ask("DescribeGroups", version, {"groups": names, **more}, note)
            answer["groups"].sort(key=lambda g: g["groupId"])  # a map's order
        ask("waits for the sync", ["groups-described"])
        ask("nobody", ["groups-nobody"])
        ask("no name", [""])
        ask("several", ["groups-nobody", "groups-described"])
        ask("nothing", [])
        if version >= 3:
            ask("with operations", ["groups-described", "groups-nobody"], includeAuthorizedOperations=True)
    s.ask("SyncGroup", 5, sync_body(5, "groups-described", member["generationId"], member["memberId"], [(member["memberId"], b"all")]))
    for version in served("DescribeGroups"):
        s.ask("DescribeGroups", version, {"groups": ["groups-described"]}, "stable")


@story
def listed(s):
    for name in ("groups-listed-a", "groups-listed-b"):
        find(s, name)
    join(s, 9, "groups-listed-a", "member", "a member")
    topic = s.topic()
    s.ask("OffsetCommit", 8, commit_body(s, 8, "groups-listed-b", topic, [(0, 5)]))
    for version in served("ListGroups"):
        def ask(note, **more):
            answer = s.ask("ListGroups", version, more, note)
            if answer:
                answer["groups"] = sorted((g for g in answer["groups"] if g["groupId"].startswith("groups-listed")), key=lambda g: g["groupId"])
        ask("all")
        if version >= 4:
            for state in ("Stable", "Empty", "CompletingRebalance", "completingrebalance", "Dead", "Nonsense"):
                ask(f"state {state}", statesFilter=[state])
        if version >= 5:
            for kind in ("classic", "Classic", "consumer", "nonsense"):
                ask(f"type {kind}", typesFilter=[kind])
            ask("state and type", statesFilter=["Empty"], typesFilter=["classic"])


@story
def deleted(s):
    topic = s.topic()
    for version in served("DeleteGroups"):
        empty, busy = f"groups-deleted-{version}", f"groups-busy-{version}"
        find(s, empty)
        find(s, busy)
        s.ask("OffsetCommit", 8, commit_body(s, 8, empty, topic, [(0, 5)]))
        join(s, 9, busy, f"member {version}", "a member")
        answer = s.ask("DeleteGroups", version, {"groupsNames": [empty, busy, "groups-nobody", ""]}, "four")
        answer["results"].sort(key=lambda r: r["groupId"])
        s.ask("DeleteGroups", version, {"groupsNames": [empty]}, "again")
        s.ask("DeleteGroups", version, {"groupsNames": []}, "nothing")
        s.ask("OffsetFetch", 7, fetch_body(s, 7, empty, None), "its offsets are gone")


@story
def offsets_deleted(s):
    topic = s.topic(partitions=2)
    find(s, "groups-offset-delete")

    def ask(note, group, name, partitions):
        s.ask("OffsetDelete", 0, {"groupId": group, "topics": [{"name": name, "partitions": [{"partitionIndex": p} for p in partitions]}]}, note)
    ask("no such group", "groups-nobody", topic, [0])
    s.ask("OffsetCommit", 8, commit_body(s, 8, "groups-offset-delete", topic, [(0, 5), (1, 6)]))
    ask("one", "groups-offset-delete", topic, [0])
    ask("again, and one that is not there", "groups-offset-delete", topic, [0, 9])
    ask("no such topic", "groups-offset-delete", "oracle-no-such-topic", [0])
    ask("no group", "", topic, [0])
    s.ask("OffsetFetch", 7, fetch_body(s, 7, "groups-offset-delete", None), "what is left")
    metadata = b"\0\0\0\0\0\x01" + len(topic).to_bytes(2, "big") + topic.encode() + b"\xff\xff\xff\xff"
    joined = join(s, 9, "groups-offset-delete", "member", "a member that is subscribed", protocols=[{"name": "range", "metadata": metadata}])
    s.ask("SyncGroup", 5, sync_body(5, "groups-offset-delete", joined["generationId"], joined["memberId"], [(joined["memberId"], b"")]))
    ask("of a subscribed topic", "groups-offset-delete", topic, [1])


@story
def session_ends(s):
    """Who does not beat is taken out; the next one finds the group empty."""
    group = "groups-session"
    find(s, group)
    link = s.link()
    join(s, 9, group, "member", "a member with a short session", link=link, session_ms=100, rebalance_ms=100)
    while True:
        answer = s.quietly("DescribeGroups", 5, {"groups": [group]})
        if answer["groups"][0]["groupState"] == "Empty":
            break
    describe(s, group, "empty again")
    join(s, 9, group, "another", "a new member")
