// SPDX-License-Identifier: GPL-2.0-or-later
// Threads that count, and memory that changes its permissions and pages under them: what must add up is printed.
// Runs in: neither program; compiled and run in a guest and on the host by tests/functional/test_user_space.py.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 4000, CHANGES = 50, PAGE = 4096 };

static atomic_long added, exchanged, compared, bits[8];
static long locked, spun, words[2] __attribute__((aligned(16)));
static char across[128] __attribute__((aligned(64)));      // a counter that crosses a cache line
static atomic_int spin;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *count(void *argument)
{
    long number = (long)argument;

    for (long i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&added, i);
        long old = atomic_load(&compared);
        while (!atomic_compare_exchange_weak(&compared, &old, old + 1)) {
        }
        atomic_fetch_add(&exchanged, atomic_fetch_xor(&bits[number], i) & 1);
        __asm__ volatile("lock incl (%0)" : : "r"(across + 62) : "memory");
        long low, high;
        __asm__ volatile("movq (%2), %%rax\n\tmovq 8(%2), %%rdx\n"
                         "1:\tleaq 1(%%rax), %%rbx\n\tleaq 3(%%rdx), %%rcx\n"
                         "\tlock cmpxchg16b (%2)\n\tjnz 1b"
                         : "=&a"(low), "=&d"(high) : "r"(words) : "rbx", "rcx", "memory", "cc");
        while (atomic_exchange(&spin, 1)) {
            sched_yield();
        }
        spun++;
        atomic_store(&spin, 0);
        if (i % 16 == 0) {
            pthread_mutex_lock(&mutex);
            locked++;
            pthread_mutex_unlock(&mutex);
        }
    }
    return NULL;
}

// --------------------------------------------------------------- pages that are taken away and given back

static volatile long *page;
static atomic_int stop, written;
static atomic_long faults;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if ((char *)info->si_addr < (char *)page || (char *)info->si_addr >= (char *)page + PAGE) {
        _exit(3);
    }
    atomic_fetch_add(&faults, 1);
    sched_yield();
}

static void *scribble(void *argument)
{
    long number = (long)argument;

    while (!atomic_load(&stop)) {
        page[number]++;
        __asm__ volatile("lock incq %0" : "+m"(page[number + 8]));
        atomic_store(&written, 1);
    }
    return NULL;
}

static void wait_for(atomic_int *flag)
{
    for (atomic_store(flag, 0); !atomic_load(flag);) {
        sched_yield();
    }
}

static void protections(void)
{
    pthread_t threads[THREADS];
    long changed = 0;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, scribble, (void *)i);
    }
    for (int i = 0; i < CHANGES; i++) {
        long before[16], after[16];
        wait_for(&written);
        mprotect((void *)page, PAGE, PROT_READ);
        memcpy(before, (void *)page, sizeof(before));
        usleep(300);
        memcpy(after, (void *)page, sizeof(after));
        changed += memcmp(before, after, sizeof(before)) != 0;
        mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("written to while protected %ld, faulted %d\n", changed, atomic_load(&faults) > 0);
}

// ----------------------------------------------------------------------- a page replaced under its readers

static volatile long *view;
static atomic_long current, stale;
static atomic_int looked;

static void *look(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        long least = atomic_load(&current);
        if (view[7] < least) {
            atomic_fetch_add(&stale, 1);
        }
        atomic_store(&looked, 1);
    }
    return NULL;
}

static void replacements(void)
{
    pthread_t threads[THREADS];

    atomic_store(&stop, 0);
    view = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, look, NULL);
    }
    for (long i = 1; i <= CHANGES; i++) {
        wait_for(&looked);
        long *fresh = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        fresh[7] = i;
        if (mremap(fresh, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)view) != (void *)view) {
            exit(4);
        }
        atomic_store(&current, i);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("stale reads %ld\n", atomic_load(&stale));
}

// ----------------------------------------------------------------------------------------- order of stores

static volatile long first, second;
static atomic_long disorders;

static void *store(void *argument)
{
    (void)argument;
    for (long i = 1; i <= 100000; i++) {
        first = i;
        second = i;
    }
    atomic_store(&stop, 1);
    return NULL;
}

static void *load(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        long later = second, earlier = first;
        if (earlier < later) {
            atomic_fetch_add(&disorders, 1);
        }
    }
    return NULL;
}

static void order(void)
{
    pthread_t threads[2];

    atomic_store(&stop, 0);
    pthread_create(&threads[1], NULL, load, NULL);
    pthread_create(&threads[0], NULL, store, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("stores out of order %ld\n", atomic_load(&disorders));
}

static void copies(void)
{
    long *shared = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long total = 0;

    for (long child = 0; child < 8; child++) {
        for (long i = 0; i < 64; i++) {
            shared[i * PAGE / 8] = i + child;
        }
        pid_t pid = fork();
        if (pid == 0) {
            for (long i = 0; i < 64; i++) {
                shared[i * PAGE / 8] *= 3;
                total += shared[i * PAGE / 8];
            }
            _exit((int)(total % 251));
        }
        shared[5] = 1;
        int status;
        waitpid(pid, &status, 0);
        for (long i = 0; i < 64; i++) {
            total += shared[i * PAGE / 8];
        }
        printf("child %d, parent %ld\n", WEXITSTATUS(status), total);
        fflush(stdout);
    }
}

int main(void)
{
    pthread_t threads[THREADS];

    for (long i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, count, (void *)i);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    int crossing;
    memcpy(&crossing, across + 62, sizeof(crossing));
    printf("added %ld, exchanged %ld, compared %ld, across %d, words %ld %ld, spun %ld, locked %ld\n", added, exchanged,
           compared, crossing, words[0], words[1], spun, locked);
    fflush(stdout);
    copies();
    protections();
    replacements();
    order();
    return 0;
}
