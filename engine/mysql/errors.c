#include "mysql/errors.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct code_name {
    int code;
    const char *name;
} code_name;

/* Sorted by code. */
static const code_name names[] = {
    {1005, "ER_CANT_CREATE_TABLE"},
    {1007, "ER_DB_CREATE_EXISTS"},
    {1008, "ER_DB_DROP_EXISTS"},
    {1021, "ER_DISK_FULL"},
    {1037, "ER_OUTOFMEMORY"},
    {1040, "ER_CON_COUNT_ERROR"},
    {1042, "ER_BAD_HOST_ERROR"},
    {1043, "ER_HANDSHAKE_ERROR"},
    {1044, "ER_DBACCESS_DENIED_ERROR"},
    {1045, "ER_ACCESS_DENIED_ERROR"},
    {1046, "ER_NO_DB_ERROR"},
    {1048, "ER_BAD_NULL_ERROR"},
    {1049, "ER_BAD_DB_ERROR"},
    {1050, "ER_TABLE_EXISTS_ERROR"},
    {1051, "ER_BAD_TABLE_ERROR"},
    {1052, "ER_NON_UNIQ_ERROR"},
    {1053, "ER_SERVER_SHUTDOWN"},
    {1054, "ER_BAD_FIELD_ERROR"},
    {1060, "ER_DUP_FIELDNAME"},
    {1061, "ER_DUP_KEYNAME"},
    {1062, "ER_DUP_ENTRY"},
    {1064, "ER_PARSE_ERROR"},
    {1065, "ER_EMPTY_QUERY"},
    {1077, "ER_NORMAL_SHUTDOWN"},
    {1079, "ER_SHUTDOWN_COMPLETE"},
    {1080, "ER_FORCING_CLOSE"},
    {1091, "ER_CANT_DROP_FIELD_OR_KEY"},
    {1094, "ER_NO_SUCH_THREAD"},
    {1099, "ER_TABLE_NOT_LOCKED_FOR_WRITE"},
    {1100, "ER_TABLE_NOT_LOCKED"},
    {1114, "ER_RECORD_FILE_FULL"},
    {1129, "ER_HOST_IS_BLOCKED"},
    {1130, "ER_HOST_NOT_PRIVILEGED"},
    {1136, "ER_WRONG_VALUE_COUNT_ON_ROW"},
    {1142, "ER_TABLEACCESS_DENIED_ERROR"},
    {1146, "ER_NO_SUCH_TABLE"},
    {1149, "ER_SYNTAX_ERROR"},
    {1152, "ER_ABORTING_CONNECTION"},
    {1153, "ER_NET_PACKET_TOO_LARGE"},
    {1156, "ER_NET_PACKETS_OUT_OF_ORDER"},
    {1157, "ER_NET_UNCOMPRESS_ERROR"},
    {1158, "ER_NET_READ_ERROR"},
    {1159, "ER_NET_READ_INTERRUPTED"},
    {1160, "ER_NET_ERROR_ON_WRITE"},
    {1161, "ER_NET_WRITE_INTERRUPTED"},
    {1180, "ER_ERROR_DURING_COMMIT"},
    {1181, "ER_ERROR_DURING_ROLLBACK"},
    {1184, "ER_NEW_ABORTING_CONNECTION"},
    {1203, "ER_TOO_MANY_USER_CONNECTIONS"},
    {1205, "ER_LOCK_WAIT_TIMEOUT"},
    {1213, "ER_LOCK_DEADLOCK"},
    {1227, "ER_SPECIFIC_ACCESS_DENIED_ERROR"},
    {1231, "ER_WRONG_VALUE_FOR_VAR"},
    {1235, "ER_NOT_SUPPORTED_YET"},
    {1243, "ER_UNKNOWN_STMT_HANDLER"},
    {1264, "ER_WARN_DATA_OUT_OF_RANGE"},
    {1265, "WARN_DATA_TRUNCATED"},
    {1290, "ER_OPTION_PREVENTS_STATEMENT"},
    {1292, "ER_TRUNCATED_WRONG_VALUE"},
    {1295, "ER_UNSUPPORTED_PS"},
    {1305, "ER_SP_DOES_NOT_EXIST"},
    {1317, "ER_QUERY_INTERRUPTED"},
    {1364, "ER_NO_DEFAULT_FOR_FIELD"},
    {1365, "ER_DIVISION_BY_ZERO"},
    {1366, "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD"},
    {1390, "ER_PS_MANY_PARAM"},
    {1399, "ER_XAER_RMFAIL"},
    {1402, "ER_XA_RBROLLBACK"},
    {1406, "ER_DATA_TOO_LONG"},
    {1451, "ER_ROW_IS_REFERENCED_2"},
    {1452, "ER_NO_REFERENCED_ROW_2"},
    {1461, "ER_MAX_PREPARED_STMT_COUNT_REACHED"},
    {1568, "ER_CANT_CHANGE_TX_CHARACTERISTICS"},
    {1586, "ER_DUP_ENTRY_WITH_KEY_NAME"},
    {1614, "ER_XA_RBDEADLOCK"},
    {1644, "ER_SIGNAL_EXCEPTION"},
    {1690, "ER_DATA_OUT_OF_RANGE"},
    {1792, "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION"},
    {1836, "ER_READ_ONLY_MODE"},
    {2000, "CR_UNKNOWN_ERROR"},
    {2001, "CR_SOCKET_CREATE_ERROR"},
    {2002, "CR_CONNECTION_ERROR"},
    {2003, "CR_CONN_HOST_ERROR"},
    {2005, "CR_UNKNOWN_HOST"},
    {2006, "CR_SERVER_GONE_ERROR"},
    {2007, "CR_VERSION_ERROR"},
    {2008, "CR_OUT_OF_MEMORY"},
    {2012, "CR_SERVER_HANDSHAKE_ERR"},
    {2013, "CR_SERVER_LOST"},
    {2014, "CR_COMMANDS_OUT_OF_SYNC"},
    {2020, "CR_NET_PACKET_TOO_LARGE"},
    {2026, "CR_SSL_CONNECTION_ERROR"},
    {2027, "CR_MALFORMED_PACKET"},
    {2030, "CR_NO_PREPARE_STMT"},
    {2031, "CR_PARAMS_NOT_BOUND"},
    {2036, "CR_UNSUPPORTED_PARAM_TYPE"},
    {2053, "CR_NO_RESULT_SET"},
    {2055, "CR_SERVER_LOST_EXTENDED"},
    {2056, "CR_STMT_CLOSED"},
    {2057, "CR_NEW_STMT_METADATA"},
    {2059, "CR_AUTH_PLUGIN_CANNOT_LOAD"},
    {2061, "CR_AUTH_PLUGIN_ERR"},
    {3024, "ER_QUERY_TIMEOUT"},
    {3100, "ER_RUN_HOOK_ERROR"},
    {3101, "ER_TRANSACTION_ROLLBACK_DURING_COMMIT"},
    {3140, "ER_INVALID_JSON_TEXT"},
    {3144, "ER_INVALID_JSON_CHARSET"},
    {3159, "ER_SECURE_TRANSPORT_REQUIRED"},
    {3168, "ER_SERVER_ISNT_AVAILABLE"},
    {3169, "ER_SESSION_WAS_KILLED"},
    {3572, "ER_LOCK_NOWAIT"},
    {3819, "ER_CHECK_CONSTRAINT_VIOLATED"},
    {3988, "ER_IMPOSSIBLE_STRING_CONVERSION"},
    {4031, "ER_CLIENT_INTERACTION_TIMEOUT"},
};

