# SPDX-License-Identifier: Apache-2.0
"""The console in a real Chromium, one scenario of scenarios.mjs a test; and what no page may do.

All share one broker with topics that are made here. Node's packages come from the lock file beside this one.
"""
import base64
import gzip
import http.client
import json
import pathlib
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.parse

import confluent_kafka
import confluent_kafka.admin
import pytest

from harness.broker import Broker

HERE = pathlib.Path(__file__).parent
SCENARIOS = re.findall(r"^  async (\w+)\(\) \{$", (HERE / "scenarios.mjs").read_text(), re.MULTILINE)
TIMEOUT_S = 180
MANY, MANY_AT_ONCE = (260_000, 40_000), 5000  # more rows than an element can be high
OWN_PORT = {"ottla.http.listener": "127.0.0.1:0"}  # a free one
pytestmark = pytest.mark.ottla


class Web:
    """The API as a program of this machine asks it."""

    def __init__(self, port):
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self.token = self.get("/api/v1/session")["token"]

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers or {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text, dict(answer.getheaders())

    def get(self, path):
        status, text, _headers = self.ask("GET", path)
        assert status == 200, text
        return json.loads(text)

    def post(self, path, body):
        status, text, _headers = self.ask("POST", path, body, {"Content-Type": "application/json", "X-Ottla-Token": self.token})
        assert status == 200, text
        return json.loads(text)

    def produce(self, topic, messages, **more):
        return self.post(f"/api/v1/topics/{topic}/messages", {"messages": messages, **more})


def web_of(broker):
    """Of a broker with OWN_PORT, once it has said which port that is."""
    while not (told := re.search(r"console at http://127\.0\.0\.1:(\d+)/", broker.log())):
        assert broker.alive(), broker.log()
        time.sleep(0.02)
    return Web(int(told.group(1)))


def fill(web):
    for topic in ("events", "live", "hand", "split", "trim", "bare", "numbered"):
        web.post("/api/v1/topics", {"name": topic, "partitions": {"events": 3, "live": 2}.get(topic, 1)})
    web.post("/api/v1/topics", {"name": "files", "partitions": 1, "configs": {"max.message.bytes": "30000000"}})
    for first in range(0, 6000, 500):
        for partition in range(3):
            web.produce("events", [{"key": f"customer-{i % 40}", "value": json.dumps({"id": i, "kind": "order", "total": i / 2}),
                                    "headers": [{"key": "source", "value": "web"}]}
                                   for i in range(first, first + 500) if i % 3 == partition], partition=partition)
    web.post("/api/v1/topics", {"name": "many", "partitions": 2})
    for partition, messages in enumerate(MANY):
        for first in range(0, messages, MANY_AT_ONCE):
            web.produce("many", [{"value": f"p{partition} o{i}"} for i in range(first, first + MANY_AT_ONCE)], partition=partition)
    rows = [{"id": i, "customer": f"customer {i % 37}", "total": i * 1.5} for i in range(20000)]
    large = json.dumps([{**row, "text": "x" * 1270} for row in rows])
    assert len(large) > 25 << 20
    web.produce("files", [{"key": "large", "value": large}])
    web.produce("files", [{"key": "small", "value": json.dumps(rows[1:400])}])
    web.produce("files", [{"value": base64.b64encode(gzip.compress(b'{"hello": "gzip"}')).decode(), "encoding": "base64"}])
    web.produce("files", [{"key": "packed", "value": base64.b64encode(gzip.compress(b'{"hello": "base64"}')).decode()}])
    web.produce("files", [{"key": "exact", "value": '{"id": 9007199254740993, "rows": [{"id": -9223372036854775808}]}'}])
    web.produce("trim", [{"value": str(i)} for i in range(10)])
    web.post("/api/v1/groups/readers/offsets", {"topic": "events", "to": 10})


def produce_idempotently(address):
    """One compressed batch of three, by a client that numbers what it sends."""
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "enable.idempotence": True, "compression.type": "gzip", "linger.ms": 500})
    for i in range(3):
        producer.produce("numbered", value="x" * 100, key=str(i), partition=0)
    assert producer.flush(TIMEOUT_S) == 0


