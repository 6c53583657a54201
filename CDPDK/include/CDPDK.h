// A thin face of DPDK for Swift: no rte_ includes (struct rte_mbuf is over-aligned, which Swift cannot import),
// burst-level calls that fill arrays, no policy.
//
// A packet is known by its METADATA BLOCK: 24 bytes that live in the mbuf's second cache line (a DPDK dynamic field
// at a fixed offset). The handle that rings carry and the protocol core keeps is the address of that block; only this
// file turns it back into the mbuf. The block's layout belongs to DEFTCore (PacketMetadata).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define CD_METADATA_BYTES 24
#define CD_MBUF_METADATA_OFFSET 104  // inside rte_mbuf.dynfield1; bytes 96..103 are net_pcap's receive timestamp

// ---- environment abstraction layer ----------------------------------------------------------------------------
// Returns the number of arguments parsed, or a negative rte_errno. Call once, from the main thread.
int cd_eal_init(int argc, char **argv);
void cd_eal_cleanup(void);
bool cd_eal_has_hugepages(void);
const char *cd_error_text(int negative_errno);
// Reserves the metadata block in the mbuf; 0, or a negative errno when another user of dynamic fields has the place.
int cd_metadata_register(void);
uint64_t cd_tsc(void);
uint64_t cd_tsc_hz(void);
uint64_t cd_wall_clock_ns(void);
// Zeroed memory, cache-line aligned, on transparent huge pages where the kernel grants them; for tables, never for DMA.
void *cd_memory_zeroed(uint64_t bytes);
static inline void cd_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }
// It will be written, and may lie in another core's cache.
static inline void cd_prefetch_for_writing(const void *address) { __builtin_prefetch(address, 1, 3); }
static inline void cd_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// ---- lcores ---------------------------------------------------------------------------------------------------
typedef int (*cd_lcore_function)(void *argument);
// Fills `lcores` (worker lcores only, ascending); returns how many there are.
unsigned cd_worker_lcores(unsigned *lcores, unsigned capacity);
unsigned cd_main_lcore(void);
// The CPU the lcore is pinned to, or -1 if it may run on several.
int cd_lcore_cpu(unsigned lcore);
int cd_lcore_launch(unsigned lcore, cd_lcore_function function, void *argument);
int cd_lcore_wait(unsigned lcore);
void cd_lcore_yield(void);
void cd_sleep_us(unsigned microseconds);
// From now on the calling thread's sleeps end when they should, not up to 50 µs later; and, where the process may ask for
// it (root), a thread that polls on its CPU gives way at once, not at the next tick of the clock. For threads that mostly sleep.
void cd_thread_wake_promptly(void);
// From now on other threads of its CPU come first.
void cd_thread_give_way(void);
// Lets the calling (non-EAL) thread run on every CPU in `cpus`; 0 or -errno.
int cd_thread_set_cpus(const int *cpus, unsigned count);
// CPUs the process was started with (sched_getaffinity at the first call).
unsigned cd_available_cpus(int *cpus, unsigned capacity);

// ---- packet pool ----------------------------------------------------------------------------------------------
typedef struct cd_pool cd_pool;
// The process's one pool, last-in-first-out, so that the working set stays as small as the number of packets in flight.
// data_room: bytes per buffer without headroom. NULL on failure, *error = negative errno.
cd_pool *cd_pool_create(const char *name, uint32_t packets, uint32_t per_lcore_cache, uint32_t data_room, int *error);
uint32_t cd_pool_in_use(const cd_pool *pool);

// ---- ports ----------------------------------------------------------------------------------------------------
// Creates a virtual device ("net_pcap_source", "rx_pcap=...,infinite_rx=1"). 0 or negative errno.
int cd_device_create(const char *name, const char *arguments);
int cd_device_remove(const char *name);
// Port number, or -1 if no port has that name.
int cd_port_by_name(const char *name);
bool cd_port_exists(uint16_t port);
int cd_port_name(uint16_t port, char *buffer, unsigned capacity);
struct cd_port_limits {
  uint16_t max_rx_queues;
  uint16_t max_tx_queues;
  uint32_t max_rx_packet;
  bool rss;             // can spread by flow hash
  bool scatter;         // can receive into chained buffers
  bool multi_segment;   // can transmit chained buffers
};
int cd_port_limits(uint16_t port, struct cd_port_limits *limits);
enum cd_port_step { CD_STEP_CONFIGURE = 1, CD_STEP_RX_QUEUE, CD_STEP_TX_QUEUE, CD_STEP_START };
// Configures, sets up queues and starts. With more than one rx queue, spreads by a symmetric RSS key.
// 0 or negative errno; *step names the call that failed.
int cd_port_start(uint16_t port, uint16_t rx_queues, uint16_t tx_queues, cd_pool *pool, int *step);
bool cd_port_link_up(uint16_t port);
void cd_port_stop(uint16_t port);
struct cd_port_counters {
  uint64_t rx_packets, tx_packets, tx_bytes, rx_missed, rx_errors, tx_errors, rx_no_buffer;
};
int cd_port_counters(uint16_t port, struct cd_port_counters *counters);

