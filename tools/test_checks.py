#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each house check passes a good tree and catches each kind of bad one, so a check that cannot fail is itself caught.

A fixture is a small tree in a temporary folder; the good one is the same for all, a bad one changes one file of it.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def prose(path):
    return SPDX + f"/* {path} - a fixture of the house checks: it keeps nothing true, holds no state and never fails. */\n"


GOOD = {
    "src/FLOORS": "# number folder caption\n0 base what all stand on\n1 io the kernel\n1 wire bytes\n2 log a log\n",
    "src/base/base.h": prose("base/base.h") + "#pragma once\n#include <stddef.h>\nsize_t base_size(const char *text);\n"
                       "void *mem_alloc(size_t size);\n",
    "src/base/mem.c": prose("base/mem.c") + '#include "base/base.h"\n\n#include <stdlib.h>\n#include <string.h>\n\n'
                      "void *mem_alloc(size_t size)\n{\n    return malloc(size);\n}\n\n"
                      "size_t base_size(const char *text)\n{\n    return strlen(text);\n}\n",
    "src/io/io.h": prose("io/io.h") + "#pragma once\nlong io_now_ms(void);\n",
    "src/io/clock.c": prose("io/clock.c") + '#include "io/io.h"\n\n#include <time.h>\n\n'
                      "long io_now_ms(void)\n{\n    return (long)time(NULL);\n}\n",
    "src/wire/wire.h": prose("wire/wire.h") + "#pragma once\n",
    "src/wire/gen/codes.h": prose("wire/gen/codes.h") + "#pragma once\nenum { CODE_NONE = 0 };\n",
    "src/log/log.h": prose("log/log.h") + "#pragma once\nlong log_end(void);\n",
    "src/log/roll.h": prose("log/roll.h") + "#pragma once\nlong log__roll(void);\n",
    "src/log/log.c": prose("log/log.c") + '#include "log/log.h"\n\n#include "base/base.h"\n#include "io/io.h"\n#include "log/roll.h"\n\n'
                     'long log_end(void)\n{\n    return log__roll() + (long)base_size("strcpy(x__y)");\n}\n\n'
                     "long log__roll(void)\n{\n    return io_now_ms();\n}\n",
    "src/log/log_test.c": prose("log/log_test.c") + '#include "log/log.h"\n\n#include "wire/gen/codes.h"\n#include "wire/wire.h"\n\n'
                          "int main(void)\n{\n    return log_end() ? CODE_NONE : 1;\n}\n",
    "sim/disk_test.c": prose("sim/disk_test.c") + '#include "log/log.h"\n\nint main(void)\n{\n    return (int)log_end();\n}\n',
    "schema/generate.py": "import sys\nsys.exit(0)\n",
}


