/* Paths: from what a program writes to `scheme:/rest` without "." and doubled slashes.
 *
 *   /bin/ls                file:/bin/ls        the root is the file: scheme
 *   initfs:/bin/ls         initfs:/bin/ls      any scheme by its name
 *   /scheme/initfs/bin/ls  initfs:/bin/ls      the same for programs that want a leading slash
 *   ../x                   cwd's parent, then x
 *
 * Pure text: no links are followed. The working directory has none in it, so ".." at the front of a
 * path is resolved here; ".." after a name stays, for the server, who knows whether that name is a
 * link. */
#ifndef CATHODE_RUNTIME_PATH_H
#define CATHODE_RUNTIME_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Write the canonical form of `path` to `out`. `cwd` is canonical. Answers its length, or a negated
 * error: ENOENT for an empty path, ENAMETOOLONG when it does not fit in `cap` with its NUL. */
[[nodiscard]] int64_t path_resolve(const char *cwd, const char *path, char *out, size_t cap);

/* Whether the path ends so that it can only name a directory: "x/", "x/.", "..". */
bool path_names_directory(const char *path, size_t len);

/* What getcwd() shows: canonical `file:/x` as `/x`, others as `/scheme/NAME/x`. Answers the length
 * or -ABI_ERANGE. */
[[nodiscard]] int64_t path_show(const char *canonical, char *out, size_t cap);

#endif