// ---- bursts ---------------------------------------------------------------------------------------------------
// Receives up to n packets. frames[i]: first byte of the frame, contiguous[i]: bytes readable there (first segment).
// Prefetches the frames. Clears nothing in the metadata block. Each packet has `references` holders from the start.
uint16_t cd_rx_burst(uint16_t port, uint16_t queue, void **packets, const uint8_t **frames, uint32_t *contiguous,
                     uint16_t n, uint16_t references);
// net_pcap's own receive timestamp (ns); 0 where the port gave none.
uint64_t cd_rx_timestamp_ns(const void *packet);
// Transmits. Returns how many the port took.
uint16_t cd_tx_burst(uint16_t port, uint16_t queue, void **packets, uint16_t n);
// Copies `length` bytes of the frame from `offset` on, out of however many buffers it lies in.
void cd_read_frame(const void *packet, uint32_t offset, uint32_t length, void *bytes);
// Sets every reference count to `references`.
void cd_set_references(void **packets, uint32_t n, uint16_t references);
// One more holder for each packet; `shared` as in cd_release.
void cd_retain(void **packets, uint32_t n, bool shared);
// Gives up `references` of each packet, freeing those that nobody holds. `shared`: other lcores may hold them too
// (atomic); otherwise all holders run on the calling lcore and the count is plain arithmetic.
void cd_release(void **packets, uint32_t n, uint16_t references, bool shared);
// A deep copy, metadata included, with `references` holders; NULL when the pool is empty.
void *cd_copy(const void *packet, cd_pool *pool, uint16_t references);
// A deep copy of the frame alone, behind `bytes` bytes of room for a header; one holder. *room is where the header goes.
// NULL when the pool is empty or has no headroom.
void *cd_copy_behind_header(const void *packet, cd_pool *pool, uint16_t bytes, uint8_t **room);
// An empty packet of `bytes` bytes (contents undefined) with `references` holders; NULL when the pool is empty.
void *cd_new_packet(cd_pool *pool, uint16_t bytes, uint16_t references);

// Where an mbuf keeps what the per-packet code reads; checked against struct rte_mbuf at compile time in CDPDK.c.
#define CD_MBUF_BUF_ADDR 0
#define CD_MBUF_DATA_OFF 16
#define CD_MBUF_PKT_LEN 36
#define CD_MBUF_DATA_LEN 40
static inline const uint8_t *cd_frame(const void *packet) {
  const uint8_t *mbuf = (const uint8_t *)packet - CD_MBUF_METADATA_OFFSET;
  return *(const uint8_t *const *)(mbuf + CD_MBUF_BUF_ADDR) + *(const uint16_t *)(mbuf + CD_MBUF_DATA_OFF);
}
static inline uint32_t cd_frame_length(const void *packet) {
  return *(const uint32_t *)((const uint8_t *)packet - CD_MBUF_METADATA_OFFSET + CD_MBUF_PKT_LEN);
}
static inline uint32_t cd_frame_contiguous(const void *packet) {
  return *(const uint16_t *)((const uint8_t *)packet - CD_MBUF_METADATA_OFFSET + CD_MBUF_DATA_LEN);
}
static inline void cd_prefetch_mbuf(const void *packet) {
  const uint8_t *mbuf = (const uint8_t *)packet - CD_MBUF_METADATA_OFFSET;
  __builtin_prefetch(mbuf, 1, 3);
  __builtin_prefetch(mbuf + 64, 1, 3);
}

// ---- rings: single producer, single consumer, of packet handles -----------------------------------------------------
typedef struct cd_ring cd_ring;
// Holds exactly `capacity` entries. NULL on failure, *error = negative errno.
cd_ring *cd_ring_create(const char *name, uint32_t capacity, int *error);
uint32_t cd_ring_enqueue(cd_ring *ring, void *const *entries, uint32_t n);
uint32_t cd_ring_dequeue(cd_ring *ring, void **entries, uint32_t n);
uint32_t cd_ring_free_count(const cd_ring *ring);
uint32_t cd_ring_count(const cd_ring *ring);

// ---- telemetry (dpdk-telemetry.py) ------------------------------------------------------------------------------------
typedef struct cd_telemetry_data cd_telemetry_data;
typedef int (*cd_telemetry_callback)(const char *command, const char *parameters, cd_telemetry_data *data);
int cd_telemetry_register(const char *command, cd_telemetry_callback callback, const char *help);
int cd_telemetry_begin_dictionary(cd_telemetry_data *data);
int cd_telemetry_add_uint(cd_telemetry_data *data, const char *name, uint64_t value);
int cd_telemetry_add_string(cd_telemetry_data *data, const char *name, const char *value);
cd_telemetry_data *cd_telemetry_new_dictionary(void);
int cd_telemetry_add_dictionary(cd_telemetry_data *data, const char *name, cd_telemetry_data *child);