def introduce(address, name, version):
    """An ApiVersions request, version 3, as a client's first."""
    def compact(text):
        return bytes([len(text) + 1]) + text.encode()
    host, port = address.split(":")
    body = struct.pack(">hhih", 18, 3, 1, 4) + b"test" + b"\0" + compact(name) + compact(version) + b"\0"
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as client:
        client.sendall(struct.pack(">i", len(body)) + body)
        assert client.recv(4)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    broker = Broker("ottla", tmp_path_factory.mktemp("console"), OWN_PORT)
    try:
        broker.start()
        served = web_of(broker)
        fill(served)
        produce_idempotently(broker.address)
        introduce(broker.address, "apache-kafka-js-test", "1.2.3")
        served.kafka, served.pid = broker.address, broker.pid
        yield served
    finally:
        broker.close()


@pytest.fixture(scope="session")
def node():
    wanted, made_of = (HERE / "package-lock.json").read_text(), HERE / "node_modules" / "made-of"
    if not made_of.exists() or made_of.read_text() != wanted:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True)
        made_of.write_text(wanted)

    def run(*words):
        return subprocess.run(["node", str(HERE / "scenarios.mjs"), *words], capture_output=True, text=True, timeout=TIMEOUT_S)
    return run


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_in_chromium(web, node, scenario):
    done = node(web.base, scenario)
    assert done.returncode == 0, done.stderr


def test_a_groups_members_are_seen_with_their_partitions_in_chromium(web, node):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": web.kafka, "group.id": "reading", "client.id": "reader-1", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe(["events"])
        while not consumer.assignment():
            consumer.poll(0.2)
        consumer.commit(offsets=[confluent_kafka.TopicPartition("events", 1, 1500)], asynchronous=False)
        done = node(web.base, "members")
        assert done.returncode == 0, done.stderr
    finally:
        consumer.close()


def test_a_read_only_console_offers_no_change_in_chromium(node, tmp_path):
    broker = Broker("ottla", tmp_path, {**OWN_PORT, "ottla.http.read.only": "true"})
    try:
        broker.start()
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.address})
        producer.produce("seen", value="only")
        assert producer.flush(TIMEOUT_S) == 0
        done = node(web_of(broker).base, "read_only")
        assert done.returncode == 0, done.stderr
    finally:
        broker.close()


def test_an_empty_broker_tells_the_next_step_in_chromium(node, tmp_path):
    broker = Broker("ottla", tmp_path, OWN_PORT)
    try:
        broker.start()
        done = node(web_of(broker).base, "empty")
        assert done.returncode == 0, done.stderr
    finally:
        broker.close()


