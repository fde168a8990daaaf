/* The grammar of the shell by recursive descent: see parser.h for how errors unwind. */
#include "parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shell.h"

void program_get(struct program *program) {
  program->references++;
}

void program_put(struct program *program) {
  if (--program->references == 0) {
    arena_free(&program->arena);
    free(program);
  }
}

void parser_init(struct parser *p, struct input *in, struct arena *arena) {
  *p = (struct parser){.in = in, .arena = arena};
  p->heredocs_tail = &p->heredocs;
}

void parser_error(struct parser *p, const char *what) {
  if (!p->failed) {
    fprintf(stderr, "%s: %d: syntax error: %s\n", shell.name, p->in->line, what);
  }
  p->failed = true;
}

static const char *token_text(const struct token *token) {
  static const char *const texts[] = {[TOKEN_END] = "end of input",
                                      [TOKEN_NEWLINE] = "newline",
                                      [TOKEN_WORD] = "word",
                                      [TOKEN_NUMBER] = "number",
                                      [TOKEN_AND_AND] = "&&",
                                      [TOKEN_OR_OR] = "||",
                                      [TOKEN_SEMI] = ";",
                                      [TOKEN_SEMI_SEMI] = ";;",
                                      [TOKEN_AMP] = "&",
                                      [TOKEN_PIPE] = "|",
                                      [TOKEN_OPEN] = "(",
                                      [TOKEN_CLOSE] = ")",
                                      [TOKEN_LESS] = "<",
                                      [TOKEN_GREAT] = ">",
                                      [TOKEN_GREAT_GREAT] = ">>",
                                      [TOKEN_LESS_GREAT] = "<>",
                                      [TOKEN_LESS_AND] = "<&",
                                      [TOKEN_GREAT_AND] = ">&",
                                      [TOKEN_LESS_LESS] = "<<",
                                      [TOKEN_LESS_LESS_DASH] = "<<-"};
  const char *literal = token->kind == TOKEN_WORD ? word_literal(token->word) : NULL;
  return literal ? literal : texts[token->kind];
}

static void unexpected(struct parser *p) {
  char what[100];
  snprintf(what, sizeof what, "%.60s unexpected", token_text(lexer_peek(p)));
  parser_error(p, what);
}

static bool peek_is(struct parser *p, enum token_kind kind) {
  return lexer_peek(p)->kind == kind;
}

static bool accept(struct parser *p, enum token_kind kind) {
  if (!peek_is(p, kind)) {
    return false;
  }
  lexer_next(p);
  return true;
}

static bool peek_reserved(struct parser *p, const char *word) {
  struct token *token = lexer_peek(p);
  const char *literal = token->kind == TOKEN_WORD ? word_literal(token->word) : NULL;
  return literal && strcmp(literal, word) == 0;
}

static bool accept_reserved(struct parser *p, const char *word) {
  if (!peek_reserved(p, word)) {
    return false;
  }
  lexer_next(p);
  return true;
}

static void expect_reserved(struct parser *p, const char *word) {
  if (!accept_reserved(p, word)) {
    unexpected(p);
  }
}

static void skip_newlines(struct parser *p) {
  while (accept(p, TOKEN_NEWLINE)) {
  }
}

static struct node *node_new(struct parser *p, enum node_kind kind, struct node *left,
                             struct node *right) {
  struct node *node = arena_alloc(p->arena, sizeof *node);
  node->kind = kind;
  node->left = left;
  node->right = right;
  return node;
}

/* ---- redirections ---- */

static bool peek_redirection(struct parser *p) {
  enum token_kind kind = lexer_peek(p)->kind;
  return kind == TOKEN_NUMBER || kind >= TOKEN_LESS;
}

static enum redir_kind redirection_kind(enum token_kind kind) {
  switch (kind) {
  case TOKEN_LESS:
    return REDIR_READ;
  case TOKEN_GREAT:
    return REDIR_WRITE;
  case TOKEN_GREAT_GREAT:
    return REDIR_APPEND;
  case TOKEN_LESS_GREAT:
    return REDIR_BOTH;
  case TOKEN_LESS_AND:
  case TOKEN_GREAT_AND:
    return REDIR_DUP;
  default:
    return REDIR_TEXT;
  }
}

