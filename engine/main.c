/* rlab: start-up and the only exit. */
#include "bind/host.h"

int main(int argc, char **argv)
{
    return host_run(argc, argv);
}
