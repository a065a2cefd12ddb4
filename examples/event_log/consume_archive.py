#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stores every event of the topic in the table `archive`, as the JSON it came as, until it is stopped (Ctrl-C)."""
import consumer
import messages

if __name__ == "__main__":
    consumer.main(__doc__, group="archive", name="archive", columns="event TEXT",
                  row_values=lambda row: [messages.encode(row).decode()])
