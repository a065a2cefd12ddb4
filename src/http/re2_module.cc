// SPDX-License-Identifier: Apache-2.0
/* http/re2_module.cc - RE2 behind three C functions, in a library of its own that http/regexp.c loads on first use. */
#include <cstddef>
#include <cstdio>
#include <new>
#include <re2/re2.h>

static const int64_t PROGRAM_MAX_BYTES = 8 << 20; // of one expression

extern "C" {
__attribute__((visibility("default"))) void *ottla_re2_compile(const char *pattern, char *ret_why, size_t why_size);
__attribute__((visibility("default"))) int ottla_re2_matches(const void *compiled, const void *text, size_t size);
__attribute__((visibility("default"))) void ottla_re2_release(void *compiled);

/* NULL: `ret_why` says what is wrong with the pattern. */
void *ottla_re2_compile(const char *pattern, char *ret_why, size_t why_size)
{
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(PROGRAM_MAX_BYTES);
    RE2 *compiled = new (std::nothrow) RE2(pattern, options);
    if (compiled && compiled->ok())
        return compiled;
    snprintf(ret_why, why_size, "%s", compiled ? compiled->error().c_str() : "out of memory");
    delete compiled;
    return nullptr;
}

/* Somewhere in the text. */
int ottla_re2_matches(const void *compiled, const void *text, size_t size)
{
    const RE2 *re2 = static_cast<const RE2 *>(compiled);
    return RE2::PartialMatch(re2::StringPiece(static_cast<const char *>(text), size), *re2);
}

void ottla_re2_release(void *compiled)
{
    delete static_cast<RE2 *>(compiled);
}
}
