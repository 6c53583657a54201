// The loop that is measured: the stage's poll, and a peer that reads the messages and votes a few batches later.
#include "batches.h"

enum { BURST = 64, RELEASE_BURST = 128, VOTE_LAG = 4, NANOSECONDS_PER_POLL = 1000 };

struct ot_worker {
  ot_primary primary;
  ot_ring *prepare_ring, *commit_ring, *vote_ring;
  ot_consumer prepares, commits, votes;
  ot_producer voter;
  uint64_t prepared, applied, acknowledged, freed, refused, now;
  bool digests_outputs;
  uint64_t digest;
  ot_packet **unwanted, **outgoing, **freed_passed, **freed_dropped;
};

static uint64_t power_of_two(uint64_t at_least) {
  uint64_t power = 1;
  while (power < at_least) power *= 2;
  return power;
}

static bool primary_init(ot_primary *p, const ot_configuration *c, ot_arena *arena) {
  const uint64_t batches = power_of_two(c->window + 1), closes = power_of_two(c->close_capacity + 1);
  p->configuration = *c;
  p->index_mask = (1u << c->index_bits) - 1;
  p->output_mask = c->retained - 1;
  p->batch_mask = batches - 1;
  p->close_mask = closes - 1;
  // The order of PrimaryReplica.init.
  if (!(p->flows = ot_arena_take(arena, sizeof(ot_flow) << c->index_bits)) ||
      !(p->nodes = ot_arena_take(arena, sizeof(ot_pending_node) * (c->pending + 1))) ||
      !(p->output = ot_arena_take(arena, sizeof(uintptr_t) * c->retained)) ||
      !(p->batch_flows = ot_arena_take(arena, sizeof(uint32_t) * (c->batch + c->pending))) ||
      !(p->clock_flows = ot_arena_take(arena, sizeof(uint32_t) * c->state_clock_flows)) ||
      !(p->batches = ot_arena_take(arena, sizeof(ot_batch) * batches)) ||
      !(p->state_clocks = ot_arena_take(arena, sizeof(ot_state_clock) * OT_STATE_CLOCKS)) ||
      !(p->closes = ot_arena_take(arena, sizeof(ot_close) * closes)))
    return false;
  for (uint32_t i = 1; i <= c->pending; i++) p->nodes[i].next = i == c->pending ? 0 : i + 1;
  p->free_node = 1;
  return true;
}

ot_worker *ot_worker_create(const ot_configuration *configuration, ot_arena *arena, bool digests_outputs) {
  ot_worker *worker = calloc(1, sizeof *worker);
  // One block for the bursts, ahead of the tables, as in SwiftWorker.
  ot_packet **bursts = ot_arena_take(arena, sizeof(ot_packet *) * (BURST + 3 * RELEASE_BURST));
  if (!worker || !bursts || !primary_init(&worker->primary, configuration, arena)) {
    free(worker);
    return NULL;
  }
  worker->prepare_ring = ot_ring_create(configuration->prepare_bytes);
  worker->commit_ring = ot_ring_create(configuration->commit_bytes);
  worker->vote_ring = ot_ring_create(configuration->vote_bytes);
  worker->primary.prepares = ot_producer_make(worker->prepare_ring, true);
  worker->primary.commits = ot_producer_make(worker->commit_ring, true);
  worker->voter = ot_producer_make(worker->vote_ring, false);
  worker->prepares.ring = worker->prepare_ring;
  worker->commits.ring = worker->commit_ring;
  worker->votes.ring = worker->vote_ring;
  worker->unwanted = bursts;
  worker->outgoing = worker->unwanted + BURST;
  worker->freed_passed = worker->outgoing + RELEASE_BURST;
  worker->freed_dropped = worker->freed_passed + RELEASE_BURST;
  worker->digests_outputs = digests_outputs;
  return worker;
}

void ot_worker_free(ot_worker *worker) {
  ot_ring_free(worker->prepare_ring);
  ot_ring_free(worker->commit_ring);
  ot_ring_free(worker->vote_ring);
  free(worker);
}

// ---- digests of what is put out; only in a run that is not timed -----------------------------------------------
static __attribute__((noinline)) void digest_packets(ot_worker *worker, ot_packet *const *packets, size_t count) {
  uint64_t digest = worker->digest;
  for (size_t i = 0; i < count; i++) {
    digest = ot_mix(digest, (uint64_t)packets[i]->flow_id << 32 | packets[i]->counter);
    digest = ot_mix(digest, packets[i]->previous_passed);
  }
  worker->digest = digest;
}

static __attribute__((noinline)) void digest_message(ot_worker *worker, const uint8_t *message, uint32_t length) {
  uint64_t digest = worker->digest, word;
  for (uint32_t i = 0; i < length; i += 8) {
    memcpy(&word, message + i, 8);
    digest = ot_mix(digest, word);
  }
  worker->digest = digest;
}

