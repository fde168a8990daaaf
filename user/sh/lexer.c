/* Tokens: operators, words (read by lex_word.c), here-documents. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"

int lexer_get(struct parser *p) {
  for (;;) {
    int c = input_get(p->in);
    if (c != '\\') {
      return c;
    }
    int next = input_get(p->in);
    if (next != '\n') {
      input_unget(p->in, next);
      return c;
    }
  }
}

/* ---- here-documents ---- */

static void delimiter_text(const struct word *word, struct text *text, bool *quoted) {
  for (const struct word_part *part = word->parts; part; part = part->next) {
    *quoted |= part->quoted;
    text_add_bytes(text, part->text ? part->text : "$", part->text ? strlen(part->text) : 1);
  }
}

void lexer_add_heredoc(struct parser *p, struct redirection *r, struct word *delimiter,
                       bool strip) {
  struct heredoc *doc = arena_alloc(p->arena, sizeof *doc);
  struct text text = {0};
  delimiter_text(delimiter, &text, &doc->literal);
  doc->redirection = r;
  doc->delimiter = arena_string(p->arena, text.bytes, text.n);
  doc->strip_tabs = strip;
  text_free(&text);
  *p->heredocs_tail = doc;
  p->heredocs_tail = &doc->next;
}

/* One line with its newline. False at the end of the input when nothing was read. A backslash keeps
 * the character after it, so that the second of two does not join lines. */
static bool heredoc_line(struct parser *p, const struct heredoc *doc, struct text *line) {
  line->n = 0;
  int c = doc->literal ? input_get(p->in) : lexer_get(p);
  while (doc->strip_tabs && c == '\t') {
    c = input_get(p->in);
  }
  while (c != INPUT_END) {
    text_add(line, (char)c);
    if (c == '\n') {
      return true;
    }
    bool keeps_next = c == '\\' && !doc->literal;
    c = doc->literal || keeps_next ? input_get(p->in) : lexer_get(p);
    if (keeps_next && c != INPUT_END) {
      text_add(line, (char)c);
      c = lexer_get(p);
    }
  }
  return line->n > 0;
}

static bool is_delimiter(const struct heredoc *doc, const struct text *line) {
  size_t n = line->n;
  n -= n > 0 && line->bytes[n - 1] == '\n';
  return n == strlen(doc->delimiter) && memcmp(line->bytes, doc->delimiter, n) == 0;
}

static void heredoc_read(struct parser *p, struct heredoc *doc) {
  struct text body = {0}, line = {0};
  while (heredoc_line(p, doc, &line) && !is_delimiter(doc, &line)) {
    text_add_bytes(&body, line.bytes, line.n);
  }
  doc->redirection->word = lexer_heredoc_word(p, body.bytes, body.n, doc->literal);
  text_free(&line);
  text_free(&body);
}

static void heredocs_read(struct parser *p) {
  struct heredoc *doc = p->heredocs;
  p->heredocs = NULL;
  p->heredocs_tail = &p->heredocs;
  for (; doc; doc = doc->next) {
    heredoc_read(p, doc);
  }
}

/* ---- tokens ---- */

static int skip_blanks(struct parser *p) {
  int c;
  do {
    c = lexer_get(p);
  } while (c == ' ' || c == '\t');
  if (c == '#') {
    do {
      c = input_get(p->in);
    } while (c != '\n' && c != INPUT_END);
  }
  return c;
}

/* `second` if the next character is `c`, otherwise `first`. */
static enum token_kind choose(struct parser *p, int c, enum token_kind second,
                              enum token_kind first) {
  int next = lexer_get(p);
  if (next == c) {
    return second;
  }
  input_unget(p->in, next);
  return first;
}

static enum token_kind lex_less(struct parser *p) {
  int c = lexer_get(p);
  switch (c) {
  case '&':
    return TOKEN_LESS_AND;
  case '>':
    return TOKEN_LESS_GREAT;
  case '<':
    return choose(p, '-', TOKEN_LESS_LESS_DASH, TOKEN_LESS_LESS);
  default:
    input_unget(p->in, c);
    return TOKEN_LESS;
  }
}

static enum token_kind lex_great(struct parser *p) {
  int c = lexer_get(p);
  switch (c) {
  case '&':
    return TOKEN_GREAT_AND;
  case '>':
    return TOKEN_GREAT_GREAT;
  case '|':
    return TOKEN_GREAT;
  default:
    input_unget(p->in, c);
    return TOKEN_GREAT;
  }
}

/* The operator that begins with c, or TOKEN_WORD. */
static enum token_kind lex_operator(struct parser *p, int c) {
  switch (c) {
  case INPUT_END:
    return TOKEN_END;
  case '\n':
    return TOKEN_NEWLINE;
  case '&':
    return choose(p, '&', TOKEN_AND_AND, TOKEN_AMP);
  case '|':
    return choose(p, '|', TOKEN_OR_OR, TOKEN_PIPE);
  case ';':
    return choose(p, ';', TOKEN_SEMI_SEMI, TOKEN_SEMI);
  case '(':
    return TOKEN_OPEN;
  case ')':
    return TOKEN_CLOSE;
  case '<':
    return lex_less(p);
  case '>':
    return lex_great(p);
  default:
    return TOKEN_WORD;
  }
}

/* Turns a word of digits that touches < or > into TOKEN_NUMBER. */
static void check_number(struct parser *p, struct token *token) {
  const char *text = word_literal(token->word);
  int next = lexer_get(p);
  input_unget(p->in, next);
  if (text && (next == '<' || next == '>') && strspn(text, "0123456789") == strlen(text) &&
      strlen(text) < 8) {
    token->kind = TOKEN_NUMBER;
    token->number = atoi(text);
  }
}

static struct token lex_token(struct parser *p) {
  int c = skip_blanks(p);
  struct token token = {.kind = lex_operator(p, c)};
  if (token.kind == TOKEN_NEWLINE && p->heredocs) {
    heredocs_read(p);
  }
  if (token.kind == TOKEN_WORD) {
    input_unget(p->in, c);
    token.word = lexer_word(p);
    check_number(p, &token);
  }
  return token;
}

struct token *lexer_peek(struct parser *p) {
  if (p->failed) {
    p->token = (struct token){.kind = TOKEN_END};
  } else if (!p->has_token) {
    p->token = lex_token(p);
  }
  p->has_token = true;
  return &p->token;
}

struct token lexer_next(struct parser *p) {
  struct token token = *lexer_peek(p);
  p->has_token = false;
  return token;
}