def test_the_demonstration_is_seen_live_in_chromium(node):
    """The address that make demo tells: events arrive as rows, and both groups' lag is there, also behind the accidents."""
    demo = subprocess.Popen([sys.executable, str(HERE.parents[1] / "examples" / "event_log" / "demo.py"), "--mib", "40"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        told = []
        for line in demo.stdout:
            told.append(line)
            if line.strip().startswith("http://"):
                break
        address = urllib.parse.urlsplit(told[-1].strip())
        seen = node(f"http://{address.netloc}", "demo", f"{address.path}?{address.query}")
        rest, _ = demo.communicate(timeout=TIMEOUT_S)
        assert seen.returncode == 0, seen.stderr + "".join(told) + rest
        assert demo.returncode == 0, rest
    finally:
        demo.kill()
        demo.wait()


# ---- without a browser
def test_a_page_of_another_name_gets_nothing(web):
    for path in ("/", "/api/v1/session", "/api/v1/topics", "/metrics"):
        assert web.ask("GET", path, headers={"Host": "rebound.example"})[0] == 403
    other = {"Content-Type": "application/json", "X-Ottla-Token": web.token, "Origin": "http://evil.example"}
    assert web.ask("POST", "/api/v1/topics", {"name": "stolen"}, other)[0] == 403
    assert web.ask("POST", "/api/v1/topics", {"name": "stolen"}, {"Content-Type": "application/json"})[0] == 403
    assert "stolen" not in [topic["name"] for topic in web.get("/api/v1/topics")["topics"]]


def test_a_read_only_console_changes_nothing(tmp_path):
    broker = Broker("ottla", tmp_path, {**OWN_PORT, "ottla.http.read.only": "true"})
    try:
        broker.start()
        web = web_of(broker)
        assert web.get("/api/v1/session")["readOnly"] is True
        status, text, _headers = web.ask("POST", "/api/v1/topics", {"name": "t"}, {"Content-Type": "application/json", "X-Ottla-Token": web.token})
        assert status == 403 and json.loads(text)["error"] == "READ_ONLY"
    finally:
        broker.close()


def test_pages_page_through_every_message_once(web):
    for start in ("latest", "earliest"):
        seen, cursor = [], None
        while True:
            page = web.get(f"/api/v1/topics/events/messages?from={start}&limit=700&preview=0" + (f"&cursor={cursor}" if cursor else ""))
            seen += [(m["partition"], m["offset"]) for m in page["messages"]]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 6000
        for partition in range(3):
            offsets = [offset for p, offset in seen if p == partition]
            assert offsets == sorted(offsets, reverse=start == "latest") and len(offsets) == 2000


def test_no_secret_is_logged_or_told(tmp_path):
    """At the chattiest level: a password of the settings, one set by request, the console's token."""
    secrets = ["hidden-at-start-4711", "hidden-by-request-4712"]
    broker = Broker("ottla", tmp_path, {**OWN_PORT, "ottla.log.level": "debug", "ssl.keystore.password": secrets[0]})
    try:
        broker.start()
        web = web_of(broker)
        admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": broker.address})
        change = confluent_kafka.admin.ConfigEntry("listener.name.plaintext.ssl.key.password", secrets[1], incremental_operation=confluent_kafka.admin.AlterConfigOpType.SET)
        resource = confluent_kafka.admin.ConfigResource(confluent_kafka.admin.ResourceType.BROKER, "1", incremental_configs=[change])
        admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
        web.post("/api/v1/topics", {"name": "t", "partitions": 1})
        _status, told, _headers = web.ask("GET", "/api/v1/broker")
        configs = {config["name"]: config for config in json.loads(told)["configs"]}
        assert all(configs[name]["sensitive"] and configs[name]["value"] is None for name in configs if name.endswith(".password"))
        assert configs["ssl.keystore.password"]["source"] == "server.properties"
        for text in (broker.log(), told.decode()):
            assert not [secret for secret in (*secrets, web.token) if secret in text]
    finally:
        broker.close()


def events_of(text):
    return [json.loads(event.split("data: ", 1)[1]) for event in text.decode().split("\n\n") if event.startswith("event: message")]


@pytest.mark.parametrize("topic, asked, expected", (("events", "json=id+%3E%3D+0", 6000), ("many", "text=7", None), ("files", "text=customer", 2)))
def test_a_search_goes_from_the_newest_back_or_from_the_oldest(web, topic, asked, expected):
    """The same hits once each, in a partition's order; and those at the limit are the nearest to where it began."""
    def hits(more):
        return [(m["partition"], m["offset"]) for m in events_of(web.ask("GET", f"/api/v1/topics/{topic}/search?{asked}&preview=0&partition=0{more}")[1])]
    oldest, newest = hits("&from=earliest&limit=10000"), hits("&limit=10000")
    assert oldest == sorted(oldest) and newest == sorted(newest, reverse=True) and len(set(newest)) == len(newest) > 1
    if len(oldest) < 10000:
        assert newest == oldest[::-1]
    assert hits("&limit=2") == newest[:2] and hits("&from=earliest&limit=2") == oldest[:2]
    if expected is not None:
        _status, text, _headers = web.ask("GET", f"/api/v1/topics/{topic}/search?{asked}&preview=0&limit=10000")
        assert len(events_of(text)) == expected
        done = json.loads(text.decode().rstrip().rsplit("data: ", 1)[1])
        assert done["reason"] == "end" and done["share"] == 1 and done["scanned"] == web.get(f"/api/v1/topics/{topic}")["messages"]


def streaming_threads(web):
    """Those of searches and downloads: they are nicer than the process."""
    nice = []
    for task in pathlib.Path(f"/proc/{web.pid}/task").iterdir():
        try:
            nice.append(int((task / "stat").read_text().rsplit(")", 1)[1].split()[16]))
        except OSError:
            pass  # it has ended
    return sum(value > min(nice) for value in nice)


def no_streams_left(web):
    while streaming_threads(web):
        time.sleep(0.02)


def test_streams_are_bounded_and_end_with_their_connection(web):
    """Downloads that nobody reads wait; one more than may run is refused until one is closed."""
    def begin():
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=TIMEOUT_S)
        connection.request("GET", "/api/v1/topics/files/download?from=earliest")
        return connection.getresponse()  # has the connection, which ends with it
    no_streams_left(web)
    running = []
    while (answer := begin()).status == 200:
        running.append(answer)
        assert len(running) < 20
    assert len(running) == 12 and answer.status == 429
    running.pop().close()
    while (answer := begin()).status != 200:
        assert answer.status == 429
        time.sleep(0.05)
    for one in [*running, answer]:
        one.close()
    no_streams_left(web)


def test_a_search_stands_back_behind_other_threads(web):
    """And its thread ends with the answer: no other request runs there."""
    no_streams_left(web)
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=TIMEOUT_S)
    connection.request("GET", "/api/v1/topics/files/download?from=earliest")
    answer = connection.getresponse()
    answer.read(1000)
    assert streaming_threads(web) == 1 and answer.getheader("Connection") == "close"
    answer.close()
    no_streams_left(web)


