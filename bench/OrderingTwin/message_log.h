// MessageRing with both ends: length-prefixed messages in a ring that never wraps a message.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OT_PAD_WORD UINT32_C(0xffffffff)

// The words that two threads would share, each on cache lines of its own.
typedef struct {
  _Alignas(128) _Atomic uint64_t published;
  _Alignas(128) _Atomic uint64_t cursor;
  uint8_t *bytes;
  uint64_t capacity;
} ot_ring;

typedef struct {
  ot_ring *ring;
  uint64_t tail;
  uint64_t trim_position;
  uint64_t cursor_seen;
  uint64_t pad;
  uint64_t refusals;
} ot_producer;

typedef struct {
  ot_ring *ring;
  uint64_t cursor;
} ot_consumer;

static inline ot_ring *ot_ring_create(uint64_t capacity) {
  uint64_t size = 4096;
  while (size < capacity) size *= 2;
  ot_ring *ring = aligned_alloc(128, sizeof(ot_ring));
  if (!ring) abort();
  atomic_init(&ring->published, 0);
  atomic_init(&ring->cursor, 0);
  ring->bytes = aligned_alloc(4096, size);
  if (!ring->bytes) abort();
  ring->capacity = size;
  return ring;
}

static inline void ot_ring_free(ot_ring *ring) {
  free(ring->bytes);
  free(ring);
}

static inline ot_producer ot_producer_make(ot_ring *ring, bool retaining) {
  return (ot_producer){.ring = ring, .trim_position = retaining ? 0 : UINT64_MAX};
}

static inline uint64_t ot_reusable_before(const ot_producer *log) {
  return log->trim_position < log->cursor_seen ? log->trim_position : log->cursor_seen;
}

static inline uint8_t *ot_reserve(ot_producer *log, uint64_t bytes) {
  const uint64_t capacity = log->ring->capacity;
  uint64_t place = log->tail & (capacity - 1);
  uint64_t pad = capacity - place < bytes ? capacity - place : 0;
  uint64_t end = log->tail + pad + bytes;
  if (__builtin_expect(end > ot_reusable_before(log) + capacity, 0)) {
    log->cursor_seen = atomic_load_explicit(&log->ring->cursor, memory_order_acquire);
    if (end > ot_reusable_before(log) + capacity) {
      log->refusals++;
      return NULL;
    }
  }
  if (pad) memcpy(log->ring->bytes + place, &(uint32_t){OT_PAD_WORD}, 4);
  log->pad = pad;
  return log->ring->bytes + ((log->tail + pad) & (capacity - 1));
}

static inline uint64_t ot_append(ot_producer *log, uint64_t bytes) {
  log->tail += log->pad + bytes;
  log->pad = 0;
  return log->tail;
}

static inline void ot_publish(ot_producer *log, uint64_t position) {
  atomic_store_explicit(&log->ring->published, position, memory_order_release);
}

static inline void ot_trim(ot_producer *log, uint64_t position) {
  if (position > log->trim_position) log->trim_position = position;
}

// The next message and its length, or NULL.
static inline const uint8_t *ot_next(ot_consumer *end, uint32_t *length) {
  uint64_t published = atomic_load_explicit(&end->ring->published, memory_order_acquire);
  while (end->cursor < published) {
    uint64_t place = end->cursor & (end->ring->capacity - 1);
    memcpy(length, end->ring->bytes + place, 4);
    if (*length != OT_PAD_WORD) return end->ring->bytes + place;
    end->cursor += end->ring->capacity - place;
  }
  return NULL;
}

static inline void ot_consume(ot_consumer *end, uint32_t length) {
  end->cursor += length;
  atomic_store_explicit(&end->ring->cursor, end->cursor, memory_order_release);
}