static int by_code(const void *key, const void *entry)
{
    return *(const int *)key - ((const code_name *)entry)->code;
}

const char *my_code_name(int code)
{
    const code_name *found =
        bsearch(&code, names, sizeof names / sizeof *names, sizeof *names, by_code);
    return found ? found->name : NULL;
}

bool my_code_is_lost(int code)
{
    switch (code) {
    case 1053: /* the server is shutting down */
    case 1077:
    case 1079:
    case 1080: /* and closes what is left */
    case 1152:
    case 1153: /* the rest of the packet is not read: the server hangs up */
    case 1156:
    case 1157:
    case 1158:
    case 1159:
    case 1160:
    case 1161:
    case 1184:
    case 2006:
    case 2013:
    case 2014: /* whatever comes next would be misread */
    case 2020: /* half a packet was read */
    case 2027:
    case 2055:
    case 3169:
    case 4031:
    case 5013: /* MariaDB's client: network read and write */
    case 5014:
        return true;
    default:
        return false;
    }
}

rl_err *my_code_err(int code, const char *text)
{
    char made_up[24];
    const char *name = my_code_name(code);
    snprintf(made_up, sizeof made_up, "%s_%d", code >= 2000 && code < 3000 ? "CR" : "ER", code);
    rl_err *err = err_new(RL_MYSQL, code, name ? name : made_up, "%s", text);
    err->abortable = code == 1213 || code == 1614;
    err->fatal = my_code_is_lost(code);
    return err;
}
