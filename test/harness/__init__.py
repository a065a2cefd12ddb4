# SPDX-License-Identifier: Apache-2.0
"""What the tests share: a broker under test, the clients that talk to it, and raw frames."""
