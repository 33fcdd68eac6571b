/* How long a check over N ids takes: `bag [N]` builds a bag of N acknowledged records (36-byte
 * ids, key, version), one of what a log holds (10 ids lost, 10 twice, 10 unknown), then asks for
 * what is lost, phantom, duplicate and out of order. Prints seconds of processor time and the
 * memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "evidence/bag.h"

static const char *const columns[] = {"key", "version"};
enum { ID_LEN = 36, KEYS = 1000 };
static char keys[KEYS][16];
static clock_t started;

static void lap(const char *what, size_t n)
{
    printf("  %-28s %8zu   %6.2f s\n", what, n, (double)(clock() - started) / CLOCKS_PER_SEC);
    started = clock();
}

static void put_hex(char *at, int digits, unsigned long v)
{
    for (; digits > 0; v >>= 4)
        at[--digits] = "0123456789abcdef"[v & 15];
}

static void make_id(char id[ID_LEN], long i)
{
    memcpy(id, "00000000-0000-4000-8000-000000000000", ID_LEN);
    put_hex(id, 8, (unsigned long)(i * 2654435761L) & 0xffffffffL);
    put_hex(id + 24, 12, (unsigned long)i);
}

static int add(rl_bag *b, long i)
{
    char id[ID_LEN];
    const char *key = keys[i % KEYS];
    make_id(id, i);
    bag_value v[2] = {{.kind = BAG_STR, .s = key, .len = strlen(key)}, {.kind = BAG_INT, .i = i}};
    rl_err *err = bag_add(b, id, ID_LEN, v, 2);
    if (!err)
        return 0;
    fprintf(stderr, "bag: %s\n", err->msg);
    err_free(err);
    return 1;
}

static size_t entries_of(bag_op op, const rl_bag *a, const rl_bag *b)
{
    rl_bag *out = NULL;
    err_free(bag_combine(op, a, b, &out));
    size_t n = out ? bag_entries(out) : 0;
    bag_free(out);
    return n;
}

static bool count_one(size_t entry, size_t before, void *arg)
{
    (void)entry;
    (void)before;
    ++*(size_t *)arg;
    return true;
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? atol(argv[1]) : 10000000;
    size_t cap = (size_t)4 << 30, duplicates = 0, inversions = 0;
    rl_bag *acked = bag_new(columns, 2, cap), *log = bag_new(columns, 2, cap);
    int failed = 0;
    for (int i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof keys[i], "account-%d", i);
    started = clock();
    for (long i = 0; i < n && !failed; i++)
        failed = add(acked, i);
    lap("add acknowledged records", bag_entries(acked));
    for (long i = 10; i < n + 10 && !failed; i++)
        failed = add(log, i);
    for (long i = 10; i < 20 && !failed; i++)
        failed = add(log, i);
    lap("add records of the log", bag_entries(log));
    if (failed)
        return 1;
    lap("lost", entries_of(BAG_MINUS, acked, log));
    lap("phantom", entries_of(BAG_MINUS, log, acked));
    for (size_t i = 0; i < bag_distinct(log); i++)
        duplicates += bag_id_count(log, i) > 1;
    lap("duplicate", duplicates);
    err_free(bag_inversions(log, 0, 1, count_one, &inversions));
    lap("out of order", inversions);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("  one bag %zu MiB, whole process %ld MiB at most\n", bag_memory(acked) >> 20,
           usage.ru_maxrss >> 10);
    bag_free(acked);
    bag_free(log);
    return 0;
}
