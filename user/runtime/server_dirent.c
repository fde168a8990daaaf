/* Directory records: see server_dirent.h and struct abi_dirent. */
#include "runtime/server_dirent.h"

#include "abi/abi.h"

bool dirent_put(struct dirent_list *list, uint64_t ino, int64_t next, uint32_t mode,
                struct text name) {
  size_t length = (ABI_DIRENT_HEAD + name.len + 1 + 7) & ~(size_t)7;
  if (name.len > ABI_NAME_MAX || length > list->room - list->used) {
    return false;
  }
  struct abi_dirent *record = (struct abi_dirent *)(list->at + list->used);
  record->ino = ino;
  record->next = next;
  record->reclen = (uint16_t)length;
  record->type = (uint8_t)((mode & S_ABI_IFMT) >> 12);
  uint8_t *to = list->at + list->used + ABI_DIRENT_HEAD;
  for (size_t i = 0; i < length - ABI_DIRENT_HEAD; i++) {
    to[i] = i < name.len ? (uint8_t)name.at[i] : 0;
  }
  list->used += length;
  return true;
}

int64_t dirent_answer(const struct dirent_list *list, bool more) {
  return more && list->used == 0 ? -ABI_EINVAL : (int64_t)list->used;
}
