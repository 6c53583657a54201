// PrimaryReplica's data. Positions over the output buffer: freed <= released <= voted <= closed <= tail.
#pragma once
#include "COrderingTwin.h"
#include "message_log.h"
#include "messages.h"

// Monitor.State.
typedef struct {
  uint64_t packets;
  uint64_t bytes;
  uint64_t first_time;
  uint64_t last_time;
  uint64_t tcp_flags;
} ot_monitor_state;

#define OT_IS_CLOSED (1u << 31)
#define OT_IN_BATCH (1u << 30)
#define OT_IN_STATE_CLOCK (1u << 29)
#define OT_PENDING_MASK 0x0fffffffu

// FlowState: one cache line.
typedef struct {
  uint32_t flow_id;
  uint32_t next;
  uint32_t last_passed;
  uint32_t pending_and_flags;
  uint64_t time;
  ot_monitor_state state;
} ot_flow;
_Static_assert(sizeof(ot_flow) == 64, "one cache line");

typedef struct {
  ot_packet *packet;
  uint32_t counter;
  uint32_t next;
} ot_pending_node;

typedef struct {
  uint64_t end;
  uint64_t prepare_end;
} ot_batch;

typedef struct {
  uint64_t batch;
  uint64_t end;
  uint64_t passed;
  uint64_t log_end;
} ot_state_clock;
#define OT_STATE_CLOCKS 64

typedef struct {
  uint32_t flow_id;
  uint64_t position;
} ot_close;

typedef struct {
  uint64_t received, processed, dropped_by_function, close_markers, released, batches_prepared, batches_voted,
      in_flight_high_water, state_clocks_taken, state_clocks_applied, duplicates, stale_generation, outside_window,
      pending_full, reordered, prepare_log_full, commit_log_full, stale_epoch_messages, impossible_messages;
} ot_counters;

typedef struct {
  ot_configuration configuration;
  ot_flow *flows;
  uint32_t index_mask;
  ot_pending_node *nodes;
  uint32_t free_node;
  uint32_t pending_count;
  ot_producer prepares;
  ot_producer commits;

  uintptr_t *output;  // packet addresses, bit 0 set on those that the NF dropped
  uint64_t output_mask;
  uint64_t freed, freeable, released, voted, closed, tail;

  uint32_t *batch_flows;
  uint32_t *clock_flows;
  uint32_t batch_flow_count, clock_flow_count;

  ot_batch *batches;
  uint64_t batch_mask, closed_batch, voted_batch, batch_opened;
  bool last_batch_was_full;

  ot_state_clock *state_clocks;
  uint64_t clocks_taken, clocks_sent, clocks_applied, clocked_tail, clocked_time, passed, applied;

  ot_close *closes;
  uint64_t close_mask, closes_head, closes_tail;

  ot_counters counters;
} ot_primary;

static inline uint64_t ot_in_flight(const ot_primary *p) { return p->closed_batch - p->voted_batch; }

// How many packets may be taken from the input now.
static inline uint64_t ot_room(const ot_primary *p) {
  if (ot_in_flight(p) >= p->configuration.window) return 0;
  int64_t left = (int64_t)p->configuration.retained - (int64_t)(p->tail - p->freed);
  int64_t one = left > (int64_t)p->configuration.pending_per_flow;
  int64_t free = left - p->pending_count > one ? left - p->pending_count : one;
  int64_t open = (int64_t)p->configuration.batch - (int64_t)(p->tail - p->closed);
  int64_t flows = (int64_t)p->configuration.state_clock_flows - (int64_t)p->clock_flow_count;
  int64_t room = free < open ? free : open;
  if (flows < room) room = flows;
  return room > 0 ? (uint64_t)room : 0;
}
