# SPDX-License-Identifier: Apache-2.0
"""DescribeConfigs, IncrementalAlterConfigs, AlterConfigs, ListConfigResources: settings of topics, brokers and the rest."""
import pathlib

from oracle.session import served, story

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
# Settings of a broker that say where it runs or how it was started: the two brokers are not started alike.
OF_THE_PLACE = {"log.dirs", "log.dir", "metadata.log.dir", "listeners", "advertised.listeners", "controller.quorum.voters",
                "controller.quorum.bootstrap.servers", "listener.security.protocol.map", "inter.broker.listener.name",
                "controller.listener.names", "process.roles", "node.id", "broker.id"}


def describe(s, version, resources, note, **more):
    """Entries come out of a map in Kafka, so here they are put in order; documentation is in our own words."""
    asked = [{"resourceType": kind, "resourceName": name, "configurationKeys": keys} for kind, name, keys in resources]
    answer = s.ask("DescribeConfigs", version, {"resources": asked, **more}, note)
    for result in (answer or {}).get("results", ()):
        result["configs"].sort(key=lambda c: c["name"])
        for one in result["configs"]:
            if "documentation" in one:
                one["documentation"] = "some" if one["documentation"] else one["documentation"]
    return answer


@story
def of_a_topic(s):
    topic = s.topic(retention_ms=12345, cleanup_policy="compact,delete", min_insync_replicas=1)
    for version in served("DescribeConfigs"):
        for synonyms in (False, True):
            describe(s, version, [(TOPIC, topic, None)], f"all, synonyms {synonyms}", includeSynonyms=synonyms)
        keys = ["retention.ms", "no.such.config", "segment.bytes", "retention.ms"]
        describe(s, version, [(TOPIC, topic, keys)], "some keys")
        describe(s, version, [(TOPIC, topic, [])], "an empty list of keys")
        describe(s, version, [(TOPIC, "oracle-no-such-topic", None), (TOPIC, topic, ["retention.ms"])], "no such topic, and one")
        describe(s, version, [(TOPIC, "bad name", None)], "a bad name")
        describe(s, version, [(TOPIC, "", None)], "no name")
        if version >= 3:
            describe(s, version, [(TOPIC, topic, None)], "with documentation", includeDocumentation=True)


def place_is_apart(answer):
    for result in answer["results"]:
        result["configs"] = [c for c in result["configs"] if c["name"] not in OF_THE_PLACE and not c["name"].startswith("ottla.")]


@story
def of_a_broker(s):
    for version in served("DescribeConfigs"):
        for synonyms in (False, True):
            place_is_apart(describe(s, version, [(BROKER, "1", None)], f"all, synonyms {synonyms}", includeSynonyms=synonyms))
        describe(s, version, [(BROKER, "", None)], "the cluster's defaults", includeSynonyms=True)
        for name in ("2", "x", "1x", "-1", " 1", "+1"):
            describe(s, version, [(BROKER, name, ["num.io.threads"])], f"broker {name!r}")
    place_is_apart(describe(s, 4, [(BROKER, "1", None)], "with documentation", includeDocumentation=True))


@story
def of_others(s):
    for version in served("DescribeConfigs"):
        for kind in (0, 1, 3, 64, -1):
            link = s.link()
            link.ask("DescribeConfigs", version, {"resources": [{"resourceType": kind, "resourceName": "x", "configurationKeys": None}]}, f"type {kind}")
            s.links.pop().close()
        for name in ("", "2", "x"):  # of broker 1 each has its own loggers
            describe(s, version, [(LOGGER, name, None)], f"loggers of {name!r}")
        describe(s, version, [(METRICS, "", None)], "client metrics without a name")
        describe(s, version, [(METRICS, "nobody", None)], "client metrics of nobody")
        describe(s, version, [(GROUP, "", None)], "a group without a name")
        for synonyms in (False, True):
            describe(s, version, [(GROUP, "nobody", None)], f"a group, synonyms {synonyms}", includeSynonyms=synonyms)
        s.ask("DescribeConfigs", version, {"resources": []}, "nothing")


