#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "kafka/admin/run.h"

static const char any_host[] = "*";

/* ---- grants ---- */

typedef struct acl_list {
    rd_kafka_AclBinding_t **acls;
    size_t count;
} acl_list;

static rd_kafka_AclBinding_t *binding(const kafka_acl *acl, bool filter, char *why, size_t size)
{
    rd_kafka_ResourcePatternType_t pattern =
        acl->prefixed ? RD_KAFKA_RESOURCE_PATTERN_PREFIXED : RD_KAFKA_RESOURCE_PATTERN_LITERAL;
    return (filter ? rd_kafka_AclBindingFilter_new : rd_kafka_AclBinding_new)(
        acl->resource, acl->name, pattern, acl->principal, any_host, acl->operation,
        RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, why, size);
}

static void acl_list_free(acl_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        rd_kafka_AclBinding_destroy(list->acls[i]);
    free(list->acls);
}

static rl_err *acl_list_make(acl_list *list, const kafka_acl *acls, int count, bool filter)
{
    char why[256] = "";
    *list = (acl_list){.acls = mem_alloc((size_t)(count + 1) * sizeof *list->acls)};
    for (int i = 0; i < count; i++) {
        list->acls[list->count] = binding(&acls[i], filter, why, sizeof why);
        if (!list->acls[list->count])
            return err_lab("USAGE", "ACL of %s: %s", acls[i].name, why);
        list->count++;
    }
    return NULL;
}

static rl_err *acl_failed(const rd_kafka_error_t *error, const char *what, const kafka_acl *acl)
{
    if (!error)
        return NULL;
    return admin_item_err(rd_kafka_error_code(error), what, acl->name,
                          rd_kafka_error_string(error));
}

static void submit_create(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                          const void *arg)
{
    const acl_list *list = arg;
    rd_kafka_CreateAcls(admin->rk, list->acls, list->count, options, admin->queue);
}

static void submit_delete(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                          const void *arg)
{
    const acl_list *list = arg;
    rd_kafka_DeleteAcls(admin->rk, list->acls, list->count, options, admin->queue);
}

static rl_err *change(kafka_admin *admin, kafka_call *call, const admin_op *op,
                      const kafka_acl *acls, int count, rd_kafka_event_t **event)
{
    acl_list list;
    admin_run run = admin_begin(admin, call);
    rl_err *err = acl_list_make(&list, acls, count, op->submit == submit_delete);
    if (!err)
        err = admin_do(&run, op, &list, event);
    acl_list_free(&list);
    return err;
}

rl_err *kafka_admin_create_acls(kafka_admin *admin, kafka_call *call, const kafka_acl *acls,
                                int count)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_CREATEACLS,
                                .what = "create ACLs",
                                .submit = submit_create,
                                .anywhere = true};
    rd_kafka_event_t *event = NULL;
    rl_err *err = count ? change(admin, call, &op, acls, count, &event) : NULL;
    if (err || !count)
        return err;
    size_t n;
    const rd_kafka_acl_result_t **results =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &n);
    for (size_t i = 0; !err && i < n; i++)
        err = acl_failed(rd_kafka_acl_result_error(results[i]), "create ACL of", &acls[i]);
    rd_kafka_event_destroy(event);
    return err;
}

rl_err *kafka_admin_delete_acls(kafka_admin *admin, kafka_call *call, const kafka_acl *acls,
                                int count, int *deleted)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_DELETEACLS,
                                .what = "delete ACLs",
                                .submit = submit_delete,
                                .anywhere = true};
    rd_kafka_event_t *event = NULL;
    *deleted = 0;
    rl_err *err = count ? change(admin, call, &op, acls, count, &event) : NULL;
    if (err || !count)
        return err;
    size_t n, matching;
    const rd_kafka_DeleteAcls_result_response_t **results =
        rd_kafka_DeleteAcls_result_responses(rd_kafka_event_DeleteAcls_result(event), &n);
    for (size_t i = 0; !err && i < n; i++) {
        err = acl_failed(rd_kafka_DeleteAcls_result_response_error(results[i]), "delete ACL of",
                         &acls[i]);
        rd_kafka_DeleteAcls_result_response_matching_acls(results[i], &matching);
        *deleted += (int)matching;
    }
    rd_kafka_event_destroy(event);
    return err;
}

/* ---- who may log in ---- */

static void submit_scram(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                         const void *arg)
{
    rd_kafka_UserScramCredentialAlteration_t *made =
        (rd_kafka_UserScramCredentialAlteration_t *)arg;
    rd_kafka_AlterUserScramCredentials(admin->rk, &made, 1, options, admin->queue);
}

static rl_err *scram_failed(rd_kafka_event_t *event, const char *user)
{
    size_t n;
    const rd_kafka_AlterUserScramCredentials_result_response_t **results =
        rd_kafka_AlterUserScramCredentials_result_responses(
            rd_kafka_event_AlterUserScramCredentials_result(event), &n);
    const rd_kafka_error_t *error =
        n ? rd_kafka_AlterUserScramCredentials_result_response_error(results[0]) : NULL;
    if (!error)
        return NULL;
    return admin_item_err(rd_kafka_error_code(error), "set the password of", user,
                          rd_kafka_error_string(error));
}

rl_err *kafka_admin_set_scram(kafka_admin *admin, kafka_call *call, const char *user,
                              rd_kafka_ScramMechanism_t mechanism, const char *password)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_ALTERUSERSCRAMCREDENTIALS,
                                .what = "set a SCRAM password",
                                .submit = submit_scram,
                                .anywhere = true};
    enum { ITERATIONS = 4096 };
    admin_run run = admin_begin(admin, call);
    rd_kafka_event_t *event = NULL;
    rd_kafka_UserScramCredentialAlteration_t *made = rd_kafka_UserScramCredentialUpsertion_new(
        user, mechanism, ITERATIONS, (const unsigned char *)password, strlen(password), NULL, 0);
    rl_err *err = admin_do(&run, &op, made, &event);
    rd_kafka_UserScramCredentialAlteration_destroy(made);
    if (err)
        return err;
    err = scram_failed(event, user);
    rd_kafka_event_destroy(event);
    return err;
}
