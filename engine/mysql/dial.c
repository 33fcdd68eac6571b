#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cond.h"
#include "mysql/errors.h"
#include "mysql/internal.h"

/* One connect under way. The waiting thread and the connecting one share it; whoever is last
 * frees it. */
typedef struct dial {
    my_opts opts;
    MYSQL *mysql;
    bool done, abandoned, ok;
} dial;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    pthread_once_t once;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void init_once(void)
{
    mysql_library_init(0, NULL, NULL);
    cond_init(&shared.change);
}

static unsigned whole_seconds(double seconds)
{
    return seconds <= 0 ? 0 : (unsigned)(seconds + 0.999);
}

static void set_tls(MYSQL *mysql, const my_opts *opts)
{
#ifdef MARIADB_PACKAGE_VERSION
    my_bool on = opts->tls != MY_TLS_OFF, verify = opts->tls == MY_TLS_VERIFY;
    mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &on);
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
#else
    static const unsigned modes[] = {SSL_MODE_DISABLED, SSL_MODE_REQUIRED,
                                     SSL_MODE_VERIFY_IDENTITY};
    bool ask_for_key = true;
    mysql_options(mysql, MYSQL_OPT_SSL_MODE, &modes[opts->tls]);
    mysql_options(mysql, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &ask_for_key);
#endif
    if (opts->ca)
        mysql_options(mysql, MYSQL_OPT_SSL_CA, opts->ca);
    if (opts->cert)
        mysql_options(mysql, MYSQL_OPT_SSL_CERT, opts->cert);
    if (opts->key)
        mysql_options(mysql, MYSQL_OPT_SSL_KEY, opts->key);
}

/* The library's own timeouts stand behind ours, for the case that a connect was abandoned. */
static void set_timeouts(MYSQL *mysql, const my_opts *opts)
{
    unsigned connect_s = whole_seconds(opts->connect_timeout),
             read_s = whole_seconds(opts->read_timeout);
    unsigned write_s = whole_seconds(opts->write_timeout);
    if (connect_s)
        mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    read_s = connect_s && read_s ? (connect_s > read_s ? connect_s : read_s) + 1 : 0;
    if (read_s)
        mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &read_s);
    if (write_s)
        mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &write_s);
}

/* The library asks for the oldest collation of utf8mb4 (general_ci, in which all emoji are equal and
 * sharp s is not ss); the server has one of its own. */
static const char own_collation[] = "SET NAMES utf8mb4";

static MYSQL *dial_prepare(const my_opts *opts)
{
    unsigned no = 0, protocol = opts->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    MYSQL *mysql = mysql_init(NULL);
    if (!mysql)
        return NULL;
    set_timeouts(mysql, opts);
    set_tls(mysql, opts);
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(mysql, MYSQL_INIT_COMMAND, own_collation);
    mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no);
    mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options4(mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "rlab");
    return mysql;
}

static void dial_free(dial *d)
{
    if (d->mysql)
        mysql_close(d->mysql);
    my_opts_free(&d->opts);
    free(d);
}

static void *dial_main(void *arg)
{
    dial *d = arg;
    const my_opts *opts = &d->opts;
    unsigned long flags = CLIENT_MULTI_RESULTS | (opts->found_rows ? CLIENT_FOUND_ROWS : 0);
    mysql_thread_init();
    bool ok =
        mysql_real_connect(d->mysql, opts->socket ? NULL : opts->host, opts->user, opts->password,
                           opts->database, opts->socket ? 0 : (unsigned)opts->port, opts->socket,
                           flags) != NULL;
    pthread_mutex_lock(&shared.lock);
    d->ok = ok;
    d->done = true;
    bool mine = d->abandoned;
    pthread_cond_broadcast(&shared.change);
    pthread_mutex_unlock(&shared.lock);
    if (mine)
        dial_free(d);
    mysql_thread_end();
    return NULL;
}

void my_dial_wake(void)
{
    pthread_once(&shared.once, init_once);
    pthread_mutex_lock(&shared.lock);
    pthread_cond_broadcast(&shared.change);
    pthread_mutex_unlock(&shared.lock);
}

/* True when the connect has come to its end; else the other thread owns the dial from now on. */
static bool dial_wait(my_conn *conn, dial *d)
{
    rl_deadline until = deadline_or_never(conn->opts.connect_timeout);
    bool in_time = true;
    pthread_mutex_lock(&shared.lock);
    while (!d->done && in_time && !my_watch_cancelled(&conn->watch))
        in_time = cond_wait_until(&shared.change, &shared.lock, until);
    d->abandoned = !d->done;
    bool done = d->done;
    pthread_mutex_unlock(&shared.lock);
    return done;
}

static rl_err *dial_gave_up(my_conn *conn)
{
    if (my_watch_cancelled(&conn->watch))
        return err_lab("CANCELLED", "the call was cancelled");
    const my_opts *opts = &conn->opts;
    rl_err *err = opts->socket
                      ? err_new(RL_MYSQL, 2013, "TIMEOUT", "no login at %s in time", opts->socket)
                      : err_new(RL_MYSQL, 2013, "TIMEOUT", "no login at %s:%d in time", opts->host,
                                opts->port);
    err->happened = ERR_NOT_DONE;
    return err;
}

static rl_err *dial_start(dial *d)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, dial_main, d);
    if (rc != 0)
        return err_sys(rc, "cannot start a thread");
    pthread_detach(thread);
    return NULL;
}

rl_err *my_dial(my_conn *conn, MYSQL **mysql)
{
    pthread_once(&shared.once, init_once);
    dial *d = mem_zero(sizeof *d);
    d->opts = my_opts_copy(&conn->opts);
    d->mysql = dial_prepare(&d->opts);
    rl_err *err = d->mysql ? dial_start(d) : err_lab("ENOMEM", "cannot make a MySQL client");
    if (!err && !dial_wait(conn, d))
        return dial_gave_up(conn);
    if (!err && !d->ok) {
        err = my_code_err((int)mysql_errno(d->mysql), mysql_error(d->mysql));
        err->fatal = false; /* there was no connection yet, so nothing was asked for either */
        err->happened = ERR_NOT_DONE;
    }
    if (!err) {
        *mysql = d->mysql;
        d->mysql = NULL;
    }
    dial_free(d);
    return err;
}
