// PrimaryReplica+Batches: closing batches, state clocks, votes, release, what may be freed.
#pragma once
#include "ordering.h"

static inline bool ot_is_lightly_loaded(const ot_primary *p) {
  return !p->last_batch_was_full;
}

// Copies the state of every flow touched since the last state clock, as of the batch closed just now.
static void ot_take_state_clock(ot_primary *p, uint64_t now) {
  if (p->clocks_taken - p->clocks_applied >= OT_STATE_CLOCKS) return;
  const uint32_t entry_bytes = sizeof(ot_state_entry) + sizeof(ot_monitor_state);
  const uint32_t count = p->clock_flow_count;
  uint32_t length = (uint32_t)sizeof(ot_header) + count * entry_bytes;
  uint8_t *message = ot_reserve(&p->commits, length);
  if (!message) {
    p->counters.commit_log_full++;
    return;
  }
  ot_header header = {.length = length, .kind = OT_COMMIT, .version = 1, .pair = p->configuration.pair,
                      .epoch = p->configuration.epoch, .count = count, .batch = p->closed_batch, .detail = entry_bytes};
  memcpy(message, &header, sizeof header);
  uint8_t *entry = message + sizeof header;
  const uint32_t *clock_flows = p->clock_flows;
  for (uint32_t i = 0; i < count; i++) {
    if (i + 4 < count) __builtin_prefetch(&p->flows[clock_flows[i + 4]], 0, 3);
    ot_flow *flow = &p->flows[clock_flows[i]];
    flow->pending_and_flags &= ~OT_IN_STATE_CLOCK;
    ot_state_entry head = {flow->flow_id, flow->next, flow->last_passed, flow->pending_and_flags >> 31, flow->time};
    memcpy(entry, &head, sizeof head);
    memcpy(entry + sizeof head, &flow->state, sizeof flow->state);
    entry += entry_bytes;
  }
  p->clock_flow_count = 0;
  p->clocked_tail = p->tail;
  p->clocked_time = now;
  p->state_clocks[p->clocks_taken % OT_STATE_CLOCKS] =
      (ot_state_clock){p->closed_batch, p->tail, p->passed, ot_append(&p->commits, length)};
  p->clocks_taken++;
  p->counters.state_clocks_taken++;
}

static bool ot_close_batch(ot_primary *p, uint64_t now) {
  const uint32_t count = p->batch_flow_count;
  uint32_t length = (uint32_t)sizeof(ot_header) + count * (uint32_t)sizeof(ot_clock_entry);
  uint8_t *message = ot_reserve(&p->prepares, length);
  if (!message) {
    p->counters.prepare_log_full++;
    return false;
  }
  p->closed_batch++;
  p->last_batch_was_full = p->tail - p->closed >= p->configuration.batch;
  ot_header header = {.length = length, .kind = OT_PREPARE, .version = 1, .pair = p->configuration.pair,
                      .epoch = p->configuration.epoch, .count = count, .batch = p->closed_batch,
                      .flags = ot_is_lightly_loaded(p) ? OT_PROMPT_VOTE : 0};
  memcpy(message, &header, sizeof header);
  uint8_t *entry = message + sizeof header;
  const uint32_t *batch_flows = p->batch_flows;
  for (uint32_t i = 0; i < count; i++) {
    ot_flow *flow = &p->flows[batch_flows[i]];
    flow->pending_and_flags &= ~OT_IN_BATCH;
    ot_clock_entry clock = {flow->flow_id, flow->next};
    memcpy(entry, &clock, sizeof clock);
    entry += sizeof clock;
  }
  p->batch_flow_count = 0;
  uint64_t end = ot_append(&p->prepares, length);
  ot_publish(&p->prepares, end);
  p->closed = p->tail;
  p->batches[p->closed_batch & p->batch_mask] = (ot_batch){p->closed, end};
  p->counters.batches_prepared++;
  if (ot_in_flight(p) > p->counters.in_flight_high_water) p->counters.in_flight_high_water = ot_in_flight(p);
  if (p->tail - p->clocked_tail >= p->configuration.state_clock_packets) ot_take_state_clock(p, now);
  return true;
}

