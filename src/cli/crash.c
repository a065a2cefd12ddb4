// SPDX-License-Identifier: Apache-2.0
/* cli/crash.c - what a crash tells: the signal, and the calls that led to it with names and lines.
 *
 * A crashed process can rely on nothing, its heap least of all. So the crash itself only writes and forks; the child, a copy
 * with the same addresses, looks names and lines up with elfutils' libdw (loaded only then) and is ended by an alarm should
 * it hang. When the child fails, or libdw is not installed, the parent prints bare addresses. Then the signal takes its usual
 * course: exit status and core file are those of the crash.
 */
#include "cli/cli.h"

#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FRAMES_MAX = 64, CHILD_SECONDS = 5 };
enum { ALTERNATE_STACK_BYTES = 1 << 20 }; // libdw needs much; it costs memory only when it is used
enum { FRAMES_OF_HANDLER = 2 };           // the handler's own and the kernel's return from it

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static const char *const SIGNAL_NAMES[] = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"};
static const char LIBRARY[] = "libdw.so.1";

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; // nowhere to tell it
}

/* ---- names and lines, in the child */
struct libdw {
    __typeof__(&dwfl_begin) begin;
    __typeof__(&dwfl_linux_proc_report) report_process;
    __typeof__(&dwfl_report_end) report_end;
    __typeof__(&dwfl_addrmodule) module_of;
    __typeof__(&dwfl_module_addrname) name_of;
    __typeof__(&dwfl_module_getsrc) line_of;
    __typeof__(&dwfl_lineinfo) line_info;
    __typeof__(&dwfl_module_info) module_info;
    __typeof__(&dwfl_linux_proc_find_elf) find_elf;
    __typeof__(&dwfl_standard_find_debuginfo) find_debuginfo;
};

static bool libdw_load(struct libdw *dw)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return false;
    dw->begin = (__typeof__(dw->begin))dlsym(handle, "dwfl_begin");
    dw->report_process = (__typeof__(dw->report_process))dlsym(handle, "dwfl_linux_proc_report");
    dw->report_end = (__typeof__(dw->report_end))dlsym(handle, "dwfl_report_end");
    dw->module_of = (__typeof__(dw->module_of))dlsym(handle, "dwfl_addrmodule");
    dw->name_of = (__typeof__(dw->name_of))dlsym(handle, "dwfl_module_addrname");
    dw->line_of = (__typeof__(dw->line_of))dlsym(handle, "dwfl_module_getsrc");
    dw->line_info = (__typeof__(dw->line_info))dlsym(handle, "dwfl_lineinfo");
    dw->module_info = (__typeof__(dw->module_info))dlsym(handle, "dwfl_module_info");
    dw->find_elf = (__typeof__(dw->find_elf))dlsym(handle, "dwfl_linux_proc_find_elf");
    dw->find_debuginfo = (__typeof__(dw->find_debuginfo))dlsym(handle, "dwfl_standard_find_debuginfo");
    return dw->begin && dw->report_process && dw->report_end && dw->module_of && dw->name_of && dw->line_of &&
           dw->line_info && dw->module_info && dw->find_elf && dw->find_debuginfo;
}

static void print_frame(const struct libdw *dw, Dwfl *process, int number, Dwarf_Addr address)
{
    Dwfl_Module *module = dw->module_of(process, address);
    const char *name = module ? dw->name_of(module, address) : NULL;
    Dwfl_Line *line = module ? dw->line_of(module, address) : NULL;
    const char *where = module ? dw->module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL) : "?";
    int line_number = 0;
    const char *file = line ? dw->line_info(line, NULL, &line_number, NULL, NULL, NULL) : NULL;
    char text[1024];
    if (file)
        snprintf(text, sizeof text, "  #%-2d %s at %s:%d\n", number, name ? name : "?", file, line_number);
    else
        snprintf(text, sizeof text, "  #%-2d %s in %s [%#llx]\n", number, name ? name : "?", where,
                 (unsigned long long)address);
    say(text);
}

/* True when names could be told. */
static bool print_names(void *const *frames, int count)
{
    static char *debuginfo_path;
    struct libdw dw = {0};
    if (!libdw_load(&dw))
        return false;
    const Dwfl_Callbacks callbacks = {
        .find_elf = dw.find_elf, .find_debuginfo = dw.find_debuginfo, .debuginfo_path = &debuginfo_path};
    Dwfl *process = dw.begin(&callbacks);
    if (!process || dw.report_process(process, getpid()) != 0 || dw.report_end(process, NULL, NULL) != 0)
        return false;
    for (int i = 0; i < count; i++) // a return address lies behind its call
        print_frame(&dw, process, i, (Dwarf_Addr)(uintptr_t)frames[i] - (i > 0));
    return true;
}

static void print_trace(void *const *frames, int count)
{
    pid_t child = _Fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        _exit(print_names(frames, count) ? 0 : 1);
    }
    int status = 1;
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
        return;
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
    say("  (with libdw1 installed, these lines have names)\n");
}

/* ---- in the crash itself */
static const char *name_of(int signal_number)
{
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++)
        if (SIGNALS[i] == signal_number)
            return SIGNAL_NAMES[i];
    return "a signal";
}

static void crashed(int signal_number, siginfo_t *info, void *context)
{
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);
    int skip = count > FRAMES_OF_HANDLER ? FRAMES_OF_HANDLER : 0;
    char text[160];
    bool has_address = signal_number != SIGABRT && info->si_code > 0;
    snprintf(text, sizeof text, "\nottla %s crashed: %s", OTTLA_VERSION, name_of(signal_number));
    say(text);
    if (has_address) {
        snprintf(text, sizeof text, " at address %p", info->si_addr);
        say(text);
    }
    say(". Please report this with the lines below.\n");
    print_trace(frames + skip, count - skip);
    (void)context; // SA_RESETHAND: the return runs into the same signal, or raise delivers it, with its usual end
    raise(signal_number);
}

void cli_crash_trace(void)
{
    static char stack[ALTERNATE_STACK_BYTES];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    void *first[1];
    backtrace(first, 1); // loads what it needs now, while that is safe
    struct sigaction action = {.sa_sigaction = crashed,
                               .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER)};
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++)
        sigaction(SIGNALS[i], &action, NULL);
}