class Fixture(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="house-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.build = self.root / "build"
        for path, text in GOOD.items():
            self.write(path, text)
        shutil.copy(TOOLS.parent / ".clang-format", self.root)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def change(self, path, old, new):
        text = (self.root / path).read_text()
        self.assertIn(old, text)
        self.write(path, text.replace(old, new))

    def add(self, path, text):
        self.write(path, (self.root / path).read_text() + text)

    def check(self, name):
        """(passed, output) of one check over the fixture."""
        run = subprocess.run([sys.executable, str(TOOLS / f"check_{name}.py"), "--root", str(self.root), "--build", str(self.build)],
                             capture_output=True, text=True)
        self.assertNotIn("Traceback", run.stderr, run.stderr)
        return run.returncode == 0, run.stdout + run.stderr

    def accepts(self, name):
        passed, output = self.check(name)
        self.assertTrue(passed, output)
        return output

    def catches(self, name, *told):
        passed, output = self.check(name)
        self.assertFalse(passed, f"{name} let it pass")
        for text in told:
            self.assertIn(text, output)

    def compile(self):
        """A static library a folder, as meson names them, and the compile database."""
        self.build.mkdir(exist_ok=True)
        entries = []
        for mod in ("base", "io", "wire", "log"):
            objects = []
            for source in sorted((self.root / "src" / mod).rglob("*.c")):
                entries.append({"directory": str(self.root), "file": str(source)})
                if source.name.endswith("_test.c"):
                    continue
                objects.append(str(self.build / (str(source.relative_to(self.root)).replace("/", "_") + ".o")))
                subprocess.run(["gcc", "-O1", "-fPIE", f"-I{self.root}/src", "-c", str(source), "-o", objects[-1]], check=True)
            subprocess.run(["ar", "rcs", str(self.build / f"lib{mod}.a"), *objects], check=True)
        entries.append({"directory": str(self.build), "file": "../sim/disk_test.c"})
        (self.build / "compile_commands.json").write_text(json.dumps(entries))


class Floors(Fixture):
    def test_a_good_tree_passes(self):
        self.accepts("floors")

    def test_an_include_upwards_is_caught(self):
        self.add("src/base/mem.c", '#include "log/log.h"\n')
        self.catches("floors", "src/base/mem.c:17", "not below")

    def test_a_neighbour_is_not_seen(self):
        self.add("src/io/clock.c", '#include "wire/wire.h"\n')
        self.catches("floors", "src/io/clock.c", "not below")

    def test_a_private_header_stays_at_home(self):
        self.write("src/wire/reader.h", prose("wire/reader.h"))
        self.add("src/log/log.c", '#include "wire/reader.h"\n')
        self.catches("floors", "private to wire/")

    def test_a_test_does_not_see_private_headers_of_others(self):
        self.add("sim/disk_test.c", '#include "log/roll.h"\n')
        self.catches("floors", "private to log/")

    def test_headers_in_a_circle_are_caught(self):
        self.add("src/log/roll.h", '#include "log/log.h"\n')
        self.add("src/log/log.h", '#include "log/roll.h"\n')
        self.catches("floors", "circle")

    def test_a_folder_without_a_floor_is_caught(self):
        self.write("src/attic/attic.c", prose("attic/attic.c"))
        self.catches("floors", "src/attic", "not listed")

    def test_a_bare_name_is_caught(self):
        self.add("src/log/log.c", '#include "roll.h"\n')
        self.catches("floors", "say the folder")


class Symbols(Fixture):
    def test_a_good_tree_passes(self):
        self.compile()
        self.accepts("symbols")

    def test_the_clock_outside_io_is_caught(self):
        self.add("src/log/log.c", "#include <time.h>\nlong log__now(void)\n{\n    return (long)time(NULL);\n}\n")
        self.compile()
        self.catches("symbols", "src/log", "time")

    def test_malloc_outside_its_file_is_caught(self):
        self.write("src/base/list.c", prose("base/list.c") + "#include <stdlib.h>\nvoid *list__x(void)\n{\n    return malloc(1);\n}\n")
        self.compile()
        self.catches("symbols", "src_base_list.c", "malloc")

    def test_a_tree_that_was_not_built_is_caught(self):
        self.catches("symbols", "build first")


class Visibility(Fixture):
    def test_a_good_tree_passes_and_lists_what_is_public_for_nobody(self):
        self.compile()
        self.assertIn("mem_alloc", self.accepts("visibility"))

    def test_an_internal_name_abroad_is_caught(self):
        self.compile()
        self.add("sim/disk_test.c", "long log__roll(void);\n")
        self.catches("visibility", "log__roll is internal", "sim/disk_test.c")

    def test_a_public_name_without_a_public_declaration_is_caught(self):
        self.add("src/log/log.c", "long log_secret(void)\n{\n    return 1;\n}\n")
        self.compile()
        self.catches("visibility", "log_secret is linked but not in log/log.h")


class Headers(Fixture):
    def test_a_good_tree_passes(self):
        self.accepts("headers")

    def test_a_header_that_needs_another_first_is_caught(self):
        self.change("src/base/base.h", "#include <stddef.h>\n", "")
        self.catches("headers", "src/base/base.h: does not compile alone")


class Banned(Fixture):
    def test_a_good_tree_passes_though_a_string_names_one(self):
        self.accepts("banned")

    def test_a_banned_call_is_caught(self):
        self.add("src/log/log.c", "void log__x(char *to, const char *from)\n{\n    strcpy(to, from);\n}\n")
        self.catches("banned", "src/log/log.c", "strcpy is banned")

    def test_a_banned_call_in_a_test_is_caught(self):
        self.add("src/log/log_test.c", "int x(void)\n{\n    return rand();\n}\n")
        self.catches("banned", "src/log/log_test.c", "rand is banned")

    def test_a_member_of_that_name_is_fine(self):
        self.add("src/log/log_test.c", "int x(struct y *z)\n{\n    return z->select(1) + z->system (2);\n}\n")
        self.accepts("banned")


class Prose(Fixture):
    def test_a_good_tree_passes(self):
        self.accepts("prose")

    def test_a_file_without_a_licence_is_caught(self):
        self.change("src/log/log.c", SPDX, "")
        self.catches("prose", "src/log/log.c", "licence")

    def test_a_file_without_prose_is_caught(self):
        self.write("src/log/log.c", SPDX + '#include "log/log.h"\n')
        self.catches("prose", "src/log/log.c", "no comment")

    def test_two_words_are_no_prose(self):
        self.write("src/log/log.c", SPDX + "/* The log. */\n")
        self.catches("prose", "src/log/log.c", "2 words")

    def test_an_opening_that_was_copied_is_caught(self):
        self.write("src/log/log.c", prose("log/other.c"))
        self.catches("prose", "that of another file, log/other.c")


class Format(Fixture):
    def test_a_good_tree_passes(self):
        self.accepts("format")

    def test_two_spaces_are_caught(self):
        self.change("src/log/log.c", "    return io_now_ms();", "  return io_now_ms();")
        self.catches("format", "src/log/log.c:", "not formatted")

    def test_generated_code_is_left_alone(self):
        self.add("src/wire/gen/codes.h", "  int   x  ;\n")
        self.accepts("format")


class Generated(Fixture):
    def test_a_generator_that_agrees_passes(self):
        self.accepts("generated")

    def test_a_generator_that_disagrees_is_caught(self):
        self.write("schema/generate.py", "import sys\nprint('codes.h differs')\nsys.exit(1)\n")
        self.catches("generated", "codes.h differs", "not current")

    def test_a_missing_generator_is_caught(self):
        (self.root / "schema/generate.py").unlink()
        self.catches("generated", "missing")


class Listed(Fixture):
    def test_a_good_tree_passes(self):
        self.compile()
        self.accepts("listed")

    def test_a_test_that_nobody_builds_is_caught(self):
        self.compile()
        self.write("src/log/lost_test.c", prose("log/lost_test.c"))
        self.catches("listed", "src/log/lost_test.c")


class Standalone(Fixture):
    def test_a_good_tree_passes(self):
        self.accepts("standalone")

    def test_a_path_that_leaves_the_repository_is_caught(self):
        self.write("README.md", "one\nsee .." + "/shared/design.md\n")
        self.catches("standalone", "README.md:2")


class Settings(Fixture):
    def setUp(self):
        super().setUp()
        self.write("schema/configs/topic.txt", "# name\nlog.bytes\tINT\t1\t-\tHIGH\tbase.log.bytes,base.log.kib*1024\t-\n")
        self.write("schema/configs/served.txt", "# table\nbroker\tbase.size\tserved\t-\tRead in base.\n"
                   "broker\tbase.log.kib\tserved\t-\tA default.\nbroker\tbase.later\twarned\t-\tNobody reads it yet.\n"
                   "topic\tlog.bytes\tserved\t-\tOf a topic.\n")
        self.add("src/base/mem.c", "\nconst char *base_setting = \"base.size\";\n")

    def test_a_good_tree_passes(self):
        self.accepts("settings")

    def test_a_served_setting_that_nobody_reads_is_caught(self):
        self.change("schema/configs/served.txt", "later\twarned", "later\tserved")
        self.catches("settings", "base.later is called served")

    def test_a_test_does_not_make_a_setting_served(self):
        self.change("schema/configs/served.txt", "later\twarned", "later\tserved")
        self.write("src/base/mem_test.c", prose("base/mem_test.c") + "const char *later = \"base.later\";\n")
        self.catches("settings", "base.later is called served")

    def test_the_default_of_a_topic_that_is_not_served_is_caught(self):
        self.change("schema/configs/served.txt", "log.bytes\tserved", "log.bytes\twarned")
        self.catches("settings", "base.log.kib is called served")


class Count(unittest.TestCase):
    def count(self, text):
        run = subprocess.run([sys.executable, str(TOOLS / "count_tests.py")], input=text, capture_output=True, text=True)
        return run.stdout.strip()

    def test_the_runners_summaries_are_summed(self):
        self.assertEqual(self.count("Ok:                 12\nExpected Fail:      0\nFail:               1\nTimeout:            2\n"
                                    "== 3 passed, 1 skipped in 0.12s ==\n\x1b[32m5 passed\x1b[0m in 2.00s\n1 failed, 2 passed in 3s\n"
                                    "sim: 7 passed, 0 failed\n12 passed by name\n"), "29 passed, 4 failed, 1 skipped")

    def test_no_test_is_told_as_none(self):
        self.assertEqual(self.count("hello\n"), "0 passed, 0 failed")


if __name__ == "__main__":
    unittest.main(verbosity=1)
