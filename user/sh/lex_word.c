/* Words: quotes, parameters, substitutions. A word ends at a blank or an operator; the same reader
 * serves the inside of "...", ${name-...}, $((...)) and here-documents, which differ in what ends
 * them and in which characters are special: enum lex_mode. */
#include <ctype.h>
#include <string.h>

#include "parser.h"

enum lex_mode {
  MODE_WORD,         /* ends before a blank or an operator */
  MODE_DOUBLE,       /* ends after " */
  MODE_BRACE,        /* ends after }, not inside "..." */
  MODE_BRACE_QUOTED, /* ends after }, inside "...": a further " toggles nothing and vanishes */
  MODE_ARITH,        /* ends after )) */
  MODE_HEREDOC,      /* ends with the input */
};

/* A word under construction; adjacent characters of the same quoting gather in `text`. */
struct builder {
  struct parser *p;
  struct word *word;
  struct word_part **tail;
  struct text text;
  bool text_quoted, text_exists;
};

static struct word *lex_mode(struct parser *p, enum lex_mode mode);

bool is_name_start(int c) {
  return isalpha(c) || c == '_';
}

bool is_name_char(int c) {
  return isalnum(c) || c == '_';
}

const char *word_literal(const struct word *word) {
  const struct word_part *part = word->parts;
  return part && !part->next && part->kind == PART_TEXT && !part->quoted ? part->text : NULL;
}

static struct word_part *builder_part(struct builder *b, enum part_kind kind, bool quoted);

static void builder_flush(struct builder *b) {
  if (b->text_exists) {
    b->text_exists = false;
    struct word_part *part = builder_part(b, PART_TEXT, b->text_quoted);
    part->text = arena_string(b->p->arena, b->text.bytes, b->text.n);
    b->text.n = 0;
  }
}

static struct word_part *builder_part(struct builder *b, enum part_kind kind, bool quoted) {
  builder_flush(b);
  struct word_part *part = arena_alloc(b->p->arena, sizeof *part);
  part->kind = kind;
  part->quoted = quoted;
  *b->tail = part;
  b->tail = &part->next;
  return part;
}

/* Makes the text exist even when no character follows: "" is an empty word. */
static void builder_begin(struct builder *b, bool quoted) {
  if (b->text_exists && b->text_quoted != quoted) {
    builder_flush(b);
  }
  b->text_exists = true;
  b->text_quoted = quoted;
}

static void builder_add(struct builder *b, int c, bool quoted) {
  builder_begin(b, quoted);
  text_add(&b->text, (char)c);
}

/* ---- parameters ---- */

static const char *lex_name(struct parser *p, int c) {
  struct text name = {0};
  bool digits = isdigit(c);
  text_add(&name, (char)c);
  if (is_name_start(c) || digits) {
    while ((c = lexer_get(p)) != INPUT_END && (digits ? isdigit(c) : is_name_char(c))) {
      text_add(&name, (char)c);
    }
    input_unget(p->in, c);
  }
  const char *copy = arena_string(p->arena, name.bytes, name.n);
  text_free(&name);
  return copy;
}

static bool is_parameter(int c) {
  return c != INPUT_END && (is_name_char(c) || (c && strchr("@*#?-$!", c)));
}

/* After ${name: the operator and its word, up to and with the brace. */
static void lex_brace_operator(struct parser *p, struct word_part *part) {
  int c = lexer_get(p);
  if (c == '}') {
    return;
  }
  if (c == ':') {
    part->colon = true;
    c = lexer_get(p);
  }
  if (c == INPUT_END || !strchr(part->colon ? "-=?+" : "-=?+#%", c)) {
    parser_error(p, "bad substitution");
    return;
  }
  part->op = (char)c;
  if (c == '#' || c == '%') {
    int next = lexer_get(p);
    part->longest = next == c;
    if (next != c) {
      input_unget(p->in, next);
    }
    part->arg = lex_mode(p, MODE_BRACE);
  } else {
    part->arg = lex_mode(p, part->quoted ? MODE_BRACE_QUOTED : MODE_BRACE);
  }
}

