/*
 * A disk that fails on request. This library is preloaded into diskferry. It counts the calls of the process on its
 * journal, FILE.part and standard output, and acts at the n-th one.
 *
 * PROOF_RULES is a list of CLASS:OPERATION:N:ACTION, separated by semicolons.
 *   CLASS      journal (a path that ends in ".journal"), part (".part") or out (".out", where standard output goes)
 *   OPERATION  write, sync, name (link, rename, unlink), exit (of the process), or bytes (N is then a number of bytes
 *              written)
 *   ACTION     kill   the process ends before the call is carried out
 *              tear   half of the write is carried out, then the process ends
 *              crash  everything that was not synced is lost, then the process ends, as in a power loss
 *              int    the process gets SIGINT, then goes on
 *              eio, enospc  the call fails. A failed sync also loses the pages that were written since the last good one:
 *                     they read as zero. A failed write writes nothing, and neither does any after it.
 * PROOF_MARK is a file that is created when a rule acts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NONE, JOURNAL, PART, OUT };
enum { RULES = 8, RANGES = 4096, FILES = 16 };

struct rule {
    int class;
    char operation[8], action[8];
    long n, seen;
    int spent;
};
struct file {
    dev_t dev;
    ino_t ino;
    int class, ranges;
    /* A descriptor of our own: the process may close its own, and writes to one that appends ignore their offset. */
    int fd;
    off_t from[RANGES], to[RANGES];
};

static struct rule rules[RULES];
static struct file *files[FILES];
static int rule_count, file_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    static void find_##name(void) { *(void **)&real_##name = dlsym(RTLD_NEXT, #name); }
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite64, int, const void *, size_t, off_t)
REAL(int, fsync, int)
REAL(int, fdatasync, int)
REAL(int, open64, const char *, int, ...)
REAL(int, unlink, const char *)
REAL(int, rename, const char *, const char *)
REAL(int, linkat, int, const char *, int, const char *, int)

static int class_of(const char *path) {
    size_t len = strlen(path);
    if (len >= 8 && strcmp(path + len - 8, ".journal") == 0) return JOURNAL;
    if (len >= 5 && strcmp(path + len - 5, ".part") == 0) return PART;
    if (len >= 4 && strcmp(path + len - 4, ".out") == 0) return OUT;
    return NONE;
}

__attribute__((constructor)) static void begin(void) {
    find_write(), find_pwrite64(), find_fsync(), find_fdatasync(), find_open64(), find_unlink(), find_rename(), find_linkat();
    const char *text = getenv("PROOF_RULES");
    while (text && *text && rule_count < RULES) {
        struct rule *rule = &rules[rule_count];
        char class[8];
        if (sscanf(text, "%7[^:]:%7[^:]:%ld:%7[^;]", class, rule->operation, &rule->n, rule->action) != 4) {
            dprintf(2, "preload.c: cannot read the rule %s\n", text);
            _exit(99);
        }
        rule->class = strcmp(class, "journal") == 0 ? JOURNAL : strcmp(class, "part") == 0 ? PART : OUT;
        rule_count++;
        text = strchr(text, ';');
        if (text) text++;
    }
}

static struct file *file_of(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0 || path[0] != '/') return NULL;
    path[len] = 0;
    int class = class_of(path);
    struct stat st;
    if (class == NONE || fstat(fd, &st) != 0) return NULL;
    for (int i = 0; i < file_count; i++)
        if (files[i]->dev == st.st_dev && files[i]->ino == st.st_ino) return files[i];
    if (file_count == FILES) return NULL;
    struct file *file = calloc(1, sizeof *file);
    file->dev = st.st_dev, file->ino = st.st_ino, file->class = class;
    file->fd = real_open64(link, O_WRONLY | O_CLOEXEC);
    return files[file_count++] = file;
}

static void wrote(struct file *file, off_t from, off_t to) {
    if (file->ranges > 0 && file->to[file->ranges - 1] == from) {
        file->to[file->ranges - 1] = to;
    } else if (file->ranges < RANGES) {
        file->from[file->ranges] = from, file->to[file->ranges] = to;
        file->ranges++;
    } else if (to > file->to[RANGES - 1]) {
        file->to[RANGES - 1] = to;
    }
}