SET, DELETE, APPEND, SUBTRACT = range(4)


def alter(s, version, note, *resources, validate=False):
    s.ask("IncrementalAlterConfigs", version, {"validateOnly": validate, "resources": [{
        "resourceType": kind, "resourceName": name, "configs": [{"name": k, "configOperation": op, "value": v} for k, op, v in changes]}
        for kind, name, changes in resources]}, note)


def settled(s, kind, name, keys, note, **wanted):
    """A change is in the metadata when its answer comes, and in effect a moment later: asked until these are the values."""
    for tries_left in reversed(range(200)):
        before = len(s.steps)
        answer = describe(s, 4, [(kind, name, keys)], note, includeSynonyms=True)
        values = {one["name"].replace(".", "_"): one["value"] for one in answer["results"][0]["configs"]}
        if tries_left == 0 or all(values.get(key) == value for key, value in wanted.items()):
            return
        del s.steps[before:]


@story
def changed_in_parts(s):
    for version in served("IncrementalAlterConfigs"):
        topic = s.topic(f"configs-changed-{version}")
        alter(s, version, "set", (TOPIC, topic, [("retention.ms", SET, "1000")]))
        alter(s, version, "only looked at", (TOPIC, topic, [("retention.ms", SET, "2000")]), validate=True)
        alter(s, version, "appended", (TOPIC, topic, [("cleanup.policy", APPEND, "compact")]))
        alter(s, version, "appended again", (TOPIC, topic, [("cleanup.policy", APPEND, "compact")]))
        alter(s, version, "subtracted", (TOPIC, topic, [("cleanup.policy", SUBTRACT, "delete")]))
        alter(s, version, "subtracted what is not there", (TOPIC, topic, [("cleanup.policy", SUBTRACT, "delete")]))
        alter(s, version, "appended to what is no list", (TOPIC, topic, [("retention.ms", APPEND, "5")]))
        alter(s, version, "subtracted from what is no list", (TOPIC, topic, [("retention.ms", SUBTRACT, "5")]))
        alter(s, version, "deleted what is not set", (TOPIC, topic, [("segment.bytes", DELETE, None)]))
        alter(s, version, "twice the same key", (TOPIC, topic, [("retention.ms", SET, "1"), ("retention.ms", SET, "2")]))
        alter(s, version, "twice the same topic", (TOPIC, topic, [("retention.ms", SET, "1")]), (TOPIC, topic, [("retention.ms", SET, "2")]))
        alter(s, version, "unknown key", (TOPIC, topic, [("no.such.config", SET, "1")]))
        alter(s, version, "bad value", (TOPIC, topic, [("retention.ms", SET, "soon")]))
        alter(s, version, "null", (TOPIC, topic, [("retention.ms", SET, None)]))
        alter(s, version, "empty key", (TOPIC, topic, [("", SET, "1")]))
        alter(s, version, "no changes", (TOPIC, topic, []))
        alter(s, version, "no such topic", (TOPIC, "oracle-no-such-topic", [("retention.ms", SET, "1")]))
        alter(s, version, "one good, one bad", (TOPIC, topic, [("retention.ms", SET, "77")]), (TOPIC, "bad name", [("retention.ms", SET, "1")]))
        alter(s, version, "an unknown type", (3, "x", [("a", SET, "1")]))
        alter(s, version, "nothing")
        settled(s, TOPIC, topic, ["retention.ms", "cleanup.policy"], "what is set now", retention_ms="77")


