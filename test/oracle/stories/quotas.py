# SPDX-License-Identifier: Apache-2.0
"""Client quotas: set, refused, found again."""
import time

from oracle.session import served, story

EXACT, DEFAULT, ANY = 0, 1, 2


def entity(parts):
    return [{"entityType": kind, "entityName": name} for kind, name in parts]


def alter(s, version, note, *entries, validate=False):
    value = {"entries": [{"entity": entity(parts), "ops": [
        {"key": key, "value": float(value or 0), "remove": value is None} for key, value in ops]} for parts, ops in entries], "validateOnly": validate}
    answer = s.ask("AlterClientQuotas", version, value, note)
    if answer:
        for entry in answer["entries"]:
            entry["entity"].sort(key=lambda e: e["entityType"])
        answer["entries"].sort(key=lambda e: str(e["entity"]))


def describe(s, version, note, *filters, strict=False):
    value = {"components": [{"entityType": kind, "matchType": match, "match": name} for kind, match, name in filters], "strict": strict}
    answer = s.ask("DescribeClientQuotas", version, value, note)
    if answer and answer["entries"]:
        for entry in answer["entries"]:
            entry["entity"].sort(key=lambda e: e["entityType"])
            entry["values"].sort(key=lambda v: v["key"])
        answer["entries"].sort(key=lambda e: str(e["entity"]))


def await_entities(s, version, count):
    """A change is in the metadata when its answer comes, and reaches the broker a moment later."""
    deadline = time.monotonic() + 30
    while True:
        answer = s.quietly("DescribeClientQuotas", version, {"components": [], "strict": False})
        if not answer or len(answer["entries"]) == count:
            return
        assert time.monotonic() < deadline, f"still not {count} entities: {answer}"
        time.sleep(0.02)


USER, CLIENT, IP = ("user", "oracle-u"), ("client-id", "oracle-c"), ("ip", "10.1.2.3")
RATE = ("producer_byte_rate", 1000000)


@story
def set_and_found(s):
    for version in served("AlterClientQuotas"):
        both = (USER, CLIENT)
        alter(s, version, "a user", ((USER,), (RATE, ("consumer_byte_rate", 2e6), ("request_percentage", 50.5), ("controller_mutation_rate", 7.25))))
        alter(s, version, "a client", ((CLIENT,), (RATE,)))
        alter(s, version, "client of a user", (both, (("consumer_byte_rate", 3e6),)))
        alter(s, version, "defaults", ((("client-id", None), ("user", "oracle-u")), (RATE,)), ((("user", None), ("client-id", None)), (RATE,)),
              ((("user", None), CLIENT), (RATE,)))
        alter(s, version, "an address", ((IP,), (("connection_creation_rate", 100),)))
        alter(s, version, "check only", ((("user", "oracle-other"),), (RATE,)), validate=True)
        alter(s, version, "the same again", ((USER,), (RATE,)))
        alter(s, version, "no change", ((USER,), ()))
        await_entities(s, version, 7)
        for strict in (False, True):
            def show(note, *filters):
                describe(s, version, f"{note}, strict {strict}", *filters, strict=strict)
            show("all")
            show("the user", ("user", EXACT, "oracle-u"))
            show("any user", ("user", ANY, None))
            show("the user of nobody", ("user", DEFAULT, None))
            show("the client", ("client-id", EXACT, "oracle-c"))
            show("any client", ("client-id", ANY, None))
            show("default client", ("client-id", DEFAULT, None))
            show("both", ("user", EXACT, "oracle-u"), ("client-id", EXACT, "oracle-c"))
            show("both, the other way round", ("client-id", EXACT, "oracle-c"), ("user", EXACT, "oracle-u"))
            show("user, any client", ("user", EXACT, "oracle-u"), ("client-id", ANY, None))
            show("user, default client", ("user", EXACT, "oracle-u"), ("client-id", DEFAULT, None))
            show("both default", ("user", DEFAULT, None), ("client-id", DEFAULT, None))
            show("any of both", ("user", ANY, None), ("client-id", ANY, None))
            show("the address", ("ip", EXACT, "10.1.2.3"))
            show("any address", ("ip", ANY, None))
            show("nobody", ("user", EXACT, "oracle-nobody"))
            show("twice", ("user", EXACT, "oracle-u"), ("user", ANY, None))
            show("address and user", ("ip", ANY, None), ("user", ANY, None))
            show("address and client", ("ip", ANY, None), ("client-id", ANY, None))
            show("an unknown type", ("oracle-type", ANY, None))
            show("an empty type", ("", ANY, None))
            show("an unknown match", ("user", 7, None))
            show("an exact match of nothing", ("user", EXACT, None))
            show("a default match with a name", ("user", DEFAULT, "x"))
            show("any match with a name", ("user", ANY, "x"))
        gone = tuple((key, None) for key in ("producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"))
        alter(s, version, "gone", ((USER,), gone), ((CLIENT,), gone), (both, gone), ((("client-id", None), ("user", "oracle-u")), gone),
              ((("user", None), ("client-id", None)), gone), ((("user", None), CLIENT), gone), ((IP,), (("connection_creation_rate", None),)))
        alter(s, version, "gone before", ((USER,), gone))
        await_entities(s, version, 0)
        describe(s, version, "nothing is left")


