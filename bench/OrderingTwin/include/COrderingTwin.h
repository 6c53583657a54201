// The worker loop of a primary (ordering, the monitor NF, batches, votes, release, state clocks) written in C, as a
// yardstick for the Swift one: the same work on the same data structures, byte for byte the same messages. What it
// mirrors: PrimaryStage.poll without rings and doorbell, PrimaryReplica, PendingList, Monitor, MessageProducer and
// MessageConsumer. bench/ordering drives both and refuses to print a figure if their outputs differ.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PacketMetadata.
typedef struct {
  uint64_t time;
  uint32_t flow_id;
  uint32_t counter;
  uint32_t previous_passed;
  uint32_t layout;
} ot_packet;

// ReplicationConfiguration, as far as the loop needs it, and FlowIDLayout's index bits.
typedef struct {
  uint16_t pair;
  uint32_t epoch;
  uint32_t batch;
  uint32_t window;
  uint32_t dry_window;
  uint32_t state_clock_packets;
  uint64_t flush_interval;
  uint64_t state_clock_interval;
  uint32_t retained;
  uint32_t pending;
  uint32_t pending_per_flow;
  uint32_t state_clock_flows;
  uint32_t index_bits;
  uint32_t close_capacity;
  uint64_t prepare_bytes;  // capacity of the two logs and of the ring of votes
  uint64_t commit_bytes;
  uint64_t vote_bytes;
} ot_configuration;

// Memory that both workers carve their tables from, in the same order, so that they stand at the same addresses.
typedef struct {
  uint8_t *base;
  size_t size;
  size_t used;
} ot_arena;
static inline void *ot_arena_take(ot_arena *arena, size_t bytes) {
  size_t rounded = (bytes + 4095) & ~(size_t)4095;
  if (rounded > arena->size - arena->used) return NULL;
  void *memory = arena->base + arena->used;
  arena->used += rounded;
  return memory;
}

// One step of the digest of everything a worker puts out, for both languages.
static inline uint64_t ot_mix(uint64_t digest, uint64_t value) {
  uint64_t product = (digest ^ value) * UINT64_C(0x9E3779B97F4A7C15);
  return product ^ product >> 29;
}

// What a run came to; both workers fill it and the two must be equal.
typedef struct {
  uint64_t outputs;  // digest of released and freed packets and of every message, if it was asked for
  uint64_t states;   // PrimaryReplica.digest
  uint64_t flows;
  uint64_t received, processed, released, freed, refused;
  uint64_t batches_prepared, batches_voted, state_clocks_taken, state_clocks_applied;
  uint64_t reordered, duplicates;
} ot_outcome;

typedef struct ot_worker ot_worker;
// NULL if the arena is too small. Free gives back only the message rings.
ot_worker *ot_worker_create(const ot_configuration *configuration, ot_arena *arena, bool digests_outputs);
void ot_worker_free(ot_worker *worker);
// Polls until all packets have been taken; what is in flight then stays so.
void ot_worker_run(ot_worker *worker, ot_packet *const *packets, size_t count);
// Polls without input until everything is voted, released and committed; false if that does not happen.
bool ot_worker_drain(ot_worker *worker);
uint64_t ot_worker_freed(const ot_worker *worker);
void ot_worker_outcome(const ot_worker *worker, ot_outcome *outcome);