def test_json_as_deep_as_it_goes_does_no_harm(web):
    web.post("/api/v1/topics", {"name": "deep", "partitions": 1})
    web.produce("deep", [{"value": '{"a":' + "[" * depth + "]" * depth + "}"} for depth in (10, 2040, 100_000)])
    _status, text, _headers = web.ask("GET", "/api/v1/topics/deep/search?json=%24.a&preview=10")
    assert [m["offset"] for m in events_of(text)] == [1, 0]


def samples_of(web):
    status, text, _headers = web.ask("GET", "/metrics")
    assert status == 200
    return dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))


def test_metrics_have_the_names_of_dashboards(web):
    before = samples_of(web)
    web.produce("live", [{"value": "one"}, {"value": "two"}], partition=0)
    after = samples_of(web)
    for name, grown in (('kafka_server_brokertopicmetrics_messagesin_total{topic="live"}', 2), ("kafka_server_brokertopicmetrics_messagesin_total", 2),
                        ('kafka_topic_partition_current_offset{topic="live",partition="0"}', 2), ('kafka_network_requestmetrics_requests_total{request="Produce"}', 1)):
        assert int(after[name]) == int(before[name]) + grown, name
    assert int(after['kafka_server_brokertopicmetrics_bytesin_total{topic="live"}']) > int(before['kafka_server_brokertopicmetrics_bytesin_total{topic="live"}'])
    committed = int(after['kafka_consumergroup_current_offset{consumergroup="readers",topic="events",partition="0"}'])
    assert int(after['kafka_consumergroup_lag{consumergroup="readers",topic="events",partition="0"}']) == 2000 - committed
    lags = [int(after[f'kafka_consumergroup_lag{{consumergroup="readers",topic="events",partition="{p}"}}']) for p in range(3)]
    assert int(after['kafka_consumergroup_lag_sum{consumergroup="readers",topic="events"}']) == sum(lags)
    assert int(after['kafka_consumergroup_current_offset_sum{consumergroup="readers",topic="events"}']) == 6000 - sum(lags)
    assert after['kafka_consumergroup_members{consumergroup="readers"}'] == "0"
    assert after['kafka_topic_partitions{topic="events"}'] == "3"
    assert after['kafka_topic_partition_leader_is_preferred{topic="events",partition="0"}'] == "1"


