# SPDX-License-Identifier: Apache-2.0
"""Directories that kafka-storage.sh formatted and nobody started: Ottla is the first to run on them, then Apache Kafka.

Of every kind: one standalone, one with static voters, older releases, with SCRAM credentials. What Ottla writes there is
read by Kafka, and the credentials and levels of features that the format asked for are what Kafka tells then.
"""
import os
import re

import pytest

from harness.clients import Client
from node import Node, dump_complaints
from survey import differences, survey

pytestmark = pytest.mark.ottla

SCRAM = ["--add-scram", "SCRAM-SHA-256=[name=carol,iterations=8192,password=secret]",
         "--add-scram", "SCRAM-SHA-512=[name=dave,password=other]"]
CAROL_AND_DAVE = {"carol": [{"mechanism": "SCRAM-SHA-256", "iterations": 8192}],
                  "dave": [{"mechanism": "SCRAM-SHA-512", "iterations": 4096}]}
# name: static voters, options, metadata.version, kraft.version, SCRAM
FORMATS = {
    "standalone": (False, [], 30, 1, {}),
    "standalone-scram": (False, SCRAM, 30, 1, CAROL_AND_DAVE),
    "standalone-3.9": (False, ["--release-version", "3.9"], 21, 1, {}),
    "voters": (True, [], 30, 0, {}),
    "voters-3.3": (True, ["--release-version", "3.3"], 7, 0, {}),
    "voters-3.5-scram": (True, ["--release-version", "3.5", *SCRAM], 11, 0, CAROL_AND_DAVE),
}
SHORT = ("standalone-scram", "voters-3.3")


def format_as_kafka(tools, node, voters, options):
    """`format` alone: the properties name what it looks at."""
    properties = node.data.parent / "format.properties"
    lines = {"process.roles": "broker,controller", "node.id": "1", "log.dirs": node.data, "controller.listener.names": "CONTROLLER",
             "listeners": f"PLAINTEXT://{node.address},CONTROLLER://127.0.0.1:{node.kafka.controller_port}"}
    if voters:
        quorum = f"1@127.0.0.1:{node.kafka.controller_port}"
        lines["controller.quorum.voters"] = node.kafka.settings["controller.quorum.voters"] = quorum
        node.ottla.settings["controller.quorum.voters"] = quorum
    else:
        lines["controller.quorum.bootstrap.servers"] = f"127.0.0.1:{node.kafka.controller_port}"
    properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    status, text = tools.run("kafka.tools.StorageTool", "format", "-t", "AbCdEfGhIjKlMnOpQrStUw", "-c", properties,
                             *([] if voters else ["--standalone"]), *options)
    assert status == 0, text


@pytest.mark.parametrize("name", FORMATS if os.environ.get("BOTH_WAYS") == "long" else SHORT)
def test_ottla_is_the_first_on_a_formatted_directory(tools, state_tool, tmp_path, name):
    voters, options, metadata_version, kraft_version, scram = FORMATS[name]
    node = Node(tmp_path / "node")
    try:
        format_as_kafka(tools, node, voters, options)
        before = (node.data / "meta.properties").read_text()
        seen = None
        for kind, how in (("ottla", "killed"), ("ottla", "clean"), ("kafka", "clean"), ("ottla", "clean")):
            node.start(kind)
            client = Client("confluent-kafka", node.address)
            if seen is None:
                client.ask("create_topic", topic="first", partitions=2, configs={"retention.ms": "-1"})
            else:
                assert differences(seen, survey(client, node.address)) == []
            client.produce("first", [{"partition": n % 2, "key": b"%d" % n, "value": kind.encode()} for n in range(6)],
                           producer="none")
            seen = survey(client, node.address)
            if kind == "kafka":
                told = state_tool(node.address, tmp_path / "state")
                assert (told["cluster_id"], told["scram"]) == ("AbCdEfGhIjKlMnOpQrStUw", scram)
                assert told["finalized_features"]["metadata.version"] == metadata_version
                assert told["finalized_features"].get("kraft.version", 0) == kraft_version
            client.close()
            node.end(how)
        assert not [text for text in node.remarks if not re.search("Performing controller activation", text)]
        assert (node.data / "meta.properties").read_text().splitlines()[2:] == before.splitlines()[2:]
        assert dump_complaints(tools, node.data) == []
    finally:
        node.close()
