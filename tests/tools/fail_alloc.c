/* SPDX-License-Identifier: MIT
 *
 * fail_alloc.c - a library for LD_PRELOAD in which allocations and thread creation fail on command.
 *
 * The environment's FAIL_ALLOC names a file that holds a struct control. It is mapped, so a test
 * can change it while the program runs: one server serves thousands of cases. With FAIL_NTH=n
 * instead, the n-th allocation since the program started fails.
 *
 * It counts malloc, calloc, realloc, reallocarray, strdup, strndup, the aligned ones and
 * pthread_create. The real functions are the sanitizer's, if the program has one, else libc's. The
 * sanitizer needs ASAN_OPTIONS=verify_asan_link_order=0, because it insists on being the first
 * library.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All 64 bits, in this order; tests/support/fault_injection.py writes them. */
struct control {
    _Atomic uint64_t counted;     /* calls since the test set it to 0 */
    _Atomic uint64_t first;       /* the call that fails; 0: none */
    _Atomic uint64_t step;        /* each step-th call after it fails, too; 0: only the first */
    _Atomic uint64_t failed;      /* calls that failed */
    _Atomic uint64_t threads_max; /* pthread_create fails at this many threads; 0: no limit */
};

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *old, size_t size) __attribute__((weak));
extern void *__interceptor_memalign(size_t alignment, size_t size) __attribute__((weak));

static struct control none;
static struct control *control = &none;
static int tasks = -1; /* /proc/self/task: the threads of this process */
/* This thread has entered its function. Other TLS models would allocate this at its first use. */
static _Thread_local bool begun __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void read_environment(void)
{
    const char *path = getenv("FAIL_ALLOC"), *nth = getenv("FAIL_NTH");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    tasks = open("/proc/self/task", O_PATH | O_DIRECTORY | O_CLOEXEC);
    void *mapped = MAP_FAILED;
    if (fd >= 0)
        mapped = mmap(NULL, sizeof(none), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (mapped != MAP_FAILED)
        control = mapped;
    if (nth)
        none.first = strtoull(nth, NULL, 10);
    begun = true;
}

/* Counts a call. Returns whether it must fail. The sanitizer's own calls when a thread starts never
 * fail, because that would end the process. */
static int fails(void)
{
    if (!begun)
        return 0;
    uint64_t first = atomic_load(&control->first), step = atomic_load(&control->step);
    uint64_t number = atomic_fetch_add(&control->counted, 1) + 1;
    if (!first || number < first || (number > first && (!step || (number - first) % step)))
        return 0;
    atomic_fetch_add(&control->failed, 1);
    errno = ENOMEM;
    return 1;
}

static void *get(size_t size)
{
    return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *malloc(size_t size)
{
    return fails() ? NULL : get(size);
}

void *calloc(size_t count, size_t size)
{
    if (fails())
        return NULL;
    return __interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    if (fails())
        return NULL;
    return __interceptor_realloc ? __interceptor_realloc(old, size) : __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, count * size);
}

void *memalign(size_t alignment, size_t size)
{
    if (fails())
        return NULL;
    return __interceptor_memalign ? __interceptor_memalign(alignment, size)
                                  : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *got = memalign(alignment, size);
    if (!got)
        return ENOMEM;
    *out = got;
    return 0;
}

char *strndup(const char *text, size_t most)
{
    size_t len = strnlen(text, most);
    char *copy = malloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *strdup(const char *text)
{
    return strndup(text, strlen(text));
}

/* Linux: a folder has two more links than subfolders. The server's sandbox does not allow the
 * system call that fstat(3) uses instead of fstat(2). */
static uint64_t threads(void)
{
    struct stat st;
    return syscall(SYS_fstat, tasks, &st) == 0 ? (uint64_t)st.st_nlink - 2 : 0;
}

struct start {
    void *(*run)(void *argument);
    void *argument;
};

typedef void clear_function(void);

/* If memory is out just when OpenSSL 3.0 enlarges its list of threads, it makes the thread's error
 * queue to report that, and leaks it. A queue that exists before is not leaked. */
static void make_error_queue(void)
{
    clear_function *clear;
    void *symbol = dlsym(RTLD_DEFAULT, "ERR_clear_error");
    memcpy(&clear, &symbol, sizeof(clear));
    if (symbol)
        clear();
}

static void *begin(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    make_error_queue();
    begun = true;
    return start.run(start.argument);
}

typedef int create_function(pthread_t *thread, const pthread_attr_t *attributes,
                            void *(*run)(void *argument), void *argument);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*run)(void *argument), void *argument)
{
    create_function *create;
    uint64_t most = atomic_load(&control->threads_max);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&create, &symbol, sizeof(create)); /* as in POSIX's rationale of dlsym */
    if (fails() || (most && threads() >= most))
        return EAGAIN;
    struct start *start = get(sizeof(*start));
    if (!start)
        return EAGAIN;
    *start = (struct start){run, argument};
    int failure = create(thread, attributes, begin, start);
    if (failure)
        free(start);
    return failure;
}
