# SPDX-License-Identifier: Apache-2.0
"""What the documents say of this tree is so: functions are where ARCHITECTURE.md puts them, links and commands exist, the
requests of ROADMAP.md are served, the first message of README.md arrives.
"""
import pathlib
import re
import struct
import subprocess
import sys
import urllib.request

import pytest

from harness import raw
from harness.broker import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith((".", "build", "node_modules")) for part in
                                                            p.relative_to(ROOT).parts))
STEP = re.compile(r"^\| \d+ \| `(src/[\w/]+\.c)` \| `(\w+)` \|", re.MULTILINE)


def test_every_function_of_the_walks_is_defined_in_the_file_that_is_named():
    steps = STEP.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert len(steps) >= 20
    for file, function in steps:
        text = (ROOT / file).read_text()
        assert re.search(rf"^(?!\s)[^\n;=]*\b{function}\([^;]*?\)\n\{{", text, re.MULTILINE), f"{file} does not define {function}"


def test_every_topic_setting_is_told_with_tests_that_exist():
    text = (ROOT / "docs/topic-settings.md").read_text()
    settings = {line.split("\t")[0] for line in (ROOT / "schema/configs/topic.txt").read_text().splitlines() if not line.startswith("#")}
    rows = re.findall(r"^\| `([a-z.0-9]+)` \|[^|]+\|[^|]+\| ([^|]+) \|$", text, re.MULTILINE)
    served = {line.split("\t")[1] for line in (ROOT / "schema/configs/served.txt").read_text().splitlines()
              if line.startswith("topic\t") and line.split("\t")[2] == "served"}
    elsewhere = {"min.insync.replicas", "unclean.leader.election.enable"}
    assert sorted(name for name, _ in rows) == sorted(served - elsewhere)
    assert all(f"`{name}`" in text for name in settings)
    for name, tests in rows:
        for file, functions in re.findall(r"`([\w/.]+)` ([\w, ]+)", tests):
            for function in functions.split(", "):
                assert re.search(rf"^(static void|def) {function}\(", (ROOT / file).read_text(), re.MULTILINE), f"{name}: {file} {function}"


def rows_of_limits():
    for line in (ROOT / "docs/limits.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] != "of what":
            assert len(cells) == 5, line
            yield cells


@pytest.mark.ottla
def test_every_limit_has_a_setting_a_number_and_a_test_that_exist(make_broker):
    rows = list(rows_of_limits())
    assert len(rows) >= 20
    served = {line.split("\t")[1] for line in (ROOT / "schema/configs/served.txt").read_text().splitlines()
              if line.startswith("broker\t") and line.split("\t")[2] == "served"} | {"controller_mutation_rate"}
    port = free_port()
    make_broker({"ottla.http.listener": f"127.0.0.1:{port}"}).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        metrics = {line.rsplit(" ", 1)[0] for line in answer.read().decode().splitlines() if not line.startswith("#")}
    plain = {name.split("{")[0] for name in metrics}
    for what, settings, reason, numbers, tests in rows:
        assert reason, what
        assert set(re.findall(r"`([^`]+)`", settings)) <= served, what
        named = re.findall(r"`([^`]+)`", numbers)
        assert named and all(name in (metrics if "{" in name else plain) for name in named), what
        found = re.findall(r"`([\w/.]+)` (\w+(?:, \w+)*)", tests)
        assert found, what
        for file, functions in found:
            for function in functions.split(", "):
                assert re.search(rf"^(static void|def) {function}\(", (ROOT / file).read_text(), re.MULTILINE), f"{what}: {function}"


def test_every_limit_of_connections_is_told():
    limits = set(re.findall(r'\{limit="([^"]+)"\}', (ROOT / "docs/limits.md").read_text()))
    named = re.search(r"enum net_limit \{(.*?)\};", (ROOT / "src/broker/broker.h").read_text(), re.DOTALL).group(1)
    assert limits == set(re.findall(r"// ([a-z.]+\.[a-z.]+)", named))


def test_every_file_that_the_architecture_names_exists():
    for name in re.findall(r"`((?:src|test|bench|sim|fuzz|schema|docs)/[\w./]*)`", (ROOT / "ARCHITECTURE.md").read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document}: {target}"


def test_commands_in_the_documents_are_targets_of_the_makefile():
    told = subprocess.run(["make", "-s", "help"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    targets = set(re.findall(r"^make ([a-z-]+)", told, re.MULTILINE))
    for document in DOCUMENTS:
        for name in re.findall(r"(?:^    |`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert name in targets, f"{document}: make {name}"


@pytest.mark.ottla
def test_the_roadmap_lists_the_requests_that_are_served(broker):
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d+) to (\d+) \|$", (ROOT / "ROADMAP.md").read_text(), re.MULTILINE)
    with raw.connect(broker.address) as sock:
        answer = raw.ask(sock, raw.header(18, 0))
    (count,) = struct.unpack_from(">i", answer, 6)
    served = list(struct.iter_unpack(">hhh", answer[10:10 + 6 * count]))
    assert [(int(key), int(first), int(last)) for key, _, first, last in rows] == sorted(served)
    for key, name, _, _ in rows:
        assert any(f"api {key} {name}" in p.read_text() for p in (ROOT / "schema/protocol").glob("[0-9]*.txt")), name


def test_the_first_messages_of_the_readme_arrive(broker):
    text = (ROOT / "README.md").read_text().replace("127.0.0.1:9092", broker.address)
    block = text.split("## A first message")[1]
    commands = "\n".join(re.findall(r"^    (.*kcat.*)$", block.split("```")[0], re.MULTILINE))
    told = subprocess.run(["sh", "-ec", commands], stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    assert told == "hello, Ottla\n"
    program = re.search(r"```python\n(.*?)```", block, re.DOTALL).group(1)
    told = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    assert told == "0 b'hello, Ottla'\n1 b'hello from Python'\n"