@story
def changed_as_a_whole(s):
    for version in served("AlterConfigs"):
        topic = s.topic(f"configs-whole-{version}", segment_ms=9999999)

        def ask(note, *resources, validate=False):
            s.ask("AlterConfigs", version, {"validateOnly": validate, "resources": [{
                "resourceType": kind, "resourceName": name, "configs": [{"name": k, "value": v} for k, v in changes]}
                for kind, name, changes in resources]}, note)
        ask("set", (TOPIC, topic, [("retention.ms", "1000")]))
        settled(s, TOPIC, topic, ["retention.ms", "segment.ms"], "what was set before is gone", retention_ms="1000", segment_ms="604800000")
        ask("only looked at", (TOPIC, topic, []), validate=True)
        ask("bad value", (TOPIC, topic, [("retention.ms", "soon")]))
        ask("null", (TOPIC, topic, [("retention.ms", None)]))
        ask("unknown key", (TOPIC, topic, [("no.such.config", "1")]))
        ask("no such topic", (TOPIC, "oracle-no-such-topic", [("retention.ms", "1")]))
        ask("all taken back", (TOPIC, topic, []))
        settled(s, TOPIC, topic, ["retention.ms", "segment.ms"], "nothing is set", retention_ms="604800000")


@story
def of_brokers_changed(s):
    version = 1
    alter(s, version, "the cluster's default", (BROKER, "", [("log.retention.ms", SET, "7777777")]))
    alter(s, version, "this broker", (BROKER, "1", [("log.cleaner.threads", SET, "2")]))
    alter(s, version, "another broker", (BROKER, "2", [("log.cleaner.threads", SET, "2")]))
    alter(s, version, "no broker", (BROKER, "x", [("log.cleaner.threads", SET, "2")]))
    alter(s, version, "read only", (BROKER, "1", [("broker.rack", SET, "r")]))
    alter(s, version, "a setting for one broker as default", (BROKER, "", [("listeners", SET, "PLAINTEXT://:1")]))
    alter(s, version, "unknown key", (BROKER, "1", [("no.such.config", SET, "2")]))
    alter(s, version, "bad value", (BROKER, "", [("log.retention.ms", SET, "soon")]))
    topic = s.topic()
    settled(s, TOPIC, topic, ["retention.ms"], "a topic's default is the cluster's now", retention_ms="7777777")
    settled(s, BROKER, "1", ["log.retention.ms", "log.cleaner.threads"], "at the broker", log_cleaner_threads="2")
    settled(s, BROKER, "", None, "the cluster's defaults")
    alter(s, version, "taken back", (BROKER, "", [("log.retention.ms", DELETE, None)]), (BROKER, "1", [("log.cleaner.threads", DELETE, None)]))
    settled(s, BROKER, "", None, "the cluster's defaults after that", log_retention_ms=None)
    alter(s, version, "the unknown key taken back", (BROKER, "1", [("no.such.config", DELETE, None)]))


