/* SPDX-License-Identifier: MIT
 *
 * fail_alloc.c - a library for LD_PRELOAD in which memory and threads run out on command.
 *
 * The environment's FAIL_ALLOC names a file that holds a struct control. It is mapped, so whoever tests
 * turns the knobs while the program runs: one server is enough for thousands of cases. With FAIL_NTH=n
 * instead, the n-th allocation since the program started fails.
 *
 * malloc, calloc, realloc, reallocarray, strdup, strndup, the aligned ones and pthread_create are
 * counted; what lies below is the sanitizer's, when the program has one, else libc's. The sanitizer
 * wants ASAN_OPTIONS=verify_asan_link_order=0, for it likes to be the first library.
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
#include <unistd.h>

/* All 64 bits, in this order; tests/faults.py writes them. */
struct control {
    _Atomic uint64_t counted;     /* calls since the test set it to 0 */
    _Atomic uint64_t first;       /* the call that fails; 0: none does */
    _Atomic uint64_t step;        /* and each step-th after it; 0: only that one */
    _Atomic uint64_t failed;      /* calls that did */
    _Atomic uint64_t threads_max; /* pthread_create fails when there are so many; 0: no limit */
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
/* This thread runs what it was made for. The other models would allocate it at its first use. */
static _Thread_local bool begun __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void read_environment(void)
{
    const char *path = getenv("FAIL_ALLOC"), *nth = getenv("FAIL_NTH");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
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

/* Counts a call. Returns whether it is to fail. What the sanitizer does when a thread starts cannot:
 * it would end the process. */
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

/* Linux: a folder has two links more than it has folders. */
static uint64_t threads(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) == 0 ? (uint64_t)st.st_nlink - 2 : 0;
}

struct start {
    void *(*run)(void *argument);
    void *argument;
};

typedef void clear_function(void);

/* When memory is out just as OpenSSL 3.0 enlarges its list of threads, it makes the thread's error queue to
 * say so, and loses it. A queue that is there before is not lost. */
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
    memcpy(&create, &symbol, sizeof(create)); /* as POSIX's rationale of dlsym has it */
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
