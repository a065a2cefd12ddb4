#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/wire/gen from schema/protocol and schema/errors.txt, src/meta/gen from schema/configs (settings.py), and
src/http/gen and docs/metrics.md from schema/metrics.txt (metrics.py).

    generate.py            writes what differs
    generate.py --check    fails, naming the files, if anything would differ

For each layout file one header and one .c: structs, and init, read and write for each message and each struct in it, as
straight lists of fields; tables that describe them (for dumps and tests); and registry.c over all.
"""
import os
import re
import sys

import layout
import metrics
import settings

HERE = layout.HERE
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"

C_TYPES = {"bool": "bool", "int8": "int8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t",
           "int64": "int64_t", "float64": "double", "uuid": "struct uuid", "string": "struct slice", "bytes": "struct slice",
           "records": "struct slice"}
READ = {"bool": "wire_read_bool(r)", "int8": "wire_read_i8(r)", "int16": "wire_read_i16(r)", "uint16": "(uint16_t)wire_read_i16(r)",
        "int32": "wire_read_i32(r)", "uint32": "(uint32_t)wire_read_i32(r)", "int64": "wire_read_i64(r)",
        "float64": "wire_read_f64(r)", "uuid": "wire_read_uuid(r)"}
WRITE = {"bool": "wire_write_bool(w, %s)", "int8": "wire_write_i8(w, %s)", "int16": "wire_write_i16(w, %s)",
         "uint16": "wire_write_i16(w, (int16_t)%s)", "int32": "wire_write_i32(w, %s)", "uint32": "wire_write_i32(w, (int32_t)%s)",
         "int64": "wire_write_i64(w, %s)", "float64": "wire_write_f64(w, %s)", "uuid": "wire_write_uuid(w, %s)"}
TABLE_TYPES = {"bool": "WIRE_BOOL", "int8": "WIRE_I8", "int16": "WIRE_I16", "uint16": "WIRE_U16", "int32": "WIRE_I32",
               "uint32": "WIRE_U32", "int64": "WIRE_I64", "float64": "WIRE_F64", "uuid": "WIRE_UUID", "string": "WIRE_STRING",
               "bytes": "WIRE_BYTES", "records": "WIRE_BYTES"}
KEYWORDS = {"default", "register", "int", "long", "short", "union", "struct", "enum", "static", "const", "auto"}


def snake(name):
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return name + "_" if name in KEYWORDS else name


def module_of(source):
    return re.sub(r"^\d+-", "", source[:-4]).replace("-", "_")


def condition(wanted, message, subject="version"):
    """C text that is true for the wanted versions; "true" and "false" where it is constant."""
    everything = sorted(message.versions)
    inside = [v for v in everything if v in wanted]
    if not inside:
        return "false"
    if inside == everything:
        return "true"
    parts, start = [], None
    for v in everything + [None]:
        if v is not None and v in wanted:
            start = v if start is None else start
            last = v
        elif start is not None:
            low = [] if start == everything[0] else [f"{subject} >= {start}"]
            high = [] if last == everything[-1] else [f"{subject} <= {last}"]
            parts.append(f"{subject} == {start}" if start == last and low and high else " && ".join(low + high))
            start = None
    return parts[0] if len(parts) == 1 else " || ".join(f"({p})" if "&&" in p else p for p in parts)


def bits(wanted):
    return "0x%xull" % sum(1 << v for v in wanted)


class Struct:
    """One C struct: a message or a struct inside of one."""

    def __init__(self, message, c_name, name, fields, versions):
        self.message, self.c_name, self.name, self.fields, self.versions = message, c_name, name, fields, versions
        self.has_tags = bool(message.flexible)


def structs_of(message):
    """Inner structs first, the message last."""
    found, done = [], set()

    def visit(fields):
        for field in fields:
            if field.kind in C_TYPES or field.kind in done:
                continue
            done.add(field.kind)
            inner = message.struct_fields(field)
            visit(inner)
            found.append(Struct(message, f"{snake(message.name)}_{snake(field.kind)}", field.kind, inner, field.versions))

    visit(message.fields)
    found.append(Struct(message, snake(message.name), message.name, message.fields, message.versions))
    return found


def struct_name(message, field):
    return f"{snake(message.name)}_{snake(field.kind)}"


def is_pointer(field):
    return field.kind not in C_TYPES and not field.array and bool(field.null)


def starts_present(field):
    """A nullable struct whose default is not null but the struct of defaults."""
    return is_pointer(field) and not field.has_default


def declaration(struct):
    lines = [f"struct {struct.c_name} {{"]
    for field in struct.fields:
        kind = C_TYPES.get(field.kind) or f"struct {struct_name(struct.message, field)}"
        name = snake(field.name)
        if field.array:
            lines += [f"    {kind} *{name};", f"    int32_t {name}_count;"]
        elif is_pointer(field):
            lines.append(f"    {kind} *{name};")
        else:
            lines.append(f"    {kind} {name};")
    if struct.has_tags:
        lines.append("    struct wire_tags unknown_tags;")
    if len(lines) == 1:
        lines.append("    char nothing;")
    return "\n".join(lines + ["};", ""])


def literal(field):
    value = field.default
    if field.kind == "bool":
        return "true" if value else "false"
    if field.kind == "float64":
        return repr(float(value or 0))
    number = int(value or 0)
    if field.kind == "int64" and abs(number) > 0x7FFFFFFF:
        return "INT64_MAX" if number == 2**63 - 1 else f"{number}ll"
    if number == -(2**31):
        return "INT32_MIN"
    return str(number)


def null_default(field):
    return (field.has_default and field.default is None) or (field.kind == "records" and not field.has_default)


def init_body(struct):
    lines = ["    *s = (struct %s){0};" % struct.c_name]
    for field in struct.fields:
        name = snake(field.name)
        if field.array:
            if null_default(field):
                lines.append(f"    s->{name}_count = -1;")
        elif field.kind in ("string", "bytes", "records"):
            if not null_default(field):
                lines.append(f'    s->{name} = slice_of("", 0);')
        elif field.kind == "uuid" or is_pointer(field):
            continue
        elif field.kind in C_TYPES:
            if literal(field) not in ("0", "false", "0.0"):
                lines.append(f"    s->{name} = {literal(field)};")
        else:
            lines.append(f"    {struct_name(struct.message, field)}_init(&s->{name});")
    return lines


def is_default(struct, field):
    """C text: the field of s equals its default."""
    name = snake(field.name)
    if field.array:
        return f"s->{name}_count == -1" if null_default(field) else f"s->{name}_count == 0"
    if field.kind in ("string", "bytes", "records"):
        return f"slice_is_null(s->{name})" if null_default(field) else f"s->{name}.data && s->{name}.size == 0"
    if field.kind == "uuid":
        return f"uuid_is_zero(s->{name})"
    if is_pointer(field):
        return f"s->{name} && {struct_name(struct.message, field)}__is_default(s->{name})" if starts_present(field) else f"!s->{name}"
    if field.kind in C_TYPES:
        return f"s->{name} == {literal(field)}" if field.kind != "bool" else ("s->%s" if field.default else "!s->%s") % name
    return f"{struct_name(struct.message, field)}__is_default(&s->{name})"


def needs_default_test(message):
    """Structs whose equality with their default is asked for: plain ones that are tagged or absent in a version."""
    wanted = set()

    def visit(fields, forced):
        for field in fields:
            if field.kind in C_TYPES:
                continue
            plain = not field.array and not is_pointer(field)
            ask = plain and (forced or field.tagged or field.versions != message.versions) or starts_present(field)
            if ask:
                wanted.add(field.kind)
            visit(message.struct_fields(field), ask)

    visit(message.fields, False)
    return wanted


def read_value(struct, field, target, in_tag, flexible):
    """Lines that read one plain value (not an array) into target."""
    message = struct.message
    nullable = condition(field.null, message)
    if field.kind == "string":
        return [f"{target} = wire_read_string(r, {'false' if field.never_flexible else flexible}, {nullable});"]
    if field.kind in ("bytes", "records"):
        return [f"{target} = wire_read_bytes(r, {flexible}, {nullable});"]
    if field.kind in C_TYPES:
        return [f"{target} = {READ[field.kind]};"]
    inner = struct_name(message, field)
    if not is_pointer(field) or field.array:
        return [f"{inner}_read(r, version, arena, &{target});"]
    present = "wire_read_uvarint(r) != 0" if in_tag else "wire_read_i8(r) >= 0"
    return [f"if (!({nullable}) || {present}) {{",
            f"    {target} = arena_zalloc(arena, sizeof *{target});",
            f"    if ({target})",
            f"        {inner}_read(r, version, arena, {target});",
            "    else",
            "        wire_reader_fail(r);",
            "} else {",
            f"    {target} = NULL;",
            "}"]


def read_field(struct, field, in_tag, flexible):
    name = snake(field.name)
    if not field.array:
        return read_value(struct, field, f"s->{name}", in_tag, flexible)
    return [f"s->{name}_count = wire_read_count(r, {flexible}, {condition(field.null, struct.message)});",
            f"if (s->{name}_count > 0 && !(s->{name} = arena_array(arena, (size_t)s->{name}_count, sizeof *s->{name}))) {{",
            "    wire_reader_fail(r);",
            f"    s->{name}_count = 0;",
            "}",
            f"for (int32_t i = 0; i < s->{name}_count && !r->failed; i++) {{"] + \
           ["    " + line for line in read_value(struct, field, f"s->{name}[i]", in_tag, flexible)] + \
           ["}", "if (r->failed)", f"    s->{name}_count = 0;"]


def guarded(cond, lines):
    if cond == "true":
        return lines
    if cond == "false":
        return []
    return [f"if ({cond}) {{"] + ["    " + line for line in lines] + ["}"]


def flexible_text(message):
    return {"true": "true", "false": "false"}.get(condition(message.flexible, message), "flexible")


def read_body(struct):
    message, flexible = struct.message, flexible_text(struct.message)
    lines = [f"{struct.c_name}_init(s);"]
    for field in struct.fields:
        if starts_present(field):
            name = snake(field.name)
            lines += [f"s->{name} = arena_zalloc(arena, sizeof *s->{name});", f"if (s->{name})",
                      f"    {struct_name(message, field)}_init(s->{name});", "else", "    wire_reader_fail(r);"]
    for field in struct.fields:
        lines += guarded(condition(field.versions - field.tagged, message), read_field(struct, field, False, flexible))
    if not struct.has_tags:
        return lines
    tags = ["int32_t count = wire__read_tag_count(frame);", "for (int32_t n = 0; n < count && !frame->failed; n++) {",
            "    uint32_t tag;", "    struct slice bytes;", "    wire__read_tag(frame, &tag, &bytes);"]
    cases = []
    for field in sorted((f for f in struct.fields if f.tagged), key=lambda f: f.tag):
        cond = condition(field.tagged, message)
        if cond == "false":
            continue
        test = f"tag == {field.tag}" + ("" if cond == "true" else f" && ({cond})")
        cases += [f"    {'} else ' if cases else ''}if ({test}) {{",
                  "        struct wire_reader inside, *r = &inside;",
                  "        wire_reader_init(r, bytes.data, bytes.size);"] + \
                 ["        " + line for line in read_field(struct, field, True, "true")] + \
                 ["        if (!wire_reader_finish(r))", "            wire_reader_fail(frame);"]
    keep = "wire__keep_tag(frame, arena, &s->unknown_tags, count, tag, bytes);"
    tags += cases + (["    } else {", f"        {keep}", "    }"] if cases else [f"    {keep}"]) + ["}"]
    return lines + guarded(condition(message.flexible, message),
                           ["struct wire_reader *frame = r;"] + tags)


def write_value(struct, field, source, in_tag, flexible):
    message = struct.message
    nullable = condition(field.null, message)
    lines = []
    if field.kind in ("string", "bytes", "records"):
        if nullable != "true":
            test = f"slice_is_null({source})" + ("" if nullable == "false" else f" && !({nullable})")
            lines = [f"if ({test})", "    wire_writer_fail(w);"]
        call = "string" if field.kind == "string" else "bytes"
        return lines + [f"wire_write_{call}(w, {'false' if field.never_flexible else flexible}, {source});"]
    if field.kind in C_TYPES:
        return [WRITE[field.kind] % source + ";"]
    inner = struct_name(message, field)
    if not is_pointer(field) or field.array:
        return [f"{inner}_write(w, version, &{source});"]
    write = "wire_write_uvarint(w, {0} ? 1 : 0);" if in_tag else "wire_write_i8(w, {0} ? 1 : -1);"
    return [write.format(source), f"if ({source})", f"    {inner}_write(w, version, {source});"]


def is_streamed(struct, field):
    """Arrays of structs of responses: wire/stream.c writes their elements one by one."""
    return (struct.message.name.endswith("Response") and field.array and field.kind not in C_TYPES and
            bool((field.versions - field.tagged) & struct.message.versions))


def write_count(struct, field, flexible):
    name, nullable = snake(field.name), condition(field.null, struct.message)
    lines = []
    if nullable != "true":
        test = f"s->{name}_count < 0" + ("" if nullable == "false" else f" && !({nullable})")
        lines = [f"if ({test})", "    wire_writer_fail(w);"]
    return lines + [f"wire_write_array_count(w, {flexible}, s->{name}_count);"]


def write_field(struct, field, in_tag, flexible):
    name = snake(field.name)
    if not field.array:
        return write_value(struct, field, f"s->{name}", in_tag, flexible)
    return write_count(struct, field, flexible) + [f"for (int32_t i = 0; i < s->{name}_count; i++) {{"] + \
        ["    " + line for line in write_value(struct, field, f"s->{name}[i]", in_tag, flexible)] + ["}"]


def write_absent(struct, field):
    absent = (struct.versions & struct.message.versions) - field.versions
    if not absent or field.ignorable:
        return []
    return [f"if (({condition(absent, struct.message)}) && !({is_default(struct, field)}))", "    wire_writer_fail(w);"]


def write_tags(struct):
    message = struct.message
    if not struct.has_tags:
        return []
    known = sorted((f for f in struct.fields if f.tagged), key=lambda f: f.tag)
    tags, total = [], ["s->unknown_tags.count"]
    for field in known:
        cond = condition(field.tagged, message)
        if cond == "false":
            continue
        name = f"has_{snake(field.name)}"
        tags.append(f"bool {name} = " + ("" if cond == "true" else f"({cond}) && ") + f"!({is_default(struct, field)});")
        total.append(name)
    tags.append(f"wire_write_uvarint(w, (uint32_t)({' + '.join(total)}));")
    for field in known:
        if condition(field.tagged, message) == "false":
            continue
        inner = write_field(struct, field, True, "true")
        tags += [f"if (has_{snake(field.name)}) {{", "    struct wire_writer counter, *out = w;", "    wire_writer_init_counting(&counter);",
                 "    for (int pass = 0; pass < 2; pass++) {", "        struct wire_writer *w = pass == 0 ? &counter : out;",
                 "        if (pass == 1) {", f"            wire_write_uvarint(w, {field.tag});",
                 "            wire_write_uvarint(w, (uint32_t)counter.size);", "        }"] + \
                ["        " + line for line in inner] + ["    }", "}"]
    tags.append("wire_write_kept_tags(w, &s->unknown_tags);")
    return guarded(condition(message.flexible, message), tags)


def write_parts(struct):
    """The fields in parts: each but the last ends with the count of an array whose elements are written between them."""
    message, flexible = struct.message, flexible_text(struct.message)
    parts = [[]]
    for field in struct.fields:
        write = write_count if is_streamed(struct, field) else lambda s, f, x: write_field(s, f, False, x)
        parts[-1] += guarded(condition(field.versions - field.tagged, message), write(struct, field, flexible))
        if is_streamed(struct, field):
            parts.append([])
        parts[-1] += write_absent(struct, field)
    parts[-1] += write_tags(struct)
    return parts


def write_body(struct):
    message, flexible = struct.message, flexible_text(struct.message)
    lines = []
    for field in struct.fields:
        lines += guarded(condition(field.versions - field.tagged, message), write_field(struct, field, False, flexible))
        lines += write_absent(struct, field)
    return lines + write_tags(struct)


def part_function(struct):
    """For wire/stream.c; of a struct without arrays to stream its only part is all of it."""
    parts, name = write_parts(struct), struct.c_name
    text = f"static void part_{name}(struct wire_writer *w, int16_t version, const void *p, int part)\n{{\n"
    if len(parts) == 1:
        return text + f"    (void)part;\n    {name}_write(w, version, p);\n}}\n\n"
    flexible, lines = condition(struct.message.flexible, struct.message), [f"const struct {name} *s = p;"]
    used = "\n".join(line for part in parts for line in part)
    if re.search(r"\bflexible\b", used):
        lines.append(f"const bool flexible = {flexible};")
        used += flexible
    if not re.search(r"\bversion\b", used):
        lines.append("(void)version;")
    if not re.search(r"\bs->", used):
        lines.append("(void)s;")
    lines.append("switch (part) {")
    for number, part in enumerate(parts):
        label = "default" if number == len(parts) - 1 else f"case {number}"
        lines += [f"{label}: {{"] + ["    " + line for line in part] + ["    return;", "}"]
    return text + "\n".join("    " + line for line in lines + ["}"]) + "\n}\n\n"


def functions(struct, is_message):
    message = struct.message
    flexible = condition(message.flexible, message)
    read, write = read_body(struct), write_body(struct)

    def body(lines):
        uses = any(re.search(r"\bflexible\b", line) for line in lines)
        local = [f"const bool flexible = {flexible};"] if uses else []
        return "\n".join("    " + line for line in local + lines)

    unused = [f"(void){p};" for p in ("version",) if not any(re.search(r"\bversion\b", x) for x in write) and
              not (any("flexible" in x for x in write) and "version" in flexible)]
    text = f"void {struct.c_name}_init(struct {struct.c_name} *s)\n{{\n" + "\n".join(init_body(struct)) + "\n}\n\n"
    text += (f"void {struct.c_name}_read(struct wire_reader *r, int16_t version, struct arena *arena, struct {struct.c_name} *s)\n"
             "{\n" + body(read) + "\n}\n\n")
    text += (f"void {struct.c_name}_write(struct wire_writer *w, int16_t version, const struct {struct.c_name} *s)\n"
             "{\n" + body(unused + write) + "\n}\n\n")
    if is_message:
        name = struct.c_name
        text += (f"static void any_{name}_init(void *s)\n{{\n    {name}_init(s);\n}}\n\n"
                 f"static void any_{name}_read(struct wire_reader *r, int16_t version, struct arena *arena, void *s)\n"
                 f"{{\n    {name}_read(r, version, arena, s);\n}}\n\n"
                 f"static void any_{name}_write(struct wire_writer *w, int16_t version, const void *s)\n"
                 f"{{\n    {name}_write(w, version, s);\n}}\n\n")
    if message.name.endswith("Response"):
        text += part_function(struct)
    return text


def default_test(struct):
    tests = [is_default(struct, f) for f in struct.fields] + (["s->unknown_tags.count == 0"] if struct.has_tags else [])
    return (f"static bool {struct.c_name}__is_default(const struct {struct.c_name} *s)\n{{\n    return " +
            " &&\n           ".join(f"({t})" for t in tests) + ";\n}\n\n")


def tables(struct, is_message):
    message, name = struct.message, struct.c_name
    rows, text = [], ""
    for field in struct.fields:
        tagged = field.tagged & message.versions
        if tagged:
            text += (f"static bool unsent_{name}_{snake(field.name)}(const void *p)\n{{\n    const struct {name} *s = p;\n"
                     f"    return {is_default(struct, field)};\n}}\n\n")
        unsent = f"unsent_{name}_{snake(field.name)}" if tagged else "NULL"
        c_field = snake(field.name)
        of = "NULL" if field.kind in C_TYPES else f"&layout_{struct_name(message, field)}"
        count = f"offsetof(struct {name}, {c_field}_count)" if field.array else "0"
        rows.append(f'    {{"{field.name}", {TABLE_TYPES.get(field.kind, "WIRE_STRUCT")}, {str(field.array).lower()}, '
                    f"{str(is_pointer(field)).lower()}, offsetof(struct {name}, {c_field}), {count}, {bits(field.versions)}, {bits(tagged)}, {unsent}, {of}}},")
    part = f"part_{name}" if message.name.endswith("Response") else "NULL"
    arrays = [field for field in struct.fields if is_streamed(struct, field)]
    if rows:
        text += f"static const struct wire_field fields_{name}[] = {{\n" + "\n".join(rows) + "\n};\n"
    if arrays:
        text += f"static const struct wire_array arrays_{name}[] = {{\n" + "\n".join(
            f"    {{offsetof(struct {name}, {snake(a.name)}), offsetof(struct {name}, {snake(a.name)}_count), "
            f"{bits(a.versions - a.tagged)}, &layout_{struct_name(message, a)}}}," for a in arrays) + "\n};\n"
    text += (f"static const struct wire_struct layout_{name} = {{\"{struct.name}\", sizeof(struct {name}), "
             f"{f'fields_{name}' if rows else 'NULL'}, {len(rows)}, "
             f"{part}, {f'arrays_{name}' if arrays else 'NULL'}, {len(arrays)}}};\n")
    if is_message:
        text += (f"const struct wire_message wire_message_{name} = {{\"{message.name}\", {min(message.versions)}, {message.highest}, "
                 f"{bits(message.flexible)}, sizeof(struct {name}), any_{name}_init, any_{name}_read, any_{name}_write, "
                 f"&layout_{name}}};\n")
    return text + "\n"


def header_file(source, messages):
    text = LICENCE + f"/* Generated by schema/generate.py from schema/protocol/{source}; do not edit. */\n#pragma once\n\n#include \"wire/wire.h\"\n\n"
    for message in messages:
        for struct in structs_of(message):
            name = struct.c_name
            text += declaration(struct)
            text += (f"void {name}_init(struct {name} *s);\n"
                     f"void {name}_read(struct wire_reader *r, int16_t version, struct arena *arena, struct {name} *s);\n"
                     f"void {name}_write(struct wire_writer *w, int16_t version, const struct {name} *s);\n\n")
        text += f"extern const struct wire_message wire_message_{snake(message.name)};\n\n"
    return text


def source_file(source, messages):
    text = LICENCE + (f"/* Generated by schema/generate.py from schema/protocol/{source}; do not edit.\n"
                      " * Codecs of its messages: each function is the list of fields as the layout has it. */\n"
                      f"#include \"wire/gen/{module_of(source)}.h\"\n\n#include \"wire/wire__.h\"\n\n"
                      "#pragma GCC diagnostic ignored \"-Wshadow\" // a tagged field is read by a reader of its own, named as the frame's\n\n")
    for message in messages:
        wanted = needs_default_test(message)
        structs = structs_of(message)
        for struct in structs:
            is_message = struct is structs[-1]
            if struct.name in wanted and not is_message:
                text += default_test(struct)
            text += functions(struct, is_message) + tables(struct, is_message)
    return text


def errors_header():
    text = LICENCE + "/* Generated by schema/generate.py from schema/errors.txt; do not edit. */\n#pragma once\n\nenum kafka_error {\n"
    for code, name in error_rows():
        text += f"    KAFKA_{name} = {code},\n"
    text += "};\n"
    return text


def error_rows():
    for line in open(os.path.join(HERE, "errors.txt"), encoding="utf-8"):
        if not line.startswith("#") and line.strip():
            code, name = line.split("\t")[:2]
            yield int(code), name


def apis_header(apis):
    text = LICENCE + "/* Generated by schema/generate.py from schema/protocol; do not edit. */\n#pragma once\n\nenum api_key {\n"
    for key in sorted(apis):
        text += f"    API_{snake(apis[key].name).upper()} = {key},\n"
    return text + f"    API_KEY_COUNT = {max(apis) + 1},\n}};\n"


def records_table(by_source):
    """Stored records by family and id: the message of the key (none for metadata) and of the value."""
    text = "static const struct wire_record RECORDS[] = {\n"
    for source, messages in by_source.items():
        family = "WIRE_RECORDS_" + re.sub(r"^records-|\.txt$", "", source).replace("-", "_").upper()
        for value in messages:
            if value.id is None or value.kind == "key":
                continue
            keys = [m for m in messages if m.kind == "key" and m.id == value.id]
            key = f"&wire_message_{snake(keys[0].name)}" if keys else "NULL"
            text += f"    {{{family}, {value.id}, {key}, &wire_message_{snake(value.name)}}},\n"
    return text + ("};\n\nconst struct wire_record *wire_record_find(enum wire_records family, int32_t id)\n{\n"
                   "    for (size_t i = 0; i < COUNT_OF(RECORDS); i++)\n        if (RECORDS[i].family == family && RECORDS[i].id == id)\n"
                   "            return &RECORDS[i];\n    return NULL;\n}\n\n")


def registry(apis, by_source):
    messages = [m for source in by_source for m in by_source[source]]
    text = LICENCE + ("/* Generated by schema/generate.py from schema/protocol; do not edit.\n"
                      " * Every message that has a layout, the table of API keys, and the names of errors. */\n#include \"wire/wire.h\"\n\n")
    for source in by_source:
        text += f"#include \"wire/gen/{module_of(source)}.h\"\n"
    text += "\nstatic const struct wire_message *const MESSAGES[] = {\n"
    text += "".join(f"    &wire_message_{snake(m.name)},\n" for m in messages) + "};\n\n"
    text += "static const struct wire_api APIS[] = {\n"
    for key in sorted(apis):
        api = apis[key]
        text += (f"    [{key}] = {{{key}, \"{api.name}\", {min(api.request.versions)}, {api.request.highest}, "
                 f"&wire_message_{snake(api.request.name)}, &wire_message_{snake(api.response.name)}}},\n")
    text += "};\n\n" + records_table(by_source)
    text += "const struct wire_message *wire_message_find(const char *name)\n{\n    for (size_t i = 0; i < COUNT_OF(MESSAGES); i++)\n"
    text += "        if (strcmp(MESSAGES[i]->name, name) == 0)\n            return MESSAGES[i];\n    return NULL;\n}\n\n"
    text += "const struct wire_message *wire_messages(int *ret_count)\n{\n    static struct wire_message copies[COUNT_OF(MESSAGES)];\n"
    text += "    if (!copies[0].name)\n        for (size_t i = 0; i < COUNT_OF(MESSAGES); i++)\n            copies[i] = *MESSAGES[i];\n"
    text += "    *ret_count = (int)COUNT_OF(MESSAGES);\n    return copies;\n}\n\n"
    text += "const struct wire_api *wire_api_find(int16_t key)\n{\n    return key >= 0 && key < (int16_t)COUNT_OF(APIS) && APIS[key].name ? &APIS[key] : NULL;\n}\n\n"
    text += "const char *kafka_error_name(int16_t code)\n{\n    switch (code) {\n"
    for code, name in error_rows():
        text += f"    case {code}:\n        return \"{name}\";\n"
    text += "    default:\n        return \"UNKNOWN_SERVER_ERROR\";\n    }\n}\n"
    return text


def check_headers(apis):
    """The header versions follow from the flexible ones; the two exceptions are in wire/headers.c."""
    for api in apis.values():
        for version, header in api.request_header.items():
            expected = 2 if version in api.request.flexible else 0 if api.key == 7 and version == 0 else 1
            assert header == expected, (api.name, version, header)
        for version, header in api.response_header.items():
            expected = 0 if api.key == 18 else 1 if version in api.response.flexible else 0
            assert header == expected, (api.name, version, header)


def files():
    apis, by_source = layout.load()
    check_headers(apis)
    out = {"errors.h": errors_header(), "apis.h": apis_header(apis), "registry.c": registry(apis, by_source)}
    for source, messages in by_source.items():
        out[module_of(source) + ".h"] = header_file(source, messages)
        out[module_of(source) + ".c"] = source_file(source, messages)
    return out


def bring_up_to_date(folder, out, only_check):
    """Names of the files that are not what they should be, after writing them unless only a check is asked for."""
    path = os.path.join(HERE, "..", folder)
    stale = []
    os.makedirs(path, exist_ok=True)
    for name, text in out.items():
        file = os.path.join(path, name)
        if not os.path.exists(file) or open(file, encoding="utf-8").read() != text:
            stale.append(f"{folder}/{name}")
            if not only_check:
                open(file, "w", encoding="utf-8").write(text)
    extra = sorted(set(n for n in os.listdir(path) if n.endswith((".c", ".h"))) - set(out))
    return stale + [f"{folder}/{name}" for name in extra]


def main():
    only_check = "--check" in sys.argv
    folders = {"src/wire/gen": files(), "src/meta/gen": settings.files(), "src/http/gen": metrics.files(), "docs": metrics.docs()}
    stale = [name for folder, out in folders.items() for name in bring_up_to_date(folder, out, only_check)]
    if only_check and stale:
        sys.exit("not current: " + ", ".join(stale) + "; run schema/generate.py")


if __name__ == "__main__":
    main()
