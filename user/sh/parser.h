/* From characters to trees. The lexer and the parser call each other: a word may hold a command
 * substitution, and what is a reserved word depends on where it stands.
 *
 * Errors: the first one is reported on stderr and sets `failed`; from then on the lexer answers
 * only TOKEN_END, so that every loop of the parser ends by itself and no error needs to be passed
 * up. */
#ifndef SH_PARSER_H
#define SH_PARSER_H

#include <stdbool.h>

#include "ast.h"
#include "input.h"

enum token_kind {
  TOKEN_END,
  TOKEN_NEWLINE,
  TOKEN_WORD,
  TOKEN_NUMBER, /* digits right before < or > */
  TOKEN_AND_AND,
  TOKEN_OR_OR,
  TOKEN_SEMI,
  TOKEN_SEMI_SEMI,
  TOKEN_AMP,
  TOKEN_PIPE,
  TOKEN_OPEN,
  TOKEN_CLOSE,
  TOKEN_LESS,
  TOKEN_GREAT,
  TOKEN_GREAT_GREAT,
  TOKEN_LESS_GREAT,
  TOKEN_LESS_AND,
  TOKEN_GREAT_AND,
  TOKEN_LESS_LESS,
  TOKEN_LESS_LESS_DASH,
};

struct token {
  enum token_kind kind;
  int number;        /* TOKEN_NUMBER */
  struct word *word; /* TOKEN_WORD */
};

/* A here-document whose text comes after the end of the line. */
struct heredoc {
  struct heredoc *next;
  struct redirection *redirection;
  const char *delimiter;
  bool literal, strip_tabs;
};

struct parser {
  struct input *in;
  struct arena *arena;
  struct token token; /* the next one, when has_token */
  bool has_token, failed;
  struct heredoc *heredocs, **heredocs_tail;
};

enum parse_result { PARSE_OK, PARSE_END, PARSE_ERROR };

/* Reads one complete command (up to the end of a line) into a program with one reference. */
enum parse_result parse_command(struct input *in, struct program **program);

/* ---- between parser.c and lexer.c ---- */
void parser_init(struct parser *p, struct input *in, struct arena *arena);
struct token *lexer_peek(struct parser *p);
struct token lexer_next(struct parser *p);
void lexer_add_heredoc(struct parser *p, struct redirection *r, struct word *delimiter, bool strip);
/* The list of a command substitution: up to the closing parenthesis, or to the end for `...`. */
struct node *parse_substitution(struct parser *p, bool parenthesised);
void parser_error(struct parser *p, const char *what);
/* The text of a word that is one unquoted text, or NULL: what reserved words and names must be. */
const char *word_literal(const struct word *word);
bool is_name_start(int c);
bool is_name_char(int c);
/* lex_word.c: the word that begins at the next character, which is not a separator. */
struct word *lexer_word(struct parser *p);
/* The text of a here-document with its substitutions. */
struct word *lexer_heredoc_word(struct parser *p, const char *text, size_t n, bool literal);
/* The next character, without backslash-newline. */
int lexer_get(struct parser *p);

#endif
