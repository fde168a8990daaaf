/* The layer below: the boot image's tree, read through its own scheme, mirrored as it is looked at.
 *
 * Nothing is read before somebody looks: a directory's names when the directory is first searched
 * or listed, a file's attributes when it is first met, its bytes never: they are a private mapping
 * of the file below, until they are first changed. The layer below must not change. */
#ifndef CATHODE_RAMFS_LOWER_H
#define CATHODE_RAMFS_LOWER_H

#include "servers/ramfs/node.h"

/* Mark `root` as the mirror of tree->lower_root. Fails: ENOMEM. */
[[nodiscard]] int lower_attach(struct tree *tree, struct node *root);

/* Enter a directory's names as stubs, once. Fails: ENOMEM, EIO. */
[[nodiscard]] int lower_read(struct tree *tree, struct node *directory);

/* Make a stub whole. Fails: ENOMEM, EIO. */
[[nodiscard]] int lower_load(struct node *node);

/* Map the bytes of a file that mirrors one below. Fails: ENOMEM, EIO. */
[[nodiscard]] int lower_map(struct node *file);

#endif
