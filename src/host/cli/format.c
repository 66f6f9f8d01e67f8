/* Numbers as people read them. */
#include "host/cli/table.h"

#include <string.h>

void am_print_seconds(char *text, size_t room, double seconds)
{
    if (seconds < 10)
        snprintf(text, room, "%.2f s", seconds);
    else if (seconds < 99.95)
        snprintf(text, room, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(text, room, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, room, "%.0f h %02d min", (double)((long long)seconds / 3600),
                 (int)((long long)seconds / 60 % 60));
}

void am_print_bytes(char *text, size_t room, size_t n_bytes)
{
    if (n_bytes < 1024)
        snprintf(text, room, "%zu B", n_bytes);
    else if (n_bytes < 1024 * 1024)
        snprintf(text, room, "%.1f KiB", (double)n_bytes / 1024);
    else
        snprintf(text, room, "%.1f MiB", (double)n_bytes / (1024 * 1024));
}

void am_print_widths(char *text, size_t room, const size_t *width, size_t n_layers)
{
    size_t n = 0;
    text[0] = 0;
    for (size_t l = 0; l <= n_layers && n < room; l++) {
        if (n_layers > 12 && l == 5) {
            n += (size_t)snprintf(text + n, room - n, "-...");
            l = n_layers - 4;
        }
        if (n < room) n += (size_t)snprintf(text + n, room - n, "%s%zu", l ? "-" : "", width[l]);
    }
}

void am_print_count(char *text, size_t room, size_t count)
{
    char digits[32];
    const size_t n = (size_t)snprintf(digits, sizeof digits, "%zu", count);
    size_t at = 0;
    for (size_t i = 0; i < n && at + 2 < room; i++) {
        if (i && (n - i) % 3 == 0) text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = 0;
}