static struct redirection *parse_redirection(struct parser *p) {
  struct redirection *r = arena_alloc(p->arena, sizeof *r);
  struct token op = lexer_next(p);
  bool numbered = op.kind == TOKEN_NUMBER;
  r->fd = op.number;
  if (numbered) {
    op = lexer_next(p);
  }
  r->kind = redirection_kind(op.kind);
  if (!numbered) {
    bool out = op.kind == TOKEN_GREAT || op.kind == TOKEN_GREAT_GREAT || op.kind == TOKEN_GREAT_AND;
    r->fd = out ? 1 : 0;
  }
  if (!peek_is(p, TOKEN_WORD)) {
    unexpected(p);
    return r;
  }
  r->word = lexer_next(p).word;
  if (r->kind == REDIR_TEXT) {
    lexer_add_heredoc(p, r, r->word, op.kind == TOKEN_LESS_LESS_DASH);
  }
  return r;
}

static void parse_redirections(struct parser *p, struct node *node) {
  struct redirection **tail = &node->redirections;
  while (peek_redirection(p)) {
    *tail = parse_redirection(p);
    tail = &(*tail)->next;
  }
}

/* ---- simple commands and functions ---- */

/* NAME=value: answers the length of the name, 0 when it is no assignment. */
static size_t assignment_name(const struct word *word) {
  const struct word_part *part = word->parts;
  if (!part || part->kind != PART_TEXT || part->quoted || !is_name_start(part->text[0])) {
    return 0;
  }
  size_t n = 1;
  while (is_name_char(part->text[n])) {
    n++;
  }
  return part->text[n] == '=' ? n : 0;
}

static struct assignment *assignment_new(struct parser *p, struct word *word, size_t n) {
  struct assignment *a = arena_alloc(p->arena, sizeof *a);
  a->name = arena_string(p->arena, word->parts->text, n);
  a->value = word;
  word->parts->text += n + 1;
  if (!*word->parts->text) {
    word->parts = word->parts->next;
  }
  return a;
}

static struct node *parse_compound(struct parser *p);

static bool is_name(const char *text) {
  if (!text || !is_name_start(*text)) {
    return false;
  }
  while (is_name_char(*text)) {
    text++;
  }
  return !*text;
}

/* After `name (`. */
static struct node *parse_function(struct parser *p, const char *name) {
  if (!is_name(name) || !accept(p, TOKEN_CLOSE)) {
    unexpected(p);
    return NULL;
  }
  skip_newlines(p);
  struct node *body = parse_compound(p);
  if (!body) {
    unexpected(p);
    return NULL;
  }
  struct node *node = node_new(p, NODE_FUNCTION, body, NULL);
  node->name = name;
  return node;
}

static struct node *parse_simple(struct parser *p) {
  struct node *node = node_new(p, NODE_SIMPLE, NULL, NULL);
  struct redirection **redirections = &node->redirections;
  struct assignment **assignments = &node->assignments;
  struct word **words = &node->words;
  for (;;) {
    if (peek_redirection(p)) {
      *redirections = parse_redirection(p);
      redirections = &(*redirections)->next;
    } else if (peek_is(p, TOKEN_WORD)) {
      struct word *word = lexer_next(p).word;
      size_t n = node->words ? 0 : assignment_name(word);
      if (n) {
        *assignments = assignment_new(p, word, n);
        assignments = &(*assignments)->next;
      } else {
        *words = word;
        words = &word->next;
      }
    } else if (node->words && !node->words->next && peek_is(p, TOKEN_OPEN)) {
      lexer_next(p);
      return parse_function(p, word_literal(node->words));
    } else {
      break;
    }
  }
  if (!node->words && !node->assignments && !node->redirections) {
    unexpected(p);
  }
  return node;
}

/* ---- compound commands ---- */

static struct node *parse_list(struct parser *p);

/* A list that must not be empty. */
static struct node *parse_body(struct parser *p) {
  struct node *list = parse_list(p);
  if (!list) {
    unexpected(p);
  }
  return list;
}

/* After `if` or `elif`. */
static struct node *parse_if(struct parser *p) {
  struct node *node = node_new(p, NODE_IF, NULL, NULL);
  node->test = parse_body(p);
  expect_reserved(p, "then");
  node->left = parse_body(p);
  if (accept_reserved(p, "elif")) {
    node->right = parse_if(p);
    return node;
  }
  if (accept_reserved(p, "else")) {
    node->right = parse_body(p);
  }
  expect_reserved(p, "fi");
  return node;
}

