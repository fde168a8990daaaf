// test-sources:
/* Lists against an array that holds the same nodes in the same order. */
#include "lib/list.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define N_NODES 40
#define N_STEPS 1000000

struct item {
  int pad; /* so that node is not the first member */
  struct list node;
};

static struct item items[N_NODES];
static struct list head = LIST_INIT(head);
static struct item *order[N_NODES];
static unsigned n_items;

static void order_insert(unsigned at, struct item *item) {
  for (unsigned i = n_items++; i > at; i--) {
    order[i] = order[i - 1];
  }
  order[at] = item;
}

static void order_remove(const struct item *item) {
  unsigned at = 0;
  while (order[at] != item) {
    at++;
  }
  n_items--;
  for (; at < n_items; at++) {
    order[at] = order[at + 1];
  }
}

/* [L1], and the same nodes in the same order. */
static void list_matches(void) {
  unsigned i = 0;
  list_for_each (node, &head) {
    TAP_REQUIRE(node->next->prev == node && node->prev->next == node);
    TAP_REQUIRE(i < n_items && CONTAINER_OF(node, struct item, node) == order[i]);
    i++;
  }
  TAP_REQUIRE(i == n_items && list_is_empty(&head) == (n_items == 0));
  TAP_REQUIRE(list_front(&head) == (n_items ? &order[0]->node : NULL));
  TAP_REQUIRE(list_back(&head) == (n_items ? &order[n_items - 1]->node : NULL));
}

static void random_insert(struct rng *rng, struct item *item) {
  unsigned at = rng_below(rng, n_items + 1);
  if (at == 0) {
    list_push_front(&head, &item->node);
  } else if (at == n_items) {
    list_push_back(&head, &item->node);
  } else {
    list_insert_after(&order[at - 1]->node, &item->node);
  }
  order_insert(at, item);
}

static void random_step(struct rng *rng) {
  struct item *item = &items[rng_below(rng, N_NODES)];
  if (rng_one_in(rng, 4)) {
    struct list *node = list_pop_front(&head);
    TAP_REQUIRE(node == (n_items ? &order[0]->node : NULL));
    if (node) {
      order_remove(order[0]);
      TAP_REQUIRE(!list_is_linked(node));
    }
  } else if (list_is_linked(&item->node)) {
    list_remove(&item->node);
    list_remove(&item->node); /* of an unlinked node: nothing */
    TAP_REQUIRE(!list_is_linked(&item->node));
    order_remove(item);
  } else {
    random_insert(rng, item);
  }
}

static bool splices(void) {
  struct list a = LIST_INIT(a), b = LIST_INIT(b);
  for (int i = 0; i < 4; i++) {
    list_init(&items[i].node);
    list_push_back(i < 2 ? &a : &b, &items[i].node);
  }
  list_splice_back(&a, &b);
  list_splice_back(&a, &b); /* b is empty */
  list_init(&items[4].node);
  list_push_back(&a, &items[4].node);
  for (int i = 0; i < 5; i++) {
    if (list_pop_front(&a) != &items[i].node) {
      return false;
    }
  }
  list_push_back(&b, &items[0].node);
  list_splice_back(&a, &b); /* a is empty */
  return list_is_empty(&b) && list_pop_front(&a) == &items[0].node && list_is_empty(&a);
}

static bool safe_loop_unlinks(void) {
  struct list all = LIST_INIT(all);
  unsigned visited = 0;
  for (int i = 0; i < 5; i++) {
    list_init(&items[i].node);
    list_push_back(&all, &items[i].node);
  }
  list_for_each_safe (node, &all) {
    list_remove(node);
    visited++;
  }
  return visited == 5 && list_is_empty(&all);
}

int main(int argc, char **argv) {
  struct rng rng;
  tap_plan(3);
  rng_seed(&rng, tap_seed(argc, argv));
  for (unsigned i = 0; i < N_NODES; i++) {
    list_init(&items[i].node);
  }
  for (unsigned i = 0; i < N_STEPS; i++) {
    random_step(&rng);
    list_matches();
  }
  tap_ok(n_items <= N_NODES, "random operations");
  tap_ok(splices(), "splicing full and empty lists");
  tap_ok(safe_loop_unlinks(), "list_for_each_safe() survives unlinking");
  return tap_done();
}
