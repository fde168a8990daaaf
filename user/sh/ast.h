/* The syntax tree. Words keep their structure (quoted or not, parameters, substitutions), so that
 * nothing is parsed again when it is expanded. All of a tree lies in the arena of its program. */
#ifndef SH_AST_H
#define SH_AST_H

#include <stdbool.h>

#include "memory.h"

enum part_kind {
  PART_TEXT,    /* characters */
  PART_PARAM,   /* $name, ${name}, ${name:-word} ... */
  PART_COMMAND, /* $(list), `list` */
  PART_ARITH,   /* $((expression)) */
};

struct word_part {
  struct word_part *next;
  enum part_kind kind;
  bool quoted;
  bool colon;        /* PARAM: ${name:-word}: also when empty */
  bool longest;      /* PARAM: ## or %% */
  char op;           /* PARAM: 0, or one of - = ? + # %, or 'l' for ${#name} */
  const char *text;  /* TEXT: the characters; PARAM: the name */
  struct word *arg;  /* PARAM: the word after op, or NULL; ARITH: the expression */
  struct node *body; /* COMMAND; NULL does nothing */
};

struct word {
  struct word *next;
  struct word_part *parts;
};

struct assignment {
  struct assignment *next;
  const char *name;
  struct word *value;
};

enum redir_kind {
  REDIR_READ,   /* < */
  REDIR_WRITE,  /* > and >| */
  REDIR_APPEND, /* >> */
  REDIR_BOTH,   /* <> */
  REDIR_DUP,    /* <& and >&: the word is a number or "-" */
  REDIR_TEXT,   /* << and <<-: the word is the text */
};

struct redirection {
  struct redirection *next;
  int fd;
  enum redir_kind kind;
  struct word *word;
};

struct case_item {
  struct case_item *next;
  struct word *patterns;
  struct node *body; /* NULL does nothing */
};

enum node_kind {
  NODE_SIMPLE,
  NODE_PIPELINE,
  NODE_AND,
  NODE_OR,
  NODE_SEQUENCE,
  NODE_BACKGROUND,
  NODE_NOT,
  NODE_SUBSHELL,
  NODE_GROUP,
  NODE_IF,
  NODE_WHILE,
  NODE_UNTIL,
  NODE_FOR,
  NODE_CASE,
  NODE_FUNCTION,
};

/* Which fields a kind uses:
 *   SIMPLE                  assignments words
 *   PIPELINE AND OR SEQUENCE left right      (a pipeline leans right: a | (b | c))
 *   BACKGROUND NOT SUBSHELL GROUP left
 *   IF                      test left right  (right: the else part, or NULL)
 *   WHILE UNTIL             test left
 *   FOR                     name words left  (all_params: no `in`)
 *   CASE                    words cases      (one word)
 *   FUNCTION                name left */
struct node {
  enum node_kind kind;
  bool all_params;
  struct redirection *redirections; /* SIMPLE and the compound commands */
  struct assignment *assignments;
  struct word *words;
  struct node *test, *left, *right;
  const char *name;
  struct case_item *cases;
};

/* A tree and its memory. Functions defined by it keep it alive. */
struct program {
  int references;
  struct arena arena;
  struct node *root; /* NULL does nothing */
};
void program_get(struct program *program);
void program_put(struct program *program);

#endif
