# SPDX-License-Identifier: Apache-2.0
"""Runs last: no client was left out."""
from harness.clients import CLIENTS, RAN


def test_every_client_has_run():
    assert sorted(RAN) == sorted(CLIENTS)
    assert len(RAN) == 6
    assert RAN["kafka-python-2.0.2"] == "2.0.2"
    assert RAN["kafka-python"] != RAN["kafka-python-2.0.2"]
