/* The table of what errors mean (base/err.c) goes by the names that each client gives them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <librdkafka/rdkafka.h>

#include "base/err.h"
#include "mysql/errors.h"

/* Each name that the table of meanings has of a domain is one of its client. How many there are. */
static int each_meaning(rl_domain domain, bool (*known)(const char *name))
{
    rl_domain of;
    const char *names;
    int n = 0;
    for (size_t i = 0; err_meaning_row(i, &of, &names); i++)
        for (; of == domain && *names; names += strspn(names, " "), n++) {
            char name[64] = "";
            size_t len = strcspn(names, " ");
            memcpy(name, names, len);
            names += len;
            if (!known(name))
                fail_msg("%s is no name of this client", name);
        }
    return n;
}

static bool kafka_knows(const char *name)
{
    const struct rd_kafka_err_desc *all;
    size_t n;
    rd_kafka_get_err_descs(&all, &n);
    for (size_t i = 0; i < n; i++)
        if (all[i].name && strcmp(all[i].name, name) == 0)
            return true;
    return false;
}

static void kafka_gives_each_of_its_names(void **state)
{
    (void)state;
    assert_true(each_meaning(RL_KAFKA, kafka_knows) > 70);
}

static bool mysql_knows(const char *name)
{
    static const char *const own[] = {"TIMEOUT", "BROKEN", "ER_5013", "ER_5014"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(own[i], name) == 0)
            return true;
    for (int code = 1000; code < 6000; code++)
        if (my_code_name(code) && strcmp(my_code_name(code), name) == 0)
            return true;
    return false;
}

static void mysql_gives_each_of_its_names(void **state)
{
    (void)state;
    assert_true(each_meaning(RL_MYSQL, mysql_knows) > 35);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kafka_gives_each_of_its_names),
        cmocka_unit_test(mysql_gives_each_of_its_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
