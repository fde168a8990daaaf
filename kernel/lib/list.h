/* Intrusive, doubly linked, circular lists. A head is a list node that belongs to no element.
 *
 * Invariant [L1]: for every node n, n->next->prev == n and n->prev->next == n. A node that is on no
 * list is linked to itself, so that "is it queued" costs one comparison and needs no flag.
 * Locks: none; the owner of the list provides them. */
#ifndef CATHODE_LIB_LIST_H
#define CATHODE_LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
  struct list *prev, *next;
};

/* The structure of which `ptr` points to the member. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A head or a node defined at compile time. */
#define LIST_INIT(name)                                                                            \
  { &(name), &(name) }

/* Empties a head, or makes a node unlinked. What was linked before is forgotten. */
static inline void list_init(struct list *l) {
  l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *head) {
  return head->next == head;
}

/* Whether the node is on a list; of a head: whether it has elements. */
static inline bool list_is_linked(const struct list *node) {
  return node->next != node;
}

/* Puts an unlinked node behind `at`. */
static inline void list_insert_after(struct list *at, struct list *node) {
  node->prev = at;
  node->next = at->next;
  at->next->prev = node;
  at->next = node;
}

static inline void list_push_front(struct list *head, struct list *node) {
  list_insert_after(head, node);
}

static inline void list_push_back(struct list *head, struct list *node) {
  list_insert_after(head->prev, node);
}

/* Takes a node off the list it is on and leaves it unlinked; an unlinked node stays so. */
static inline void list_remove(struct list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  list_init(node);
}

/* The first or last node, NULL when the list is empty. */
static inline struct list *list_front(const struct list *head) {
  return head->next == head ? NULL : head->next;
}

static inline struct list *list_back(const struct list *head) {
  return head->prev == head ? NULL : head->prev;
}

/* Takes the first node off, NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head) {
  struct list *node = list_front(head);
  if (node) {
    list_remove(node);
  }
  return node;
}

/* Takes the first node off a list that is not empty, and puts an unlinked one behind the last. */
static inline struct list *list_rotate(struct list *head, struct list *node) {
  struct list *first = head->next, *second = first->next;
  head->next = second;
  second->prev = head;
  struct list *last = head->prev; /* the head itself when first was alone */
  node->prev = last;
  node->next = head;
  last->next = node;
  head->prev = node;
  list_init(first);
  return first;
}

/* Moves all nodes of `other`, in order, behind the last of `head`; `other` is empty afterwards. */
static inline void list_splice_back(struct list *head, struct list *other) {
  if (list_is_empty(other)) {
    return;
  }
  other->next->prev = head->prev;
  head->prev->next = other->next;
  other->prev->next = head;
  head->prev = other->prev;
  list_init(other);
}

/* Visits every node; the body must not unlink `pos`. */
#define list_for_each(pos, head)                                                                   \
  for (struct list *pos = (head)->next; pos != (head); pos = pos->next)

/* Visits every node; the body may unlink (and free) `pos`, and no other node. */
#define list_for_each_safe(pos, head)                                                              \
  for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);                    \
       pos = pos##_next, pos##_next = pos->next)

#endif
