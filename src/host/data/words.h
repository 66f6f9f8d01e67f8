/* A set of distinct texts, numbered in the order in which they came. */
#ifndef AM_WORDS_H
#define AM_WORDS_H

#include <stddef.h>
#include <stdint.h>

/** Zero-initialise; am_words_free when done. */
typedef struct am_words {
    char *text; /* all words, each NUL-terminated */
    size_t n_text, text_capacity;
    struct am_word_entry *entry;
    size_t n, entry_capacity; /* n: words so far */
    uint32_t *slot;           /* hash table of entry number + 1, 0 empty */
    size_t n_slots;           /* a power of two, at least twice n */
} am_words;

/** Number of a word seen before, or -1. */
int32_t am_words_find(const am_words *words, const char *text, size_t n);
/** Add a word that is not there yet; its number, or -1 when memory is not there. */
int32_t am_words_add(am_words *words, const char *text, size_t n);
/** A word, NUL-terminated; *n (may be NULL) receives its length. Valid until the next am_words_add. */
const char *am_words_text(const am_words *words, size_t number, size_t *n);
void am_words_free(am_words *words);

#endif