// True if the secondary has something to read.
static inline bool ot_close_batch_if_due(ot_primary *p, bool input_is_dry, uint64_t now) {
  if (p->tail == p->closed) {
    if (p->clocked_tail == p->tail) return false;
    bool is_quiet = input_is_dry && (now - p->clocked_time >= p->configuration.state_clock_interval ||
                                     p->configuration.state_clock_packets == 1);
    if (is_quiet || (ot_room(p) == 0 && ot_in_flight(p) < p->configuration.window)) ot_take_state_clock(p, now);
    return false;
  }
  if (ot_in_flight(p) >= p->configuration.window) return false;
  if (p->tail - p->closed < p->configuration.batch &&
      !(input_is_dry && ot_in_flight(p) < p->configuration.dry_window) &&
      now - p->batch_opened < p->configuration.flush_interval)
    return false;
  return ot_close_batch(p, now);
}

// Egress has everything up to its `count`-th packet.
static inline bool ot_acknowledged(ot_primary *p, uint64_t count) {
  bool sent = false;
  while (p->clocks_sent < p->clocks_taken) {
    const ot_state_clock *clock = &p->state_clocks[p->clocks_sent % OT_STATE_CLOCKS];
    if (clock->batch > p->voted_batch || count < clock->passed) break;
    ot_publish(&p->commits, clock->log_end);
    p->freeable = clock->end;
    p->clocks_sent++;
    sent = true;
  }
  return sent;
}

// A vote; the bench sends no other message.
static inline void ot_receive(ot_primary *p, const uint8_t *message) {
  ot_header header;
  uint64_t applied_batch;
  memcpy(&header, message, sizeof header);
  memcpy(&applied_batch, message + sizeof header, sizeof applied_batch);
  if (header.epoch != p->configuration.epoch || header.pair != p->configuration.pair) {
    p->counters.stale_epoch_messages++;
    return;
  }
  if (header.kind != OT_VOTE || header.batch > p->closed_batch || applied_batch > header.batch) {
    p->counters.impossible_messages++;
    return;
  }
  if (header.batch > p->voted_batch) {
    const ot_batch *record = &p->batches[header.batch & p->batch_mask];
    p->counters.batches_voted += header.batch - p->voted_batch;
    p->voted_batch = header.batch;
    p->voted = record->end;
    ot_trim(&p->prepares, record->prepare_end);
  }
  while (p->clocks_applied < p->clocks_sent) {
    const ot_state_clock *clock = &p->state_clocks[p->clocks_applied % OT_STATE_CLOCKS];
    if (clock->batch > applied_batch) break;
    ot_trim(&p->commits, clock->log_end);
    p->applied = clock->end;
    p->clocks_applied++;
    p->counters.state_clocks_applied++;
  }
}

// Packets that may leave now, in order.
static inline size_t ot_release(ot_primary *p, ot_packet **packets, size_t capacity) {
  size_t count = 0;
  uint64_t position = p->released;
  const uint64_t voted = p->voted, mask = p->output_mask;
  const uintptr_t *output = p->output;
  while (position != voted && count < capacity) {
    uintptr_t tagged = output[position & mask];
    if (!(tagged & 1)) packets[count++] = (ot_packet *)tagged;
    position++;
  }
  p->released = position;
  p->counters.released += count;
  return count;
}

// Packets whose state clock has been sent: the primary's reference is to be given up.
static inline size_t ot_take_freed(ot_primary *p, ot_packet **passed, ot_packet **dropped, size_t capacity,
                                   size_t *dropped_count) {
  size_t passed_count = 0, drops = 0;
  uint64_t position = p->freed;
  const uint64_t end = p->freeable < p->released ? p->freeable : p->released, mask = p->output_mask;
  const uintptr_t *output = p->output;
  while (position != end && passed_count < capacity && drops < capacity) {
    uintptr_t tagged = output[position & mask];
    if (!(tagged & 1)) {
      passed[passed_count++] = (ot_packet *)tagged;
    } else {
      dropped[drops++] = (ot_packet *)(tagged & ~(uintptr_t)1);
    }
    position++;
  }
  p->freed = position;
  *dropped_count = drops;
  return passed_count;
}

// True while a flow's close is committed on both replicas and its slot has not been given back.
static inline bool ot_next_committed_close(ot_primary *p, uint32_t *flow_id) {
  if (p->closes_head == p->closes_tail) return false;
  const ot_close *close = &p->closes[p->closes_head & p->close_mask];
  if (close->position >= p->applied) return false;
  p->closes_head++;
  *flow_id = close->flow_id;
  return true;
}

static inline bool ot_is_quiescent(const ot_primary *p) {
  return p->pending_count == 0 && p->closed == p->tail && p->released == p->tail &&
         p->clocks_applied == p->clocks_taken && p->clocked_tail == p->tail;
}
