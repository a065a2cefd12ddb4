# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka's own tools, one JVM for all tests of this folder."""
import json

import pytest

from kafka_tools import KafkaTools


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    made = KafkaTools(tmp_path_factory.mktemp("classes"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def state_tool(tools):
    """Kafka's own client, asked for everything that a broker holds."""
    def state(address, out):
        status, text = tools.run("DumpState", address, out)
        assert status == 0, text
        told = json.loads((out / "state.json").read_text())
        told["records"] = {f.stem: f.read_text().splitlines() for f in (out / "records").iterdir() if f.stem in ("txn", "shared")}
        return told
    return state