# What Strimzi's dashboards strimzi-kafka and strimzi-kafka-exporter ask of Kafka and kafka_exporter.
STRIMZI = """kafka_broker_info kafka_cluster_partition_atminisr kafka_cluster_partition_replicascount kafka_cluster_partition_underminisr
kafka_consumergroup_current_offset kafka_consumergroup_lag kafka_controller_controllerstats_uncleanleaderelections_total
kafka_controller_kafkacontroller_activecontrollercount kafka_controller_kafkacontroller_offlinepartitionscount kafka_log_log_size
kafka_network_socketserver_networkprocessoravgidle_percent kafka_server_brokertopicmetrics_bytesin_total
kafka_server_brokertopicmetrics_bytesout_total kafka_server_brokertopicmetrics_failedfetchrequests_total
kafka_server_brokertopicmetrics_failedproducerequests_total kafka_server_brokertopicmetrics_messagesin_total
kafka_server_brokertopicmetrics_totalfetchrequests_total kafka_server_brokertopicmetrics_totalproducerequests_total
kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent kafka_server_kafkaserver_linux_disk_read_bytes
kafka_server_kafkaserver_linux_disk_write_bytes kafka_server_replicamanager_leadercount kafka_server_replicamanager_partitioncount
kafka_server_replicamanager_underreplicatedpartitions kafka_server_socket_server_metrics_connection_count
kafka_topic_partition_current_offset kafka_topic_partition_in_sync_replica kafka_topic_partition_leader_is_preferred
kafka_topic_partition_oldest_offset kafka_topic_partition_replicas kafka_topic_partition_under_replicated_partition
kafka_topic_partitions process_open_fds""".split()


def test_strimzis_dashboards_find_what_they_ask_for(web):
    now = samples_of(web)
    names = {sample.partition("{")[0] for sample in now}
    assert set(STRIMZI) <= names
    assert now['kafka_cluster_partition_atminisr{topic="events",partition="0"}'] == "1"
    assert now['kafka_cluster_partition_underminisr{topic="events",partition="0"}'] == "0"
    assert now[f'kafka_broker_info{{id="1",address="{web.kafka}"}}'] == "1"
    assert int(now["kafka_server_kafkaserver_linux_disk_write_bytes"]) > 25 << 20
    assert 0 < float(now["kafka_network_socketserver_networkprocessoravgidle_percent"]) <= 1
    with socket.create_connection(("127.0.0.1", int(web.kafka.split(":")[1])), timeout=TIMEOUT_S):
        before = int(now["kafka_server_socket_server_metrics_connection_count"])
        while int(samples_of(web)["kafka_server_socket_server_metrics_connection_count"]) <= before:
            time.sleep(0.02)


def promtool(*words, text=None):
    own = HERE.parents[1] / ".cache" / "promtool"  # test/setup.sh puts it there
    return subprocess.run([str(own) if own.exists() else "promtool", *words], input=text, capture_output=True, timeout=TIMEOUT_S)


def test_promtool_finds_nothing_wrong_with_a_scrape(web):
    _status, text, _headers = web.ask("GET", "/metrics")
    done = promtool("check", "metrics", text=text)
    assert done.returncode == 0, done.stderr.decode()
    assert promtool("check", "metrics", text=text.replace(b"_total", b"_sum")).returncode != 0  # it does look


