// ControlMessageHeader and its entries: the same bytes, little-endian.
#pragma once
#include <stdint.h>
#include <string.h>

enum { OT_PREPARE = 5, OT_VOTE = 6, OT_COMMIT = 7 };
#define OT_PROMPT_VOTE 1u

typedef struct {
  uint32_t length;
  uint8_t kind;
  uint8_t version;
  uint16_t pair;
  uint32_t epoch;
  uint32_t count;
  uint64_t batch;
  uint32_t detail;
  uint32_t flags;
} ot_header;
_Static_assert(sizeof(ot_header) == 32, "as on the wire");

typedef struct {
  uint32_t flow_id;
  uint32_t next;
} ot_clock_entry;

typedef struct {
  uint32_t flow_id;
  uint32_t next;
  uint32_t last_passed;
  uint32_t is_closed;
  uint64_t time;
} ot_state_entry;
_Static_assert(sizeof(ot_state_entry) == 24, "as on the wire");