def broker_settings():
    """Name, default and when it may change, as Kafka's own classes tell them."""
    for line in (ROOT / "schema" / "configs" / "broker.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, kind, default, _, _, update, _ = line.split("\t")
            yield name, kind, default, update


@story
def of_brokers_as_they_may_be(s):
    """Every setting of a broker, put to what it is: may it be changed at all, for one broker, for all?"""
    for name, _, default, update in broker_settings():
        if update != "read-only" and name in OF_THE_PLACE:
            continue
        value = {"null": "x", '""': ""}.get(default, default)
        for resource in ("", "1"):
            alter(s, 1, f"{name}, broker {resource!r}", (BROKER, resource, [(name, SET, value)]), validate=True)


@story
def of_brokers_refused_by_what_is(s):
    """Values that are fine for themselves, but not after what there is."""
    for name, *values in (("num.io.threads", "4", "16", "17", "3", "0"), ("num.network.threads", "2", "1", "6", "7"),
                          ("num.replica.fetchers", "2", "3", "0"), ("num.recovery.threads.per.data.dir", "1", "4", "5"),
                          ("background.threads", "5", "20", "21", "4"), ("log.cleaner.threads", "2", "3", "0"),
                          ("max.connections.per.ip.overrides", "127.0.0.1:5", "10.0.0.1:5,10.0.0.2:6", "x", "x:y", ":5"),
                          ("max.connections", "0", "-1", "5"), ("max.connections.per.ip", "0", "-1", "5"),
                          ("max.connection.creation.rate", "0", "-1", "5"), ("message.max.bytes", "0", "-1", "5"),
                          ("log.cleaner.dedupe.buffer.size", "1", "1000", "10000000"), ("log.cleaner.io.buffer.size", "0", "1"),
                          ("log.retention.ms", "0", "-1", "-2"), ("log.segment.bytes", "1", "14", "1048576"),
                          ("log.cleanup.policy", "compact", "compact,delete", "none", ""), ("compression.type", "zstd", "x"),
                          ("min.insync.replicas", "2"), ("log.message.timestamp.type", "LogAppendTime", "x"),
                          ("log.local.retention.ms", "5", "-1"), ("log.local.retention.bytes", "5", "-1"),
                          ("unclean.leader.election.enable", "true", "x"), ("log.roll.ms", "0", "5"), ("log.roll.jitter.ms", "-1", "5"),
                          ("log.retention.bytes", "5", "-1", "-2"), ("remote.log.reader.threads", "5", "20", "21", "4"),
                          ("remote.log.manager.copier.thread.pool.size", "21", "4"), ("remote.log.manager.follower.thread.pool.size", "5"),
                          ("remote.log.manager.expiration.thread.pool.size", "21"), ("remote.fetch.max.wait.ms", "0", "5"),
                          ("log.cleaner.backoff.ms", "-1", "0"), ("log.cleaner.io.buffer.load.factor", "x", "0", "5", "0.5"),
                          ("log.cleaner.io.max.bytes.per.second", "x", "0", "-1", "1e6"), ("producer.id.expiration.ms", "0", "1"),
                          ("log.segment.delete.delay.ms", "-1", "0"), ("log.index.size.max.bytes", "1", "4"),
                          ("group.coordinator.cached.buffer.max.bytes", "1", "1000000"), ("log.flush.interval.messages", "0", "1"),
                          ("log.cleaner.min.compaction.lag.ms", "5", "-1"), ("log.cleaner.max.compaction.lag.ms", "0", "5"),
                          ("transaction.partition.verification.enable", "false", "x"), ("config.providers", "x")):
        for value in values:
            for resource in ("", "1"):
                alter(s, 1, f"{name}={value}, broker {resource!r}", (BROKER, resource, [(name, SET, value)]), validate=True)
    alter(s, 1, "two good ones", (BROKER, "", [("log.retention.ms", SET, "5"), ("num.io.threads", SET, "9")]), validate=True)
    alter(s, 1, "lags that cross", (BROKER, "", [("log.cleaner.min.compaction.lag.ms", SET, "50"), ("log.cleaner.max.compaction.lag.ms", SET, "5")]), validate=True)
    for name, value in (("log.local.retention.ms", "800000000"), ("log.local.retention.ms", "5")):
        alter(s, 1, f"{name}={value}, of little", (BROKER, "", [("log.retention.ms", SET, "700"), (name, SET, value)]), validate=True)
    for value in ("800", "700", "-1", "-2"):
        alter(s, 1, f"local bytes {value}, of little", (BROKER, "", [("log.retention.bytes", SET, "700"), ("log.local.retention.bytes", SET, value)]), validate=True)
    alter(s, 1, "half of two", (BROKER, "", [("log.cleaner.threads", SET, "2"), ("log.cleaner.dedupe.buffer.size", SET, "2000000")]), validate=True)
    alter(s, 1, "none but these", (BROKER, "", [("max.connections.per.ip", SET, "0"), ("max.connections.per.ip.overrides", SET, "127.0.0.1:5")]), validate=True)
    for name in ("node.id", "broker.rack", "listeners", "ssl.keystore.type", "num.io.threads"):
        for resource in ("", "1"):
            alter(s, 1, f"{name} goes, broker {resource!r}", (BROKER, resource, [(name, DELETE, None)]), validate=True)
    alter(s, 1, "two bad ones", (BROKER, "", [("log.retention.ms", SET, "x"), ("num.io.threads", SET, "90")]), validate=True)
    alter(s, 1, "two read only ones", (BROKER, "1", [("node.id", SET, "2"), ("broker.rack", SET, "r")]), validate=True)
    alter(s, 1, "two for one broker as default", (BROKER, "", [("listeners", SET, "x"), ("ssl.protocol", SET, "x")]), validate=True)
    alter(s, 1, "a list grows", (BROKER, "", [("log.cleanup.policy", APPEND, "compact")]), validate=True)
    alter(s, 1, "no list grows", (BROKER, "", [("log.retention.ms", APPEND, "5")]), validate=True)
    alter(s, 1, "for one listener", (BROKER, "1", [("listener.name.plaintext.max.connections", SET, "5")]), validate=True)
    alter(s, 1, "for one listener, as default", (BROKER, "", [("listener.name.plaintext.max.connections", SET, "5")]), validate=True)
    alter(s, 1, "a read only one for one listener", (BROKER, "1", [("listener.name.plaintext.node.id", SET, "5")]), validate=True)


DYNAMIC = (("log.cleaner.backoff.ms", "20000", "30000"), ("log.cleaner.dedupe.buffer.size", "50000000", "60000000"),
           ("log.cleaner.io.max.bytes.per.second", "1000000.5", "2000000"), ("log.segment.delete.delay.ms", "1", "2"),
           ("max.connections", "500", "600"), ("max.connections.per.ip", "700", "800"), ("max.connection.creation.rate", "900", "1000"),
           ("producer.id.expiration.ms", "10000", "20000"), ("max.connections.per.ip.overrides", "10.0.0.1:5", "10.0.0.1:6"))


@story
def of_brokers_from_where(s):
    """The broker's own value before the cluster's, before the file's, before the default."""
    names = [name for name, _, _ in DYNAMIC]
    settled(s, BROKER, "1", names, "at first", max_connections="2147483647")
    alter(s, 1, "the cluster's", (BROKER, "", [(name, SET, value) for name, value, _ in DYNAMIC]))
    settled(s, BROKER, "1", names, "with the cluster's", max_connections="500")
    alter(s, 1, "the broker's", (BROKER, "1", [(name, SET, value) for name, _, value in DYNAMIC]))
    settled(s, BROKER, "1", names, "with the broker's", max_connections="600")
    settled(s, BROKER, "", None, "as default", max_connections="500")
    alter(s, 1, "the cluster's goes", (BROKER, "", [(name, DELETE, None) for name in names]))
    settled(s, BROKER, "", None, "no more defaults", max_connections=None)
    settled(s, BROKER, "1", names, "the broker's alone", max_connections="600")
    s.ask("AlterConfigs", 2, {"validateOnly": False, "resources": [{"resourceType": BROKER, "resourceName": "1", "configs": [
        {"name": "max.connections", "value": "555"}]}]}, "all at once")
    settled(s, BROKER, "1", names, "one is left", max_connections="555")
    alter(s, 1, "the broker's goes", (BROKER, "1", [("max.connections", DELETE, None)]))
    settled(s, BROKER, "1", names, "at last", max_connections="2147483647")


@story
def of_brokers_as_a_whole(s):
    """AlterConfigs of a broker and of the cluster: what is not named is taken back."""
    for version in served("AlterConfigs"):
        def ask(note, name, *changes, validate=False, kind=BROKER):
            s.ask("AlterConfigs", version, {"validateOnly": validate, "resources": [{
                "resourceType": kind, "resourceName": name, "configs": [{"name": k, "value": v} for k, v in changes]}]}, note)
        ask("two", "1", ("log.cleaner.threads", "2"), ("background.threads", "11"))
        settled(s, BROKER, "1", ["log.cleaner.threads", "background.threads"], "both", log_cleaner_threads="2", background_threads="11")
        ask("only looked at", "1", ("log.cleaner.threads", "3"), validate=True)
        ask("looked at and bad", "1", ("log.cleaner.threads", "many"), validate=True)
        ask("one", "1", ("background.threads", "12"))
        settled(s, BROKER, "1", ["log.cleaner.threads", "background.threads"], "one is gone", log_cleaner_threads="1", background_threads="12")
        ask("read only", "1", ("broker.rack", "r"))
        ask("null", "1", ("background.threads", None))
        ask("bad value", "", ("log.retention.ms", "soon"))
        ask("the cluster's", "", ("log.retention.ms", "8888888"))
        settled(s, BROKER, "", None, "the cluster's", log_retention_ms="8888888")
        ask("another broker", "2", ("background.threads", "12"))
        ask("no broker", "x", ("background.threads", "12"))
        ask("loggers", "1", ("root", "INFO"), kind=LOGGER)
        ask("an unknown type", "1", ("a", "b"), kind=3)
        ask("taken back", "1")
        ask("the cluster's taken back", "")
        settled(s, BROKER, "", None, "nothing", log_retention_ms=None)
    for version in served("IncrementalAlterConfigs"):
        alter(s, version, "only looked at", (BROKER, "1", [("log.cleaner.threads", SET, "2")]), validate=True)
        alter(s, version, "looked at and bad", (BROKER, "", [("log.cleaner.threads", SET, "many")]), validate=True)
        alter(s, version, "appended to no list", (BROKER, "1", [("log.cleaner.threads", APPEND, "2")]))
        alter(s, version, "subtracted from no list", (BROKER, "", [("log.cleaner.threads", SUBTRACT, "2")]))
        alter(s, version, "appended to what is not known", (BROKER, "1", [("oracle.no.such.setting", APPEND, "2")]))
        alter(s, version, "an unknown operation", (BROKER, "1", [("log.cleaner.threads", 9, "2")]))
        for name in ("", "2", "x"):
            alter(s, version, f"loggers of {name!r}", (LOGGER, name, [("root", SET, "INFO")]))
        alter(s, version, "a logger's bad level", (LOGGER, "1", [("root", SET, "LOUD")]))
        result = s.steps[-1]["answer"]["responses"][0]
        result["errorMessage"] = result["errorMessage"].partition(" Valid log levels are")[0]  # each has its own levels
        alter(s, version, "a logger that is not there", (LOGGER, "1", [("oracle.no.such.logger", SET, "INFO")]))
        alter(s, version, "a logger appended to", (LOGGER, "1", [("root", APPEND, "INFO")]))
        alter(s, version, "the root taken back", (LOGGER, "1", [("root", DELETE, None)]))


@story
def resources(s):
    for version in served("ListConfigResources"):
        alter(s, 1, "a group", (GROUP, "configs-group", [("consumer.session.timeout.ms", SET, "50000")]))
        alter(s, 1, "client metrics", (METRICS, "configs-metrics", [("interval.ms", SET, "60000")]))
        settled(s, GROUP, "configs-group", ["consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"], "a group",
                consumer_session_timeout_ms="50000")
        settled(s, METRICS, "configs-metrics", None, "client metrics", interval_ms="60000")
        for kinds in ([], [METRICS], [GROUP], [BROKER], [3], [TOPIC]) if version else ([],):
            answer = s.ask("ListConfigResources", version, {"resourceTypes": kinds} if version else {}, f"types {kinds}")
            answer["configResources"] = [r for r in answer["configResources"]
                                         if r.get("resourceType") != TOPIC or r["resourceName"].startswith("configs.resources")]
            answer["configResources"].sort(key=lambda r: (r.get("resourceType", 0), r["resourceName"]))
