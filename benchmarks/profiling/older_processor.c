/* Preloaded by older_processor.py: answers CPUID, which it replaced by UD2, without some instruction sets.

   MASKED_CPUID has "leaf subleaf register mask" four by four, register 0 to 3 for EAX to EDX, the mask in hex.
   MASKED_CPUINFO is the file that is opened in place of /proc/cpuinfo. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static struct { unsigned leaf, subleaf, index, mask; } rules[64];
static int n_rules, is_installed;

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)r[REG_RIP];
    unsigned leaf = (unsigned)r[REG_RAX], subleaf = (unsigned)r[REG_RCX], value[4];
    if (at[0] != 0x0f || at[1] != 0x0b) { /* a real illegal instruction: end by it */
        signal(SIGILL, SIG_DFL);
        return;
    }
    __cpuid_count(leaf, subleaf, value[0], value[1], value[2], value[3]);
    for (int i = 0; i < n_rules; i++)
        if (rules[i].leaf == leaf && (leaf != 7 || rules[i].subleaf == subleaf)) value[rules[i].index] &= ~rules[i].mask;
    r[REG_RAX] = value[0], r[REG_RBX] = value[1], r[REG_RCX] = value[2], r[REG_RDX] = value[3], r[REG_RIP] += 2;
}

__attribute__((constructor)) static void install(void) {
    const char *text = getenv("MASKED_CPUID");
    int used;
    for (; text && n_rules < 64; text += used, n_rules++)
        if (sscanf(text, " %u %u %u %x%n", &rules[n_rules].leaf, &rules[n_rules].subleaf, &rules[n_rules].index,
                   &rules[n_rules].mask, &used) != 4) break;
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGILL, &action, NULL);
    is_installed = 1;
}

/* The signal stays ours: Python's faulthandler would take it. */
int sigaction(int number, const struct sigaction *action, struct sigaction *before) {
    int (*real)(int, const struct sigaction *, struct sigaction *) =
        (int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
    return real(number, number == SIGILL && is_installed ? NULL : action, before);
}

static int open_masked(const char *name, const char *path, int flags, mode_t mode) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    const char *masked = getenv("MASKED_CPUINFO");
    return real(masked && strcmp(path, "/proc/cpuinfo") == 0 ? masked : path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_masked("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_masked("open64", path, flags, mode);
}
