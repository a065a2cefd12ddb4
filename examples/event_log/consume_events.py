#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stores every event of the topic in the table `events`, a column for each field, until it is stopped (Ctrl-C)."""
import consumer

if __name__ == "__main__":
    consumer.main(__doc__, group="events", name="events",
                  columns="id INTEGER, time TEXT, kind TEXT, user TEXT, amount REAL",
                  row_values=lambda row: [row.get(field) for field in ("id", "time", "kind", "user", "amount")])
