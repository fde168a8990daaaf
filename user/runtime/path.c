/* Paths: see path.h. The output is built component by component; `root` is its length with nothing
 * but `scheme:/`, below which ".." does not go. */
#include "runtime/path.h"

#include "abi/abi.h"
#include "lib/string.h"

#define ROOT_PREFIX "file:/"
#define SCHEME_DIR "/scheme/"

struct builder {
  char *out;
  size_t cap, len, root;
  bool full;
};

static inline void builder_char(struct builder *b, char c) {
  if (b->len + 1 >= b->cap) { /* a byte is kept for the NUL */
    b->full = true;
    return;
  }
  b->out[b->len++] = c;
}

static void builder_put(struct builder *b, const char *text, size_t n) {
  for (size_t i = 0; i < n; i++) {
    builder_char(b, text[i]);
  }
}

static bool is_scheme_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '+';
}

/* Bytes of the name when the text begins with `name:/`, else 0. */
static size_t scheme_length(const char *path) {
  size_t n = 0;
  while (is_scheme_char(path[n])) {
    n++;
  }
  return n != 0 && path[n] == ':' && path[n + 1] == '/' ? n : 0;
}

static size_t component_length(const char *p) {
  size_t n = 0;
  while (p[n] && p[n] != '/') {
    n++;
  }
  return n;
}

static bool is_dot(const char *p, size_t n) {
  return n == 1 && p[0] == '.';
}

static bool is_dot_dot(const char *p, size_t n) {
  return n == 2 && p[0] == '.' && p[1] == '.';
}

static void builder_root(struct builder *b, const char *name, size_t n) {
  builder_put(b, name, n);
  builder_put(b, ":/", 2);
  b->root = b->len;
}

/* Copies the working directory, which ends in no slash unless it is a root. */
static void builder_cwd(struct builder *b, const char *cwd) {
  builder_put(b, cwd, strlen(cwd));
  b->root = scheme_length(cwd) + 2;
}

static void builder_up(struct builder *b) {
  while (b->len > b->root && b->out[b->len - 1] != '/') {
    b->len--;
  }
  if (b->len > b->root) {
    b->len--;
  }
}

/* A component is copied as it is read, and taken back when it is none. */
static void builder_walk(struct builder *b, const char *p) {
  bool named = false;
  while (*p && !b->full) {
    size_t before = b->len, n = 0;
    if (before > b->root) {
      builder_char(b, '/');
    }
    for (; p[n] && p[n] != '/'; n++) {
      builder_char(b, p[n]);
    }
    bool up = is_dot_dot(p, n) && !named;
    if (n == 0 || is_dot(p, n) || up) {
      b->len = before;
      b->full = false;
    } else {
      named = true;
    }
    if (up) {
      builder_up(b);
    }
    p += n;
    while (*p == '/') {
      p++;
    }
  }
}

/* Puts the root or the working directory that `path` starts from; answers what is left to walk. */
static const char *builder_start(struct builder *b, const char *cwd, const char *path) {
  size_t n = scheme_length(path);
  if (n != 0) {
    builder_root(b, path, n);
    return path + n + 1;
  }
  if (path[0] != '/') {
    builder_cwd(b, cwd);
    return path;
  }
  size_t skip = sizeof(SCHEME_DIR) - 1;
  if (strncmp(path, SCHEME_DIR, skip) == 0 && (n = component_length(path + skip)) != 0) {
    builder_root(b, path + skip, n);
    return path + skip + n;
  }
  builder_root(b, ROOT_PREFIX, sizeof(ROOT_PREFIX) - 3);
  return path;
}

int64_t path_resolve(const char *cwd, const char *path, char *out, size_t cap) {
  struct builder b = {.out = out, .cap = cap};
  if (path[0] == '\0') {
    return -ABI_ENOENT;
  }
  const char *rest = builder_start(&b, cwd, path);
  builder_walk(&b, rest + (*rest == '/'));
  if (b.full) {
    return -ABI_ENAMETOOLONG;
  }
  out[b.len] = '\0';
  return (int64_t)b.len;
}

bool path_names_directory(const char *path, size_t len) {
  size_t n = 0; /* the last component's length, as far as it matters */
  while (n < 3 && n < len && path[len - 1 - n] != '/') {
    n++;
  }
  const char *last = path + len - n;
  return len != 0 && (n == 0 || is_dot(last, n) || is_dot_dot(last, n));
}

int64_t path_show(const char *canonical, char *out, size_t cap) {
  struct builder b = {.out = out, .cap = cap};
  size_t n = scheme_length(canonical);
  if (cap == 0) {
    return -ABI_ERANGE;
  }
  if (strncmp(canonical, ROOT_PREFIX, sizeof(ROOT_PREFIX) - 1) != 0) {
    builder_put(&b, SCHEME_DIR, sizeof(SCHEME_DIR) - 1);
    builder_put(&b, canonical, n);
  }
  builder_put(&b, canonical + n + 1, strlen(canonical + n + 1));
  if (b.full) {
    return -ABI_ERANGE;
  }
  out[b.len] = '\0';
  return (int64_t)b.len;
}
