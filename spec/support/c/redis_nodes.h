/* Redis nodes that answer by a script, each on a thread of its own, for tests of who talks to them.
 *
 * Offers: a pair of nodes, which begins with their lines and ends with them. A header with code, since a
 * test is one file. Uses: cmocka, base/buf. Thread: node_answers locks; the lines are set before. */
#ifndef RL_TEST_REDIS_NODES_H
#define RL_TEST_REDIS_NODES_H

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"

/* What a node answers to a command that begins with `words`, so many times (0: always); in an answer @A and
 * @B stand for the nodes' ports. "" hangs up. */
typedef struct line {
    const char *words, *answer;
    int times;
} line;

enum { LINES_MAX = 8, CLIENTS_MAX = 32 };

typedef struct node {
    int listener, port;
    line lines[LINES_MAX];
    rl_buf heard; /* "GET k;ASKING;" */
    pthread_t thread;
    pthread_mutex_t lock;
    struct node *a, *b;
} node;

static inline void read_exactly(FILE *in, char *out, size_t n)
{
    if (fread(out, 1, n, in) != n)
        out[0] = '\0';
    out[n] = '\0';
}

/* "SET k v", or false at the end. */
static inline bool read_command(FILE *in, char *text, size_t size)
{
    char head[64], word[128];
    text[0] = '\0';
    if (!fgets(head, sizeof head, in))
        return false;
    for (int i = 0, n = atoi(head + 1); i < n; i++) {
        if (!fgets(head, sizeof head, in) || (size_t)atoi(head + 1) + 2 >= sizeof word)
            return false;
        size_t len = (size_t)atoi(head + 1);
        read_exactly(in, word, len + 2);
        word[len] = '\0';
        snprintf(text + strlen(text), size - strlen(text), "%s%s", i ? " " : "", word);
    }
    return true;
}

static inline const char *answer_of(node *self, const char *text)
{
    for (line *l = self->lines; l->words; l++) {
        if (strncmp(text, l->words, strlen(l->words)) != 0 || l->times < 0)
            continue;
        if (l->times == 1)
            l->times = -1;
        else if (l->times > 1)
            l->times--;
        return l->answer;
    }
    return strncmp(text, "HELLO", 5) == 0 || strcmp(text, "ASKING") == 0 ? "+OK\r\n"
                                                                         : "-ERR not expected\r\n";
}

static inline void put_answer(int fd, const node *self, const char *answer)
{
    for (const char *at = answer; *at; at++)
        if (*at == '@')
            dprintf(fd, "%d", *++at == 'A' ? self->a->port : self->b->port);
        else if (write(fd, at, 1) != 1)
            return;
}

typedef struct guest {
    node *self;
    int fd;
} guest;

static inline void *entertain(void *arg)
{
    guest g = *(guest *)arg;
    FILE *in = fdopen(dup(g.fd), "r");
    char text[512];
    free(arg);
    for (bool go = true; go && read_command(in, text, sizeof text);) {
        pthread_mutex_lock(&g.self->lock);
        const char *answer = answer_of(g.self, text);
        if (strncmp(text, "HELLO", 5) != 0)
            buf_printf(&g.self->heard, "%s;", text);
        go = *answer != '\0';
        put_answer(g.fd, g.self, answer);
        pthread_mutex_unlock(&g.self->lock);
    }
    fclose(in);
    shutdown(g.fd, SHUT_RDWR);
    close(g.fd);
    return NULL;
}

static inline void *listen_on(void *arg)
{
    node *self = arg;
    pthread_t guests[CLIENTS_MAX];
    int count = 0;
    for (int fd; count < CLIENTS_MAX && (fd = accept(self->listener, NULL, NULL)) >= 0; count++) {
        guest *g = mem_alloc(sizeof *g);
        *g = (guest){self, fd};
        pthread_create(&guests[count], NULL, entertain, g);
    }
    for (int i = 0; i < count; i++)
        pthread_join(guests[i], NULL);
    return NULL;
}

static inline void node_start(node *self)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    self->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(self->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(self->listener, 16), 0);
    getsockname(self->listener, (struct sockaddr *)&at, &len);
    self->port = ntohs(at.sin_port);
    pthread_mutex_init(&self->lock, NULL);
    pthread_create(&self->thread, NULL, listen_on, self);
}

static inline void node_stop(node *self)
{
    shutdown(self->listener, SHUT_RDWR);
    pthread_join(self->thread, NULL);
    close(self->listener);
    buf_free(&self->heard);
    pthread_mutex_destroy(&self->lock);
}

/* To these, the node's answer from now on. */
static inline void node_answers(node *self, int nth, const char *answer)
{
    pthread_mutex_lock(&self->lock);
    self->lines[nth].answer = answer;
    pthread_mutex_unlock(&self->lock);
}

typedef struct nodes {
    node a, b;
    char seed[32]; /* the first one's address */
} nodes;

#define RANGE(first, last, port) "*3\r\n:" first "\r\n:" last "\r\n*2\r\n$9\r\n127.0.0.1\r\n:" port "\r\n"
#define ALL_WITH_A "*1\r\n" RANGE("0", "16383", "@A")
#define ALL_WITH_B "*1\r\n" RANGE("0", "16383", "@B")
#define SLOT_OF_K "7629"

static inline void nodes_start(nodes *both, const line *a, const line *b)
{
    signal(SIGPIPE, SIG_IGN);
    *both = (nodes){0};
    both->a.a = both->b.a = &both->a;
    both->a.b = both->b.b = &both->b;
    for (int i = 0; i < LINES_MAX && a[i].words; i++)
        both->a.lines[i] = a[i];
    for (int i = 0; i < LINES_MAX && b[i].words; i++)
        both->b.lines[i] = b[i];
    node_start(&both->a);
    node_start(&both->b);
    snprintf(both->seed, sizeof both->seed, "127.0.0.1:%d", both->a.port);
}

static inline void nodes_stop(nodes *both)
{
    node_stop(&both->a);
    node_stop(&both->b);
}

#endif