def test_promtool_accepts_the_alert_rules():
    done = promtool("check", "rules", str(HERE.parents[1] / "contrib" / "prometheus" / "alerts.yml"))
    assert done.returncode == 0, done.stderr.decode()


def test_kafkas_metrics_that_are_called_served_are_in_a_scrape(web):
    """docs/kafka-metrics.md holds every MBean of test/kafka/metrics.txt, and says which is served."""
    root = HERE.parents[1]
    beans = [line.split("\t")[0] for line in (root / "test" / "kafka" / "metrics.txt").read_text().splitlines() if not line.startswith("#")]
    page = [line.strip("| ").replace("\\|", "|").rsplit("`", 1)[0].lstrip("`") for line in (root / "docs" / "kafka-metrics.md").read_text().splitlines() if line.startswith("| `")]
    assert [row.split("` | `")[0] for row in page] == beans
    called = {row.split("` | `")[1] for row in page if "` | `" in row}
    _status, text, _headers = web.ask("GET", "/metrics")
    assert len(called) > 20 and not called - set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))


def test_metrics_are_well_formed(web):
    """As promtool's lint: known types, counters end in _total, no name of one metric under another's type."""
    _status, text, _headers = web.ask("GET", "/metrics")
    kinds, told = {}, None
    for line in text.decode().splitlines():
        if line.startswith("# TYPE "):
            told, kind = line.split()[2:]
            assert told not in kinds and kind in ("counter", "gauge", "summary", "untyped")
            assert (kind == "counter") == told.endswith("_total")
            assert (kind == "untyped") == told.endswith(("_sum", "_count", "_bucket"))
            kinds[told] = kind
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(r"([a-z_:]+)(\{.*\})? (\S+)", line).groups()
            assert name == told
            assert ("quantile=" in (labels or "")) == (kinds[name] == "summary")
            float(value)


# ---- openapi.json tells the truth
OPENAPI = json.loads((HERE.parents[1] / "docs" / "openapi.json").read_text())


def fits(value, schema, at="answer"):
    """A small validator of the keywords that openapi.json uses; it accepts no keyword that it does not know."""
    if "$ref" in schema:
        return fits(value, OPENAPI["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], at)
    assert not set(schema) - {"type", "enum", "oneOf", "required", "properties", "additionalProperties", "items", "description", "format"}, at
    if "oneOf" in schema:
        for one in schema["oneOf"]:
            try:
                return fits(value, one, at)
            except AssertionError:
                continue
        raise AssertionError(f"{at}: {value!r} fits none")
    if "enum" in schema:
        assert value in schema["enum"], f"{at}: {value!r}"
        return None
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None), "object": dict, "array": list}
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in wanted), f"{at}: {value!r}"
    if isinstance(value, list):
        for i, item in enumerate(value):
            fits(item, schema["items"], f"{at}[{i}]")
    elif isinstance(value, dict):
        assert not set(schema.get("required", ())) - set(value), f"{at}: lacks {set(schema['required']) - set(value)}"
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            assert inner, f"{at}: {name} is not told"
            fits(item, inner, f"{at}.{name}")
    return None


