/* A set of distinct texts: one block of text, entries into it, and a hash table with linear probing (FNV-1a).
 */
#include "host/data/words.h"

#include <stdlib.h>
#include <string.h>
#include "host/readers/readers.h"

struct am_word_entry {
    size_t at; /* in the text */
    size_t n;
    uint32_t hash;
};

static uint32_t hash_text(const char *text, size_t n)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < n; ++i) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

static void fill_slot(uint32_t *slot, size_t n_slots, uint32_t hash, size_t number)
{
    size_t i = hash & (n_slots - 1);
    while (slot[i]) i = (i + 1) & (n_slots - 1);
    slot[i] = (uint32_t)number + 1;
}

/* Keep the table at most half full. 0 on success. */
static int grow_table(am_words *words)
{
    if (words->n * 2 < words->n_slots) return 0;
    size_t n_slots = words->n_slots ? words->n_slots * 2 : 64;
    uint32_t *slot = calloc(n_slots, sizeof *slot);
    if (!slot) return 1;
    for (size_t i = 0; i < words->n; ++i) fill_slot(slot, n_slots, words->entry[i].hash, i);
    free(words->slot);
    words->slot = slot;
    words->n_slots = n_slots;
    return 0;
}

int32_t am_words_find(const am_words *words, const char *text, size_t n)
{
    if (!words->n_slots) return -1;
    uint32_t hash = hash_text(text, n);
    for (size_t i = hash & (words->n_slots - 1); words->slot[i]; i = (i + 1) & (words->n_slots - 1)) {
        const struct am_word_entry *e = &words->entry[words->slot[i] - 1];
        if (e->hash == hash && e->n == n && memcmp(words->text + e->at, text, n) == 0)
            return (int32_t)(words->slot[i] - 1);
    }
    return -1;
}

int32_t am_words_add(am_words *words, const char *text, size_t n)
{
    size_t n_text;
    if (words->n >= INT32_MAX || am_size_add(words->n_text, n, &n_text) || am_size_add(n_text, 1, &n_text))
        return -1;
    if (grow_table(words) || am_reserve(&words->text, n_text, &words->text_capacity, 1) ||
        am_reserve(&words->entry, words->n + 1, &words->entry_capacity, sizeof *words->entry))
        return -1;
    words->entry[words->n] = (struct am_word_entry){words->n_text, n, hash_text(text, n)};
    if (n) memcpy(words->text + words->n_text, text, n);
    words->text[n_text - 1] = '\0';
    words->n_text = n_text;
    fill_slot(words->slot, words->n_slots, words->entry[words->n].hash, words->n);
    return (int32_t)words->n++;
}

const char *am_words_text(const am_words *words, size_t number, size_t *n)
{
    if (n) *n = words->entry[number].n;
    return words->text + words->entry[number].at;
}

void am_words_free(am_words *words)
{
    free(words->text);
    free(words->entry);
    free(words->slot);
    *words = (am_words){0};
}