// ---- the peer --------------------------------------------------------------------------------------------------
static inline void vote(ot_worker *worker, uint64_t batch) {
  enum { LENGTH = sizeof(ot_header) + 8 };
  uint8_t *message = ot_reserve(&worker->voter, LENGTH);
  if (!message) return;
  const ot_configuration *c = &worker->primary.configuration;
  ot_header header = {.length = LENGTH, .kind = OT_VOTE, .version = 1, .pair = c->pair, .epoch = c->epoch,
                      .batch = batch};
  memcpy(message, &header, sizeof header);
  memcpy(message + sizeof header, &worker->applied, 8);
  ot_publish(&worker->voter, ot_append(&worker->voter, LENGTH));
}

static inline void read_messages(ot_worker *worker, uint64_t lag) {
  uint32_t length;
  const uint8_t *message;
  while ((message = ot_next(&worker->commits, &length))) {
    memcpy(&worker->applied, message + offsetof(ot_header, batch), 8);
    if (worker->digests_outputs) digest_message(worker, message, length);
    ot_consume(&worker->commits, length);
  }
  while ((message = ot_next(&worker->prepares, &length))) {
    worker->prepared++;
    if (worker->digests_outputs) digest_message(worker, message, length);
    ot_consume(&worker->prepares, length);
    if (worker->prepared > lag) vote(worker, worker->prepared - lag);
  }
}

// ---- the stage -------------------------------------------------------------------------------------------------
// Takes up to `count` packets; returns how many.
static inline size_t poll(ot_worker *worker, ot_packet *const *packets, size_t count, bool is_dry) {
  ot_primary *p = &worker->primary;
  const uint64_t now = worker->now += NANOSECONDS_PER_POLL;
  uint32_t length;
  const uint8_t *message;
  while ((message = ot_next(&worker->votes, &length))) {
    ot_receive(p, message);
    ot_consume(&worker->votes, length);
  }
  ot_acknowledged(p, worker->acknowledged);
  size_t released = ot_release(p, worker->outgoing, RELEASE_BURST);
  if (worker->digests_outputs) digest_packets(worker, worker->outgoing, released);
  worker->acknowledged += released;
  size_t dropped;
  size_t passed = ot_take_freed(p, worker->freed_passed, worker->freed_dropped, RELEASE_BURST, &dropped);
  if (worker->digests_outputs) digest_packets(worker, worker->freed_passed, passed);
  worker->freed += passed + dropped;
  for (uint32_t flow_id; ot_next_committed_close(p, &flow_id);) worker->digest = ot_mix(worker->digest, flow_id);
  size_t taken = ot_room(p);
  if (taken > BURST) taken = BURST;
  if (taken > count) taken = count;
  if (taken > 0) worker->refused += ot_process(p, packets, taken, worker->unwanted, now);
  ot_close_batch_if_due(p, is_dry, now);
  return taken;
}

void ot_worker_run(ot_worker *worker, ot_packet *const *packets, size_t count) {
  for (size_t taken = 0; taken < count;) {
    taken += poll(worker, packets + taken, count - taken, false);
    read_messages(worker, VOTE_LAG);
  }
}

bool ot_worker_drain(ot_worker *worker) {
  for (int i = 0; i < 1000000; i++) {
    if (ot_is_quiescent(&worker->primary)) return true;
    poll(worker, NULL, 0, true);
    read_messages(worker, VOTE_LAG);
    vote(worker, worker->prepared);
  }
  return false;
}

uint64_t ot_worker_freed(const ot_worker *worker) { return worker->freed; }

// FlowState.digest.
static uint64_t flow_digest(const ot_flow *flow) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  const uint64_t words[3] = {(uint64_t)flow->flow_id << 32 | flow->next,
                             (uint64_t)flow->last_passed << 1 | flow->pending_and_flags >> 31, flow->time};
  const uint8_t *bytes = (const uint8_t *)&flow->state;
  for (size_t i = 0; i < 3 + sizeof flow->state; i++) {
    uint64_t value = i < 3 ? words[i] : bytes[i - 3];
    unsigned __int128 product = (unsigned __int128)(h ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    h = ((uint64_t)(product >> 64) ^ (uint64_t)product) + 1;
  }
  return h;
}

void ot_worker_outcome(const ot_worker *worker, ot_outcome *outcome) {
  const ot_primary *p = &worker->primary;
  const ot_counters *c = &p->counters;
  *outcome = (ot_outcome){.outputs = worker->digest, .received = c->received, .processed = c->processed,
                          .released = c->released, .freed = worker->freed, .refused = worker->refused,
                          .batches_prepared = c->batches_prepared, .batches_voted = c->batches_voted,
                          .state_clocks_taken = c->state_clocks_taken,
                          .state_clocks_applied = c->state_clocks_applied, .reordered = c->reordered,
                          .duplicates = c->duplicates};
  for (uint32_t i = 0; i <= p->index_mask; i++) {
    if (!p->flows[i].flow_id) continue;
    outcome->flows++;
    outcome->states += flow_digest(&p->flows[i]);
  }
}