static void lex_brace(struct builder *b, bool quoted) {
  struct parser *p = b->p;
  struct word_part *part = builder_part(b, PART_PARAM, quoted);
  int c = lexer_get(p);
  if (c == '#') { /* ${#}, ${#-word} or the length ${#name} */
    int next = lexer_get(p);
    if (is_parameter(next)) {
      int after = lexer_get(p);
      input_unget(p->in, after);
      part->op = is_name_char(next) || after == '}' ? 'l' : 0;
    }
    if (part->op == 'l') {
      c = next;
    } else {
      input_unget(p->in, next);
    }
  }
  if (!is_parameter(c)) {
    parser_error(p, "bad substitution");
    return;
  }
  part->text = lex_name(p, c);
  if (part->op == 'l' && lexer_get(p) != '}') {
    parser_error(p, "bad substitution");
  } else if (part->op != 'l') {
    lex_brace_operator(p, part);
  }
}

/* ---- substitutions ---- */

static void lex_paren(struct builder *b, bool quoted) {
  int c = lexer_get(b->p);
  if (c == '(') {
    struct word_part *part = builder_part(b, PART_ARITH, quoted);
    part->arg = lex_mode(b->p, MODE_ARITH);
    return;
  }
  input_unget(b->p->in, c);
  struct word_part *part = builder_part(b, PART_COMMAND, quoted);
  part->body = parse_substitution(b->p, true);
}

/* `...`: a backslash before $, ` or \ (and " inside quotes) is taken away before it is parsed. */
static void lex_backquote(struct builder *b, bool quoted) {
  struct text text = {0};
  struct input *outer = b->p->in;
  int c;
  while ((c = input_get(outer)) != '`' && c != INPUT_END) {
    if (c == '\\') {
      int next = input_get(outer);
      if (next == INPUT_END || (!strchr("$`\\", next) && !(quoted && next == '"'))) {
        text_add(&text, '\\');
      }
      c = next;
    }
    text_add(&text, (char)c);
  }
  if (c == INPUT_END) {
    parser_error(b->p, "unterminated `");
  }
  struct input in;
  input_from_string(&in, text.bytes, text.n);
  b->p->in = &in;
  struct word_part *part = builder_part(b, PART_COMMAND, quoted);
  part->body = parse_substitution(b->p, false);
  b->p->in = outer;
  text_free(&text);
}

static void lex_dollar(struct builder *b, bool quoted) {
  int c = lexer_get(b->p);
  if (c == '{') {
    lex_brace(b, quoted);
  } else if (c == '(') {
    lex_paren(b, quoted);
  } else if (is_parameter(c)) {
    struct word_part *part = builder_part(b, PART_PARAM, quoted);
    if (isdigit(c)) {
      char digit = (char)c;
      part->text = arena_string(b->p->arena, &digit, 1);
    } else {
      part->text = lex_name(b->p, c);
    }
  } else {
    input_unget(b->p->in, c);
    builder_add(b, '$', quoted);
  }
}

/* ---- quotes ---- */

static void lex_single(struct builder *b) {
  builder_begin(b, true);
  int c;
  while ((c = input_get(b->p->in)) != '\'') {
    if (c == INPUT_END) {
      parser_error(b->p, "unterminated '");
      return;
    }
    builder_add(b, c, true);
  }
}

/* A backslash; lexer_get() has already joined lines. */
static void lex_backslash(struct builder *b, enum lex_mode mode) {
  bool all = mode == MODE_WORD || mode == MODE_BRACE;
  int c = input_get(b->p->in);
  bool special = c != INPUT_END && (strchr("$`\\", c) || (c == '"' && mode != MODE_HEREDOC) ||
                                    (c == '}' && mode == MODE_BRACE_QUOTED));
  if (c == INPUT_END || (!all && !special)) {
    builder_add(b, '\\', true);
  }
  if (c != INPUT_END && (all || special)) {
    builder_add(b, c, true);
  } else {
    input_unget(b->p->in, c);
  }
}

