# SPDX-License-Identifier: Apache-2.0
"""Tests that client libraries bring along for a broker of their own: fetched when they run, nothing of them is kept here.

Each suite says how it is made, how it is run against an address, and how its cases and their outcomes are read. `LATER`
names the cases that are not asked yet, with the part of ROADMAP.md that they wait for, `NOT_OURS` those that fail for
another reason; every other case must not fail. Cases for protocols that a broker does not advertise skip themselves.
"""
import json
import re
import struct
import subprocess
import time

from harness import questions, raw

KGO = "github.com/twmb/franz-go"
KGO_RECORDS = 20000
RUN_TIMEOUT_S = 600
SPEC_TIMEOUT_S = 150
NODE_MARK = "##### the next file"

# suite: {pattern of a case: what it waits for}
LATER = {
    "franz-go-kgo": {r"TestTxnEtl(/.*)?": "transactions"},
    "node-rdkafka-e2e": {r"Transactional Producer .*": "transactions"},
}
# suite: {pattern of a case that may fail: why it is not the broker's}
NOT_OURS = {
    "franz-go-kgo": {},
    "node-rdkafka-e2e": {
        r".*: empty (buffer )?key and empty value": "fails against Apache Kafka 4.3.1 too",
        r".* an empty payload and empty key .*": "the library gives an empty key as null, as in the cases above",
        r'.* "after each" hook for .*': "the library sometimes never disconnects, from Apache Kafka 4.3.1 neither (in 3 of 3 runs of both.spec): there "
                                         "its thread waits for its own lock; with Ottla (3 of 12 runs) librdkafka waits for a broker object "
                                         "that has no connection, request or partition any more, only one reference too many",
    },
}


def kgo_make(tools, cache):
    """The module as the module proxy has it, and its tests as a program."""
    tools.tool("go")
    cache.mkdir(parents=True, exist_ok=True)
    told = subprocess.run(["go", "mod", "download", "-json", f"{KGO}@v{KGO_VERSION}"], cwd=cache, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if told.returncode:
        raise tools.Skipped(f"no {KGO}: {told.stdout.strip()[-300:]}")
    folder = json.loads(told.stdout)["Dir"] + "/pkg/kgo"
    tools.run(["go", "test", "-c", "-o", cache / "kgo.test", "."], folder)
    return [cache / "kgo.test", "-test.v", "-test.timeout", f"{RUN_TIMEOUT_S - 30}s", "-test.skip", "^(TestTxnEtl)$"], folder


def kgo_environment(address):
    return {"KGO_SEEDS": address, "KGO_TEST_RF": "1", "KGO_TEST_RECORDS": str(KGO_RECORDS), "KGO_LOG_LEVEL": "none"}


def kgo_cases(text):
    found = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}
    return {name: found[outcome] for outcome, name in re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", text, re.MULTILINE)}


def node_make(tools, _):
    """The package holds them; its programs find the library by `../`. A file that waits for a later part is left out, since
    each of its cases would take its whole time.
    """
    folder = tools.node("node-rdkafka", None)[-1].parent
    specs = sorted((folder / "node_modules" / "node-rdkafka" / "e2e").glob("*.spec.js"))
    specs = [str(spec) for spec in specs if "transaction" not in spec.name]
    program = f"for spec in {' '.join(specs)}; do echo; echo '{NODE_MARK}'; timeout -s KILL {SPEC_TIMEOUT_S} node node_modules/mocha/bin/mocha.js --exit --timeout 30000 " \
              "--reporter json $spec; done"
    return ["bash", "-c", program], folder


def node_environment(address):
    """Their own CI makes this topic before; here the broker does, when it is first asked for."""
    with raw.connect(address) as sock:
        raw.ask(sock, raw.header(3, 1) + struct.pack(">ih", 1, 4) + b"test")
    while questions.topics(address).get("test") is None:
        time.sleep(0.1)
    return {"KAFKA_HOST": address}


def node_cases(text):
    """One object of the reporter's for each file, and lines that the files print; a file without an object has failed."""
    begins = list(re.finditer(r'\{\n  "stats"', text))
    silent = text.count(NODE_MARK) - len(begins)
    cases = {f"{silent} files that told nothing": "failed"} if silent else {}
    for begin in begins:
        told = json.JSONDecoder().raw_decode(text[begin.start():])[0]
        for key, outcome in (("pending", "skipped"), ("passes", "passed"), ("failures", "failed")):
            cases.update({case["fullTitle"]: outcome for case in told[key]})
    return cases


KGO_VERSION = "1.22.3"
# name: version, how it is made, its environment, how its cases are read
SUITES = {
    "franz-go-kgo": (KGO_VERSION, kgo_make, kgo_environment, kgo_cases),
    "node-rdkafka-e2e": ("3.6.1", node_make, node_environment, node_cases),
}


def may_fail(name, case):
    return any(re.fullmatch(pattern, case) for pattern in [*LATER[name], *NOT_OURS[name]])
