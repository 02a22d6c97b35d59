/* Preloaded, makes a program believe that the machine has PROCESSORS processors.
 *
 * Rust's std::thread::available_parallelism counts the bits of sched_getaffinity, asks sysconf where that fails, and
 * takes the quota of a control group if that is less. The last cannot be claimed away here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set) {
    (void)pid;
    memset(set, 0, size);
    for (int i = 0; i < PROCESSORS; i++)
        CPU_SET_S(i, size, set);
    return 0;
}

long sysconf(int name) {
    static long (*real)(int);
    if (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF)
        return PROCESSORS;
    if (!real)
        real = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return real(name);
}