static void lex_parts(struct builder *b, enum lex_mode mode);

static void lex_double(struct builder *b) {
  int c = lexer_get(b->p);
  if (c == '"') {
    builder_begin(b, true);
    return;
  }
  input_unget(b->p->in, c);
  lex_parts(b, MODE_DOUBLE);
}

/* ---- the reader ---- */

static bool is_separator(int c) {
  return c && strchr(" \t\n;&|<>()", c);
}

/* Whether c ends the mode; it is consumed unless the mode is MODE_WORD. */
static bool lex_ends(struct parser *p, enum lex_mode mode, int c, int *depth) {
  switch (mode) {
  case MODE_WORD:
    if (is_separator(c)) {
      input_unget(p->in, c);
      return true;
    }
    return false;
  case MODE_DOUBLE:
    return c == '"';
  case MODE_BRACE:
  case MODE_BRACE_QUOTED:
    return c == '}';
  case MODE_ARITH:
    *depth += (c == '(') - (c == ')');
    if (*depth >= 0) {
      return false;
    }
    if (lexer_get(p) != ')') {
      parser_error(p, "missing ))");
    }
    return true;
  default:
    return false;
  }
}

static void lex_end_of_input(struct parser *p, enum lex_mode mode) {
  if (mode == MODE_WORD) {
    input_unget(p->in, INPUT_END);
  } else if (mode != MODE_HEREDOC) {
    static const char *const missing[] = {[MODE_DOUBLE] = "unterminated \"",
                                          [MODE_BRACE] = "missing }",
                                          [MODE_BRACE_QUOTED] = "missing }",
                                          [MODE_ARITH] = "missing ))"};
    parser_error(p, missing[mode]);
  }
}

static void lex_parts(struct builder *b, enum lex_mode mode) {
  struct parser *p = b->p;
  bool plain = mode == MODE_WORD || mode == MODE_BRACE; /* nothing is quoted by the mode itself */
  int depth = 0;
  for (;;) {
    int c = lexer_get(p);
    if (c == INPUT_END || p->failed) {
      lex_end_of_input(p, mode);
      return;
    }
    if (lex_ends(p, mode, c, &depth)) {
      return;
    }
    if (c == '\\') {
      lex_backslash(b, mode);
    } else if (c == '$') {
      lex_dollar(b, !plain);
    } else if (c == '`') {
      lex_backquote(b, !plain);
    } else if (c == '\'' && plain) {
      lex_single(b);
    } else if (c == '"' && plain) {
      lex_double(b);
    } else if (c != '"' || mode == MODE_HEREDOC) {
      builder_add(b, c, !plain);
    }
  }
}

static struct word *lex_mode(struct parser *p, enum lex_mode mode) {
  struct builder b = {.p = p, .word = arena_alloc(p->arena, sizeof *b.word)};
  b.tail = &b.word->parts;
  lex_parts(&b, mode);
  builder_flush(&b);
  text_free(&b.text);
  return b.word;
}

struct word *lexer_word(struct parser *p) {
  return lex_mode(p, MODE_WORD);
}

struct word *lexer_heredoc_word(struct parser *p, const char *text, size_t n, bool literal) {
  if (literal) {
    struct word *word = arena_alloc(p->arena, sizeof *word);
    word->parts = arena_alloc(p->arena, sizeof *word->parts);
    word->parts->quoted = true;
    word->parts->text = arena_string(p->arena, text, n);
    return word;
  }
  struct input in, *outer = p->in;
  input_from_string(&in, text, n);
  p->in = &in;
  struct word *word = lex_mode(p, MODE_HEREDOC);
  p->in = outer;
  return word;
}
