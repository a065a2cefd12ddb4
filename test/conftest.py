# SPDX-License-Identifier: Apache-2.0
"""`--broker ottla|kafka` picks what is tested; every test must also pass against Apache Kafka.

A test marked `ottla` is about what only Ottla promises and is not collected for Kafka. Nothing is ever skipped.
"""
import itertools
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness.broker import Broker  # noqa: E402
from harness.clients import PYTHON_CLIENTS, Client  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--broker", choices=("ottla", "kafka"), default=os.environ.get("BROKER", "ottla"))
    parser.addoption("--record", action="store_true", help="oracle: write down Kafka's answers (with --broker kafka)")


def pytest_configure(config):
    config.addinivalue_line("markers", "ottla: a promise of Ottla's own, not asked of Apache Kafka")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--broker") == "kafka":
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("ottla")])
        items[:] = [i for i in items if not i.get_closest_marker("ottla")]
    items.sort(key=lambda item: item.name == "test_every_client_has_run")


@pytest.fixture(scope="session")
def kind(request):
    return request.config.getoption("--broker")


@pytest.fixture(scope="session")
def broker(kind, tmp_path_factory):
    """One broker for all tests that neither stop it nor need settings of their own."""
    running = Broker(kind, tmp_path_factory.mktemp("broker"))
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture
def make_broker(kind, tmp_path):
    """Brokers of a test's own, ended with it."""
    made, numbers = [], itertools.count(1)

    def make(settings=None, folder=None):
        made.append(Broker(kind, folder or tmp_path / f"broker-{next(numbers)}", settings))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session", params=PYTHON_CLIENTS)
def client(request, broker):
    """Each of the Python libraries in turn, connected to the common broker."""
    running = Client(request.param, broker.address)
    yield running
    running.close()


@pytest.fixture
def make_client():
    made = []

    def make(name, broker):
        made.append(Client(name, broker.address))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def topic(request):
    """A topic name of the test's own."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"{name}-{os.urandom(3).hex()}"
