/* Copies between the kernel and the loaded address space. A range is checked against the user half
 * here; whether it is mapped, the copy finds out by faulting (arch_copy_*, upcall_page_fault). */
#include "mm/mm.h"

bool user_range_ok(uaddr_t at, size_t len) {
  return at.v >= ABI_USER_BASE && at.v < ABI_USER_END && len <= ABI_USER_END - at.v;
}

enum abi_error user_copy_in(void *dst, uaddr_t src, size_t len) {
  if (CATHODE_DEBUG) {
    lock_debug_none_held("user_copy_in");
  }
  if (len == 0) {
    return OK;
  }
  return user_range_ok(src, len) && arch_copy_from_user(dst, src.v, len) == 0 ? OK : ABI_EFAULT;
}

enum abi_error user_copy_out(uaddr_t dst, const void *src, size_t len) {
  if (CATHODE_DEBUG) {
    lock_debug_none_held("user_copy_out");
  }
  if (len == 0) {
    return OK;
  }
  return user_range_ok(dst, len) && arch_copy_to_user(dst.v, src, len) == 0 ? OK : ABI_EFAULT;
}