static struct node *parse_do(struct parser *p) {
  expect_reserved(p, "do");
  struct node *body = parse_body(p);
  expect_reserved(p, "done");
  return body;
}

static struct node *parse_loop(struct parser *p, enum node_kind kind) {
  struct node *node = node_new(p, kind, NULL, NULL);
  node->test = parse_body(p);
  node->left = parse_do(p);
  return node;
}

static struct node *parse_for(struct parser *p) {
  struct node *node = node_new(p, NODE_FOR, NULL, NULL);
  struct token name = lexer_next(p);
  node->name = name.kind == TOKEN_WORD ? word_literal(name.word) : NULL;
  if (!is_name(node->name)) {
    parser_error(p, "bad for loop variable");
    return node;
  }
  node->all_params = true;
  if (!accept(p, TOKEN_SEMI)) {
    skip_newlines(p);
    if (accept_reserved(p, "in")) {
      node->all_params = false;
      for (struct word **tail = &node->words; peek_is(p, TOKEN_WORD); tail = &(*tail)->next) {
        *tail = lexer_next(p).word;
      }
      if (!accept(p, TOKEN_SEMI) && !peek_is(p, TOKEN_NEWLINE)) {
        unexpected(p);
      }
    }
  }
  skip_newlines(p);
  node->left = parse_do(p);
  return node;
}

static struct case_item *parse_case_item(struct parser *p) {
  struct case_item *item = arena_alloc(p->arena, sizeof *item);
  struct word **tail = &item->patterns;
  accept(p, TOKEN_OPEN);
  do {
    if (!peek_is(p, TOKEN_WORD)) {
      unexpected(p);
      return item;
    }
    *tail = lexer_next(p).word;
    tail = &(*tail)->next;
  } while (accept(p, TOKEN_PIPE));
  if (!accept(p, TOKEN_CLOSE)) {
    unexpected(p);
  }
  item->body = parse_list(p);
  return item;
}

static struct node *parse_case(struct parser *p) {
  struct node *node = node_new(p, NODE_CASE, NULL, NULL);
  if (!peek_is(p, TOKEN_WORD)) {
    unexpected(p);
    return node;
  }
  node->words = lexer_next(p).word;
  skip_newlines(p);
  expect_reserved(p, "in");
  skip_newlines(p);
  struct case_item **tail = &node->cases;
  while (!p->failed && !accept_reserved(p, "esac")) {
    *tail = parse_case_item(p);
    tail = &(*tail)->next;
    if (!accept(p, TOKEN_SEMI_SEMI)) {
      expect_reserved(p, "esac");
      break;
    }
    skip_newlines(p);
  }
  return node;
}

static struct node *parse_parentheses(struct parser *p) {
  struct node *node = node_new(p, NODE_SUBSHELL, parse_body(p), NULL);
  if (!accept(p, TOKEN_CLOSE)) {
    unexpected(p);
  }
  return node;
}

static struct node *parse_braces(struct parser *p) {
  struct node *node = node_new(p, NODE_GROUP, parse_body(p), NULL);
  expect_reserved(p, "}");
  return node;
}

static struct node *parse_compound_start(struct parser *p) {
  if (accept(p, TOKEN_OPEN)) {
    return parse_parentheses(p);
  }
  if (accept_reserved(p, "{")) {
    return parse_braces(p);
  }
  if (accept_reserved(p, "if")) {
    return parse_if(p);
  }
  if (accept_reserved(p, "while")) {
    return parse_loop(p, NODE_WHILE);
  }
  if (accept_reserved(p, "until")) {
    return parse_loop(p, NODE_UNTIL);
  }
  if (accept_reserved(p, "for")) {
    return parse_for(p);
  }
  if (accept_reserved(p, "case")) {
    return parse_case(p);
  }
  return NULL;
}

/* NULL, with nothing consumed, when no compound command begins here. */
static struct node *parse_compound(struct parser *p) {
  struct node *node = parse_compound_start(p);
  if (node) {
    parse_redirections(p, node);
  }
  return node;
}

/* ---- lists ---- */

static bool peek_any_reserved(struct parser *p) {
  static const char *const closing[] = {"then", "else", "elif", "fi", "do", "done", "esac", "}"};
  for (size_t i = 0; i < sizeof closing / sizeof closing[0]; i++) {
    if (peek_reserved(p, closing[i])) {
      return true;
    }
  }
  return false;
}

