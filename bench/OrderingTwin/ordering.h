// PrimaryReplica.process, PendingList and Monitor: what every packet goes through.
#pragma once
#include "primary.h"

#define OT_LAYOUT_CLOSE_MARKER (1u << 24)
#define OT_COUNTER_WINDOW (1 << 30)
#define OT_FIRST_COUNTER 1u

// Where an mbuf keeps its frame, as seen from the metadata block (CDPDK.h).
#define OT_METADATA_OFFSET 104
static inline const uint8_t *ot_frame(const ot_packet *packet) {
  const uint8_t *mbuf = (const uint8_t *)packet - OT_METADATA_OFFSET;
  return *(const uint8_t *const *)mbuf + *(const uint16_t *)(mbuf + 16);
}
static inline uint32_t ot_frame_length(const ot_packet *packet) {
  return *(const uint32_t *)((const uint8_t *)packet - OT_METADATA_OFFSET + 36);
}

static inline uint32_t ot_tcp_flags(const ot_packet *packet) {
  uint32_t layout = packet->layout;
  if ((layout >> 21 & 7) != 1) return 0;
  return ot_frame(packet)[(layout & 0xff) + (layout >> 8 & 0x3ff) + 13];
}

// Monitor.process: passes everything.
static inline void ot_monitor(const ot_packet *packet, ot_monitor_state *state, uint64_t time) {
  if (state->packets == 0) state->first_time = time;
  state->packets++;
  state->bytes += ot_frame_length(packet);
  state->last_time = time;
  state->tcp_flags |= ot_tcp_flags(packet);
}

static inline ot_flow *ot_flow_of(const ot_primary *p, uint32_t flow_id) { return p->flows + (flow_id & p->index_mask); }

static __attribute__((noinline)) void ot_close_flow(ot_primary *p, ot_packet *packet, ot_flow *flow) {
  packet->previous_passed = flow->last_passed;
  flow->last_passed = packet->counter;
  flow->pending_and_flags |= OT_IS_CLOSED;
  flow->state = (ot_monitor_state){0};
  p->passed++;
  p->counters.close_markers++;
  if (p->closes_tail - p->closes_head > p->close_mask) abort();
  p->closes[p->closes_tail & p->close_mask] = (ot_close){flow->flow_id, p->tail};
  p->closes_tail++;
}

// Runs the NF on the packet whose turn it is and puts it into the output buffer; off the common path.
static inline void ot_run(ot_primary *p, ot_packet *packet, ot_flow *flow) {
  uint32_t counter = packet->counter;
  flow->next = counter + 1;
  uint64_t time = packet->time > flow->time ? packet->time : flow->time;
  flow->time = time;
  uint32_t flags = flow->pending_and_flags;
  if (!(flags & OT_IN_BATCH)) {
    uint32_t index = flow->flow_id & p->index_mask;
    p->batch_flows[p->batch_flow_count++] = index;
    if (!(flags & OT_IN_STATE_CLOCK)) p->clock_flows[p->clock_flow_count++] = index;
    flow->pending_and_flags = flags | OT_IN_BATCH | OT_IN_STATE_CLOCK;
  }
  if (__builtin_expect(packet->layout & OT_LAYOUT_CLOSE_MARKER, 0)) {
    ot_close_flow(p, packet, flow);
  } else {
    p->counters.processed++;
    ot_monitor(packet, &flow->state, time);
    packet->previous_passed = flow->last_passed;
    flow->last_passed = counter;
    p->passed++;
  }
  p->output[p->tail & p->output_mask] = (uintptr_t)packet;
  p->tail++;
}

static __attribute__((noinline)) void ot_run_pending(ot_primary *p, ot_flow *flow) {
  uint32_t index;
  while ((index = flow->pending_and_flags & OT_PENDING_MASK) && p->nodes[index].counter == flow->next) {
    ot_pending_node *node = &p->nodes[index];
    flow->pending_and_flags = (flow->pending_and_flags & ~OT_PENDING_MASK) | node->next;
    node->next = p->free_node;
    p->free_node = index;
    p->pending_count--;
    ot_run(p, node->packet, flow);
  }
}

static inline bool ot_is_later(const ot_primary *p, uint32_t flow_id, uint32_t other) {
  uint32_t bits = p->configuration.index_bits;
  return (int32_t)(((flow_id >> bits) - (other >> bits)) << bits) > 0;
}