static void lose(struct file *file, int truncate) {
    int fd = file->fd;
    static const char zeros[1 << 16];
    off_t least = -1;
    for (int i = 0; fd >= 0 && i < file->ranges; i++) {
        if (least < 0 || file->from[i] < least) least = file->from[i];
        for (off_t at = file->from[i]; !truncate && at < file->to[i]; at += sizeof zeros) {
            size_t len = file->to[i] - at < (off_t)sizeof zeros ? (size_t)(file->to[i] - at) : sizeof zeros;
            if (real_pwrite64(fd, zeros, len, at) < 0) break;
        }
    }
    if (truncate && least >= 0 && ftruncate(fd, least) != 0) { /* It keeps its length. */ }
    file->ranges = 0;
}

static void mark(void) {
    const char *path = getenv("PROOF_MARK");
    int fd = path ? real_open64(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) close(fd);
}

/* The rule whose count was reached. */
static struct rule *due(int class, const char *operation) {
    struct rule *found = NULL;
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (rule->class != class || strcmp(rule->operation, operation) != 0) continue;
        if (++rule->seen == rule->n) found = rule;
    }
    return found;
}

/* Performs the action. Returns the error that the call has to fail with, or 0. */
static int act(const struct rule *rule) {
    if (!rule) return 0;
    mark();
    if (strcmp(rule->action, "crash") == 0)
        for (int i = 0; i < file_count; i++)
            if (files[i]->class != OUT) lose(files[i], files[i]->class == JOURNAL);
    if (strcmp(rule->action, "int") == 0) kill(getpid(), SIGINT);
    else if (strcmp(rule->action, "eio") == 0) return EIO;
    else if (strcmp(rule->action, "enospc") == 0) return ENOSPC;
    else kill(getpid(), SIGKILL);
    return 0;
}

/* Returns how many of the `len` bytes of a write still fit. */
static size_t room(int class, size_t len, int *error) {
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (rule->class != class || strcmp(rule->operation, "bytes") != 0) continue;
        if (rule->seen + (long)len > rule->n) {
            if (!rule->spent) mark();
            rule->spent = 1;
            len = rule->n > rule->seen ? (size_t)(rule->n - rule->seen) : 0;
            *error = strcmp(rule->action, "eio") == 0 ? EIO : ENOSPC;
        }
        rule->seen += (long)len;
    }
    return len;
}

static ssize_t writing(int fd, const void *bytes, size_t len, off_t at, int positioned) {
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    ssize_t done;
    if (!file) {
        pthread_mutex_unlock(&lock);
        return positioned ? real_pwrite64(fd, bytes, len, at) : real_write(fd, bytes, len);
    }
    struct rule *rule = due(file->class, "write");
    if (rule && strcmp(rule->action, "tear") == 0) len /= 2;
    else if ((errno = act(rule)) != 0) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    int error = 0;
    size_t fits = room(file->class, len, &error);
    if (fits == 0 && error != 0) {
        pthread_mutex_unlock(&lock);
        errno = error;
        return -1;
    }
    done = positioned ? real_pwrite64(fd, bytes, fits, at) : real_write(fd, bytes, fits);
    if (done > 0) {
        off_t from = positioned ? at : lseek(fd, 0, SEEK_CUR) - done;
        wrote(file, from, from + done);
    }
    if (rule && strcmp(rule->action, "tear") == 0) act(rule);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len) { return writing(fd, bytes, len, 0, 0); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) { return writing(fd, bytes, len, at, 1); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return writing(fd, bytes, len, at, 1); }

static int syncing(int fd, int (*real)(int)) {
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    int error = file ? act(due(file->class, "sync")) : 0;
    int result = -1;
    if (error != 0) {
        lose(file, 0);
    } else {
        result = real(fd);
        error = errno;
        if (file && result == 0) file->ranges = 0;
    }
    pthread_mutex_unlock(&lock);
    if (result != 0) errno = error;
    return result;
}

int fsync(int fd) { return syncing(fd, real_fsync); }
int fdatasync(int fd) { return syncing(fd, real_fdatasync); }

__attribute__((destructor)) static void end(void) {
    pthread_mutex_lock(&lock);
    act(due(JOURNAL, "exit"));
    pthread_mutex_unlock(&lock);
}

static int naming(const char *path) {
    int class = class_of(path);
    if (class == NONE) return 0;
    pthread_mutex_lock(&lock);
    int error = act(due(class, "name"));
    pthread_mutex_unlock(&lock);
    errno = error;
    return error;
}

int unlink(const char *path) { return naming(path) ? -1 : real_unlink(path); }
int rename(const char *from, const char *to) { return naming(from) ? -1 : real_rename(from, to); }
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    return naming(from) ? -1 : real_linkat(from_dir, from, to_dir, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