static struct node *parse_command_node(struct parser *p) {
  struct node *node = parse_compound(p);
  if (node) {
    return node;
  }
  if (peek_any_reserved(p)) {
    unexpected(p);
    return NULL;
  }
  return parse_simple(p);
}

static struct node *parse_pipeline(struct parser *p) {
  bool negated = false;
  while (accept_reserved(p, "!")) {
    negated = !negated;
  }
  struct node *first = parse_command_node(p), **last = &first;
  while (accept(p, TOKEN_PIPE)) {
    skip_newlines(p);
    struct node *next = parse_command_node(p);
    *last = node_new(p, NODE_PIPELINE, *last, next);
    last = &(*last)->right;
  }
  return negated ? node_new(p, NODE_NOT, first, NULL) : first;
}

static struct node *parse_and_or(struct parser *p) {
  struct node *left = parse_pipeline(p);
  for (;;) {
    enum node_kind kind = NODE_AND;
    if (accept(p, TOKEN_OR_OR)) {
      kind = NODE_OR;
    } else if (!accept(p, TOKEN_AND_AND)) {
      return left;
    }
    skip_newlines(p);
    struct node *right = parse_pipeline(p);
    left = node_new(p, kind, left, right);
  }
}

static bool at_list_end(struct parser *p) {
  switch (lexer_peek(p)->kind) {
  case TOKEN_END:
  case TOKEN_CLOSE:
  case TOKEN_SEMI_SEMI:
    return true;
  default:
    return peek_any_reserved(p);
  }
}

/* One command with its separator: sets *more when another may follow on the line. */
static struct node *parse_separated(struct parser *p, bool *more) {
  struct node *node = parse_and_or(p);
  *more = true;
  if (accept(p, TOKEN_AMP)) {
    return node_new(p, NODE_BACKGROUND, node, NULL);
  }
  *more = accept(p, TOKEN_SEMI);
  return node;
}

/* Appends to a right-leaning list; *tail is the place of its last element. */
static struct node **list_append(struct parser *p, struct node **tail, struct node *node) {
  if (*tail) {
    *tail = node_new(p, NODE_SEQUENCE, *tail, node);
    return &(*tail)->right;
  }
  *tail = node;
  return tail;
}

/* Commands up to what closes the list, over any number of lines; NULL when there is none. */
static struct node *parse_list(struct parser *p) {
  struct node *list = NULL, **tail = &list;
  skip_newlines(p);
  while (!at_list_end(p)) {
    bool more;
    tail = list_append(p, tail, parse_separated(p, &more));
    if (peek_is(p, TOKEN_NEWLINE)) {
      skip_newlines(p);
    } else if (!more) {
      break;
    }
  }
  return list;
}

/* Commands up to the end of the line. */
static struct node *parse_line(struct parser *p) {
  struct node *list = NULL, **tail = &list;
  bool more = true;
  while (more && !peek_is(p, TOKEN_NEWLINE) && !peek_is(p, TOKEN_END)) {
    tail = list_append(p, tail, parse_separated(p, &more));
  }
  if (!accept(p, TOKEN_NEWLINE) && !peek_is(p, TOKEN_END)) {
    unexpected(p);
  }
  return list;
}

struct node *parse_substitution(struct parser *p, bool parenthesised) {
  struct token token = p->token;
  bool has_token = p->has_token;
  p->has_token = false;
  struct node *list = parse_list(p);
  if (!peek_is(p, parenthesised ? TOKEN_CLOSE : TOKEN_END)) {
    unexpected(p);
  }
  p->token = token;
  p->has_token = has_token;
  return list;
}

enum parse_result parse_command(struct input *in, struct program **program) {
  struct program *new = alloc_or_die(sizeof *new);
  struct parser p;
  *new = (struct program){.references = 1};
  parser_init(&p, in, &new->arena);
  in->continued = false;
  bool at_end = peek_is(&p, TOKEN_END);
  if (!at_end && !p.failed) {
    new->root = parse_line(&p);
  }
  if (p.heredocs && !p.failed) { /* the input ended on the line of the << */
    struct heredoc *doc = p.heredocs;
    for (; doc; doc = doc->next) {
      doc->redirection->word = lexer_heredoc_word(&p, "", 0, true);
    }
  }
  if (p.failed || (at_end && !p.failed)) {
    enum parse_result result = p.failed ? PARSE_ERROR : PARSE_END;
    program_put(new);
    return result;
  }
  *program = new;
  return PARSE_OK;
}
