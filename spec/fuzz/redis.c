/* What Redis answers, under libFuzzer: RESP through hiredis' reader within our bounds, then what we
 * make of it: the slots of a cluster, redirections, cache entries. The first byte says which. */
#include <assert.h>

#include "flow/cache/scripts.h"
#include "fuzz.h"
#include "redis/cluster/internal.h"
#include "redis/internal.h"

enum { SLOTS_REPLY, ANY_ANSWER, ENTRY_REPLY, KINDS, ELEMENTS_MAX = 4096, LONGEST = 1 << 13 };

static redisc_cluster *new_cluster(void)
{
    return cluster_new(&(cluster_opts){
        .nodes = "127.0.0.1:1", .pool = 1, .redirects = 5, .tries = 1, .conn = {.resp = 3}});
}

static void read_slots(const redisReply *reply)
{
    redisc_cluster *cluster = new_cluster();
    cluster_range *ranges = NULL;
    cluster_node *asked = cluster_node_of(cluster, "127.0.0.1", 9, 1);
    if (cluster_map_read(cluster, reply, asked)) {
        cluster_command cmd = {.slot = 17};
        cluster_node *node = cluster_target(cluster, &cmd);
        assert(!node || (node->port > 0 && node->port < 65536));
        size_t n = cluster_ranges(cluster, &ranges);
        assert(n <= CLUSTER_SLOTS);
        free(ranges);
    }
    cluster_free(cluster);
}

/* The reply becomes the command's. */
static void take_answer(redisReply *reply)
{
    redisc_cluster *cluster = new_cluster();
    cluster_batch batch = {0};
    cluster_news news = {0};
    cluster_batch_add(&batch, 2, (const char *[]){"GET", "foo"}, (const size_t[]){3, 3});
    cluster_answer(cluster, &batch, 0, reply, deadline_in(60), &news);
    const cluster_node *to = batch.list[0].to;
    assert(!to || (to->port > 0 && to->port < 65536));
    cluster_batch_free(&batch);
    cluster_free(cluster);
}

static void read_entry(const redisReply *reply)
{
    cache_entry entry;
    cache_args args;
    bool ours = cache_entry_parse(reply, &entry);
    assert(ours || entry.state == CACHE_ABSENT);
    if (entry.state == CACHE_VALUE)
        cache_entry_args(&entry, &args);
}

static void look_at(int kind, redisReply *reply)
{
    if (kind == ANY_ANSWER) {
        take_answer(reply);
        return;
    }
    if (kind == SLOTS_REPLY)
        read_slots(reply);
    else
        read_entry(reply);
    freeReplyObject(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    redisContext ctx = {.reader = redisReaderCreate()};
    redisc_conn conn = {.ctx = &ctx};
    void *reply = NULL;
    redisc_bound_replies(&conn);
    ctx.reader->maxelements = ELEMENTS_MAX; /* of what is bounded there are not so many needed */
    redisReaderFeed(ctx.reader, (const char *)data + 1, len - 1);
    while (redisReaderGetReply(ctx.reader, &reply) == REDIS_OK && reply) {
        assert(conn.elements <= REDISC_ELEMENTS_MAX && redisc_weight(reply) >= sizeof(redisReply));
        redisc_reply_ended(&conn);
        look_at(data[0] % KINDS, reply);
    }
    redisReaderFree(ctx.reader);
    return 0;
}

/* ---- seeds ---- */

static void seed(const char *name, int kind, const char *resp)
{
    fuzz_seed_text(name, kind, resp, strlen(resp));
}

static void seed_deep(const char *name, int depth)
{
    rl_buf resp = {0};
    for (int i = 0; i < depth; i++)
        buf_str(&resp, "*1\r\n");
    buf_str(&resp, ":1\r\n");
    fuzz_seed_text(name, ANY_ANSWER, resp.data, resp.len);
    buf_free(&resp);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_longest(argc, argv, LONGEST);
    seed("slots", SLOTS_REPLY,
         "*2\r\n*4\r\n:0\r\n:8191\r\n*3\r\n$9\r\n127.0.0.1\r\n:6379\r\n$2\r\nid\r\n"
         "*3\r\n$9\r\n127.0.0.1\r\n:6380\r\n$2\r\nid\r\n"
         "*3\r\n:8192\r\n:16383\r\n*3\r\n$1\r\n?\r\n:6381\r\n$2\r\nid\r\n");
    seed("slots-no-port", SLOTS_REPLY,
         "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:0\r\n");
    seed("slots-port-beyond", SLOTS_REPLY,
         "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:4294967297\r\n");
    seed("slots-twice", SLOTS_REPLY,
         "*2\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\na\r\n:1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:"
         "2\r\n");
    seed("moved", ANY_ANSWER, "-MOVED 12182 127.0.0.1:6381\r\n-MOVED 12182 :6381\r\n");
    seed("moved-six", ANY_ANSWER,
         "-MOVED 12182 ::1:6381\r\n-ASK 12182 :0\r\n-MOVED 12182 a:99999\r\n");
    seed("ask", ANY_ANSWER, "-ASK 12182 10.0.0.1:6381\r\n-TRYAGAIN x\r\n-CLUSTERDOWN\r\n-\r\n");
    seed("values", ANY_ANSWER, ">2\r\n$1\r\na\r\n#t\r\n,1.5\r\n(12\r\n_\r\n%1\r\n+a\r\n:1\r\n");
    seed_deep("deepest", REDISC_DEPTH_MAX);
    seed_deep("too-deep", REDISC_DEPTH_MAX + 1);
    seed("entry-map", ENTRY_REPLY,
         "%3\r\n$7\r\nbalance\r\n$3\r\n-17\r\n$7\r\nversion\r\n$20\r\n00000000000000000007\r\n"
         "$6\r\nstored\r\n$13\r\n1700000000000\r\n");
    seed("entry-list", ENTRY_REPLY, "*4\r\n$5\r\nstate\r\n$4\r\nnone\r\n$4\r\nsoft\r\n$1\r\n0\r\n");
    seed("entry-beyond", ENTRY_REPLY, "*2\r\n$7\r\nbalance\r\n$20\r\n99999999999999999999\r\n");
    seed("entry-nul", ENTRY_REPLY, "*3\r\n$7\r\nbalance\r\n$0\r\n\r\n$1\r\nx\r\n");
    return 0;
}