def answer_of(path, method="get"):
    return OPENAPI["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]


def test_openapi_is_served_and_tells_every_route(web):
    assert web.get("/api/v1/openapi.json") == OPENAPI
    source = (HERE.parents[1] / "src" / "http" / "routes.c").read_text()
    routes = {(method.lower(), path) for method, path in re.findall(r'\{"(GET|POST)", "(/api/v1/[^"]*)"', source)}
    assert routes == {(method, path) for path, methods in OPENAPI["paths"].items() for method in methods}


def test_answers_are_as_openapi_tells(web):
    for path, asked in (("/api/v1/session", None), ("/api/v1/broker", None), ("/api/v1/broker", "/api/v1/broker?parts=live"), ("/api/v1/topics", None),
                        ("/api/v1/topics/{topic}", "/api/v1/topics/events"), ("/api/v1/topics/{topic}/messages", "/api/v1/topics/events/messages?limit=20"),
                        ("/api/v1/topics/{topic}/messages", "/api/v1/topics/files/messages"), ("/api/v1/groups", None), ("/api/v1/groups/{group}", "/api/v1/groups/readers")):
        fits(web.get(asked or path), answer_of(path), asked or path)
    status, text, _headers = web.ask("GET", "/api/v1/topics/nowhere")
    assert status == 404
    fits(json.loads(text), OPENAPI["components"]["schemas"]["Error"])


def test_groups_of_a_topic_are_told_with_their_lag_there(web):
    web.post("/api/v1/groups/both/offsets", {"topic": "events", "to": 1990})
    web.post("/api/v1/groups/both/offsets", {"topic": "trim", "to": "latest"})
    def told(topic):
        return {group["id"]: group["lag"] for group in web.get(f"/api/v1/groups?topic={topic}")["groups"]}
    assert told("events")["both"] == 30 and "readers" in told("events")
    assert told("trim") == {"both": 0} and told("many") == {}
    web.post("/api/v1/groups/both/delete", {"confirm": "both"})


def test_changes_answer_as_openapi_tells(web):
    topic = "/api/v1/topics/{topic}"
    for path, asked, body in (("/api/v1/topics", None, {"name": "told", "partitions": 1}), (f"{topic}/messages", "/api/v1/topics/told/messages", {"messages": [{"value": "x"}]}),
                              (f"{topic}/configs", "/api/v1/topics/told/configs", {"set": {"retention.ms": "1000000"}}), (f"{topic}/partitions", "/api/v1/topics/told/partitions", {"count": 2}),
                              ("/api/v1/groups/{group}/offsets", "/api/v1/groups/telling/offsets", {"topic": "told", "to": "earliest", "preview": True}),
                              ("/api/v1/groups/{group}/offsets", "/api/v1/groups/telling/offsets", {"topic": "told", "to": 1}),
                              ("/api/v1/groups/{group}/delete", "/api/v1/groups/telling/delete", {"confirm": "telling"}),
                              (f"{topic}/records/delete", "/api/v1/topics/told/records/delete", {"partition": 0, "before": 0, "confirm": "told"}), (f"{topic}/delete", "/api/v1/topics/told/delete", {"confirm": "told"})):
        fits(body, OPENAPI["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"], path)
        fits(web.post(asked or path, body), answer_of(path, "post"), asked or path)


def test_streams_are_as_openapi_tells(web):
    _status, text, headers = web.ask("GET", "/api/v1/topics/events/search?from=earliest&json=id%20%3C%205")
    assert headers["Content-Type"] == "text/event-stream"
    events = [event.split("\n") for event in text.decode().split("\n\n") if event]
    for name, data in events:
        told = {"event: message": "Message", "event: progress": "Progress", "event: done": "Progress"}[name]
        fits(json.loads(data.removeprefix("data: ")), OPENAPI["components"]["schemas"][told])
    assert [name for name, _data in events].count("event: message") == 5 and events[-1][0] == "event: done"


def test_dashboard_and_alerts_ask_for_metrics_that_there_are():
    root = HERE.parents[1]
    served = {line.split("\t")[0] for line in (root / "schema" / "metrics.txt").read_text().splitlines() if not line.startswith("#")}
    for file in ("contrib/grafana/ottla.json", "contrib/prometheus/alerts.yml"):
        asked = set(re.findall(r"\b(?:ottla|kafka|process)_[a-z0-9_]+\b", (root / file).read_text()))
        assert asked and not asked - served, file


def test_openmetrics_is_told_to_who_asks_for_it(web):
    _status, text, headers = web.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    lines = text.decode().splitlines()
    assert lines[-1] == "# EOF" and lines.count("# EOF") == 1
    assert "# TYPE kafka_network_requestmetrics_requests counter" in lines
    assert any(line.startswith('kafka_network_requestmetrics_requests_total{request="Produce"}') for line in lines)
