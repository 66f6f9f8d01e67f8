/* Writing files so that a reader sees the old content or the new, never a part: temporary in the same folder,
 * fsync, rename, fsync of the folder. */
#include "host/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_TRIES = 100, MODE_BITS = 07777 };

typedef altmin_error (*writer)(FILE *f, void *user, altmin_status *st);

/* Create "<folder>/.<base>.<pid>-<k>.tmp" exclusively with the process's default permissions. mkstemp would
 * make it private (0600), and asking for the umask to undo that is not thread-safe. */
static int create_temporary(char *temporary, size_t n_temporary, const char *path)
{
    const char *slash = strrchr(path, '/');
    int n_folder = slash ? (int)(slash - path) + 1 : 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int k = 0; k < NAME_TRIES; ++k) {
        int n = snprintf(temporary, n_temporary, "%.*s.%.200s.%ld-%ld.tmp", n_folder, path, path + n_folder,
                         (long)getpid(), now.tv_nsec + k);
        if (n < 0 || (size_t)n >= n_temporary) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static altmin_error fail_write(const char *path, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
}

/* Let `write` fill the stream, then close it; `sync` waits for the disk. The stream is closed in every case.
 */
static altmin_error fill(int fd, const char *path, int sync, writer write, void *user, altmin_status *st)
{
    FILE *f = fdopen(fd, "wb");
    if (!f) {
        fail_write(path, st);
        close(fd);
        return ALTMIN_ERR_IO;
    }
    altmin_error code = write(f, user, st);
    if (!code && (fflush(f) || ferror(f) || (sync && fsync(fd)))) code = fail_write(path, st);
    if (fclose(f) && !code) code = fail_write(path, st);
    return code;
}

/* The rename itself must reach the disk; some filesystems cannot sync a folder, which is no reason to fail.
 */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n >= sizeof folder) return;
    memcpy(folder, slash ? path : ".", slash ? n : 1);
    folder[slash ? n : 1] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

static altmin_error replace_regular(const char *path, const struct stat *old, writer write, void *user,
                                    altmin_status *st)
{
    char temporary[PATH_MAX];
    int fd = create_temporary(temporary, sizeof temporary, path);
    if (fd < 0)
        return am_fail(st, ALTMIN_ERR_IO, "cannot write '%s': no temporary can be made in its folder: %s",
                       path, strerror(errno));
    if (old) (void)fchmod(fd, old->st_mode & MODE_BITS);
    altmin_error code = fill(fd, path, 1, write, user, st);
    if (!code && rename(temporary, path)) code = fail_write(path, st);
    if (code)
        unlink(temporary);
    else
        sync_folder(path);
    return code;
}

altmin_error am_file_replace(const char *path, writer write, void *user, altmin_status *st)
{
    struct stat old;
    char resolved[PATH_MAX];
    if (stat(path, &old)) {
        if (errno != ENOENT) return fail_write(path, st);
        return replace_regular(path, NULL, write, user, st);
    }
    if (S_ISDIR(old.st_mode))
        return am_fail(st, ALTMIN_ERR_IO, "cannot write '%s': it is a folder; give a file name", path);
    if (!S_ISREG(old.st_mode)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) return fail_write(path, st);
        return fill(fd, path, 0, write, user, st);
    }
    if (!realpath(path, resolved)) return fail_write(path, st);
    return replace_regular(resolved, &old, write, user, st);
}