@story
def refused(s):
    for version in served("AlterClientQuotas"):
        def ask(note, parts, *ops):
            alter(s, version, note, (parts, ops))
        ask("no entity", ())
        ask("an unknown type", (("oracle-type", "x"),), RATE)
        ask("an empty type", (("", "x"),), RATE)
        ask("an empty name", (("user", ""),), RATE)
        ask("an empty client", (("client-id", ""),), RATE)
        ask("a type twice", (("user", "a"), ("user", "b")), RATE)
        ask("the later one goes", (("user", "b"),), ("producer_byte_rate", None))
        ask("address and user", (IP, USER), ("connection_creation_rate", 1))
        ask("address and client", (IP, CLIENT), ("connection_creation_rate", 1))
        ask("all three", (IP, CLIENT, USER), ("connection_creation_rate", 1))
        ask("an unknown key", (USER,), ("oracle_rate", 1))
        ask("an unknown key goes", (USER,), ("oracle_rate", None))
        ask("key of addresses", (USER,), ("connection_creation_rate", 1))
        ask("key of users", (IP,), RATE)
        ask("not whole", (USER,), ("producer_byte_rate", 1.5))
        ask("almost whole", (USER,), ("producer_byte_rate", 1000000.0000001), ("producer_byte_rate", None))
        for key in ("producer_byte_rate", "request_percentage", "controller_mutation_rate"):
            for value in (0, -1, -1.5, float("inf"), float("-inf")):
                ask(f"{key} {value}", (USER,), (key, value))
            ask(f"{key} goes", (USER,), (key, None))
        for value in (0, -1, 0.5, 2147483647, 2147483648, 1e12):
            ask(f"connections {value}", (IP,), ("connection_creation_rate", value))
        ask("connections go", (IP,), ("connection_creation_rate", None))
        ask("a key twice", (USER,), RATE, ("producer_byte_rate", 5))
        ask("a bad key and a good one", (USER,), ("oracle_rate", 1), RATE)
        ask("both go", (USER,), ("producer_byte_rate", None))
        for address in ("::1", "10.0.0", "1.2.3.4.5", "999.1.1.1", "", "0:0:0:0:0:0:0:1", "[::1]"):
            ask(f"address {address!r}", (("ip", address),), ("connection_creation_rate", 10))
            ask(f"address {address!r} goes", (("ip", address),), ("connection_creation_rate", None))
        alter(s, version, "an entity twice", ((USER,), (RATE,)), ((USER,), (("consumer_byte_rate", 5),)))
        alter(s, version, "it goes", ((USER,), (("producer_byte_rate", None), ("consumer_byte_rate", None))))
        alter(s, version, "a bad one and a good one", ((("oracle-type", "x"),), (RATE,)), ((USER,), (RATE,)))
        alter(s, version, "it goes", ((USER,), (("producer_byte_rate", None),)))
        alter(s, version, "a bad one, check only", ((USER,), (("oracle_rate", 1),)), validate=True)
        alter(s, version, "nothing")
        await_entities(s, version, 0)
        describe(s, version, "nothing is left")
