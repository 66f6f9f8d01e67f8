/* The processor's name; see machine.h. */
#include "host/io/machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

void am_machine_cpu(char *name, size_t room)
{
    char line[256];
    struct utsname machine;
    snprintf(name, room, "%s", uname(&machine) == 0 ? machine.machine : "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon += 1 + strspn(colon + 1, " ");
        snprintf(name, room, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    if (f) fclose(f);
}
