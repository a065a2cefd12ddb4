// SPDX-License-Identifier: Apache-2.0
/* http/regexp.c - regular expressions by RE2, loaded on first use.
 *
 * RE2 is C++, so a module of its own (re2_module.cc, libottla-re2.so) stands between: beside the program, or in lib/ottla
 * of the same prefix. Without it everything else works, and a search by expression says what is missing.
 */
#include "http/http__.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

struct regexp {
    void *compiled;
};

/* The module's functions; looked up once, never unloaded. */
struct re2_module {
    void *(*compile)(const char *pattern, char *ret_why, size_t why_size);
    int (*matches)(const void *compiled, const void *text, size_t size);
    void (*release)(void *compiled);
};

static void *open_beside(const char *folder)
{
    char path[1200], program[1024];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size <= 0)
        return NULL;
    program[size] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    snprintf(path, sizeof path, "%s/%slibottla-re2.so", program, folder);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* Two threads that come first at once both load: the kernel of dlopen counts, and both find the same. */
static bool load(struct re2_module *ret_module)
{
    void *handle = open_beside("");
    if (!handle)
        handle = open_beside("../lib/ottla/");
    if (!handle)
        return false;
    *(void **)&ret_module->compile = dlsym(handle, "ottla_re2_compile");
    *(void **)&ret_module->matches = dlsym(handle, "ottla_re2_matches");
    *(void **)&ret_module->release = dlsym(handle, "ottla_re2_release");
    return ret_module->compile && ret_module->matches && ret_module->release;
}

static const struct re2_module *module_get(void)
{
    static __thread struct re2_module module; // handles are counted by dlopen; a thread's copy needs no lock
    return module.compile || load(&module) ? &module : NULL;
}

struct regexp *regexp__create(const char *pattern, char *ret_why, size_t why_size)
{
    const struct re2_module *module = module_get();
    if (!module) {
        snprintf(ret_why, why_size,
                 "regular expressions need libottla-re2.so beside the program and RE2 (Debian: libre2-9); search by "
                 "text works");
        return NULL;
    }
    void *compiled = module->compile(pattern, ret_why, why_size);
    if (!compiled)
        return NULL;
    struct regexp *regexp = mem_alloc(sizeof *regexp);
    regexp->compiled = compiled;
    return regexp;
}

bool regexp__matches(const struct regexp *regexp, struct slice text)
{
    const struct re2_module *module = module_get();
    return module && module->matches(regexp->compiled, text.data, text.size);
}

void regexp__free(struct regexp *regexp)
{
    const struct re2_module *module = regexp ? module_get() : NULL;
    if (module)
        module->release(regexp->compiled);
    mem_free(regexp);
}