// Puts the packet into its flow's pendingList; false: not wanted.
static inline bool ot_insert(ot_primary *p, ot_packet *packet, ot_flow *flow) {
  uint32_t previous = 0, current = flow->pending_and_flags & OT_PENDING_MASK, length = 0;
  while (current && (int32_t)(p->nodes[current].counter - packet->counter) < 0) {
    previous = current;
    current = p->nodes[current].next;
    length++;
  }
  if (current && p->nodes[current].counter == packet->counter) {
    p->counters.duplicates++;
    return false;
  }
  // The limit is on the whole list, not on what lies before the packet.
  for (uint32_t rest = current; rest && length < p->configuration.pending_per_flow; rest = p->nodes[rest].next) length++;
  uint32_t index = p->free_node;
  if (!index || length >= p->configuration.pending_per_flow) {
    p->counters.pending_full++;
    return false;
  }
  p->free_node = p->nodes[index].next;
  p->nodes[index] = (ot_pending_node){packet, packet->counter, current};
  if (previous) {
    p->nodes[previous].next = index;
  } else {
    flow->pending_and_flags = (flow->pending_and_flags & ~OT_PENDING_MASK) | index;
  }
  p->pending_count++;
  p->counters.reordered++;
  return true;
}

// Whatever is not simply the next packet of a flow in order; false: not wanted.
static __attribute__((noinline)) bool ot_order(ot_primary *p, ot_packet *packet, ot_flow *flow) {
  if (flow->flow_id != packet->flow_id) {
    if (flow->flow_id &&
        !(flow->pending_and_flags & OT_IS_CLOSED && ot_is_later(p, packet->flow_id, flow->flow_id))) {
      p->counters.stale_generation++;
      return false;
    }
    uint32_t flags = flow->pending_and_flags & (OT_IN_BATCH | OT_IN_STATE_CLOCK);
    *flow = (ot_flow){.flow_id = packet->flow_id, .next = OT_FIRST_COUNTER, .pending_and_flags = flags};
  }
  int32_t ahead = (int32_t)(packet->counter - flow->next);
  if (ahead == 0) {
    ot_run(p, packet, flow);
    if (flow->pending_and_flags & OT_PENDING_MASK) ot_run_pending(p, flow);
    return true;
  }
  if (ahead < 0) {
    p->counters.duplicates++;
    return false;
  }
  if (ahead >= OT_COUNTER_WINDOW) {
    p->counters.outside_window++;
    return false;
  }
  return ot_insert(p, packet, flow);
}

// Orders `count` packets and runs the NF on those whose turn it is; returns how many are not wanted. The common case,
// the next packet of a flow in order, works on copies of the replica's fields: a write to a packet or a list might change
// any field as far as the compiler knows, and reading them again for every packet costs 3 to 9 %.
static inline size_t ot_process(ot_primary *p, ot_packet *const *packets, size_t count, ot_packet **unwanted,
                                uint64_t now) {
  ot_flow *const flows = p->flows;
  const uint32_t index_mask = p->index_mask;
  uintptr_t *const output = p->output;
  const uint64_t output_mask = p->output_mask;
  uint32_t *const batch_flows = p->batch_flows, *const clock_flows = p->clock_flows;
  uint32_t batch_flow_count = p->batch_flow_count, clock_flow_count = p->clock_flow_count;
  uint64_t tail = p->tail, in_order = 0;
  size_t unwanted_count = 0;
  if (tail == p->closed) p->batch_opened = now;
  for (size_t i = 0; i < count; i++) __builtin_prefetch(&flows[packets[i]->flow_id & index_mask], 0, 3);
  for (size_t i = 0; i < count; i++) {
    ot_packet *packet = packets[i];
    const uint32_t flow_id = packet->flow_id, counter = packet->counter, index = flow_id & index_mask;
    ot_flow *flow = &flows[index];
    const uint32_t flags = flow->pending_and_flags;
    if (__builtin_expect(flow->flow_id == flow_id && flow->next == counter && !(flags & OT_PENDING_MASK) &&
                             !(packet->layout & OT_LAYOUT_CLOSE_MARKER), 1)) {
      const uint64_t time = packet->time > flow->time ? packet->time : flow->time;
      flow->next = counter + 1;
      flow->time = time;
      if (!(flags & OT_IN_BATCH)) {
        batch_flows[batch_flow_count++] = index;
        if (!(flags & OT_IN_STATE_CLOCK)) clock_flows[clock_flow_count++] = index;
        flow->pending_and_flags = flags | OT_IN_BATCH | OT_IN_STATE_CLOCK;
      }
      ot_monitor(packet, &flow->state, time);
      packet->previous_passed = flow->last_passed;
      flow->last_passed = counter;
      output[tail++ & output_mask] = (uintptr_t)packet;
      in_order++;
    } else {
      p->tail = tail;
      p->batch_flow_count = batch_flow_count;
      p->clock_flow_count = clock_flow_count;
      if (!ot_order(p, packet, flow)) unwanted[unwanted_count++] = packet;
      tail = p->tail;
      batch_flow_count = p->batch_flow_count;
      clock_flow_count = p->clock_flow_count;
    }
  }
  p->tail = tail;
  p->batch_flow_count = batch_flow_count;
  p->clock_flow_count = clock_flow_count;
  p->passed += in_order;
  p->counters.processed += in_order;
  p->counters.received += count;
  return unwanted_count;
}
