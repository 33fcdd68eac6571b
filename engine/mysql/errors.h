/* MySQL's error codes and their names.
 *
 * Offers: my_code_name for the codes that labs meet, and my_code_err, the rl_err of a code with
 * its flags set. Uses: base/err. Thread: pure functions. */
#ifndef RL_MYSQL_ERRORS_H
#define RL_MYSQL_ERRORS_H

#include "base/err.h"

const char *my_code_name(int code); /* NULL when it has none here */
bool my_code_is_lost(int code);     /* the connection is gone with it */
rl_err *my_code_err(int code, const char *text);

#endif
