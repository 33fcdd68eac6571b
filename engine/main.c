/* rlab: start-up and the only exit. */
#include "bind/host/run.h"

int main(int argc, char **argv)
{
    return host_run(argc, argv);
}
