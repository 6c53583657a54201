#define _GNU_SOURCE
#include "CDPDK.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_telemetry.h>

_Static_assert(offsetof(struct rte_mbuf, buf_addr) == CD_MBUF_BUF_ADDR, "mbuf layout");
_Static_assert(offsetof(struct rte_mbuf, data_off) == CD_MBUF_DATA_OFF, "mbuf layout");
_Static_assert(offsetof(struct rte_mbuf, pkt_len) == CD_MBUF_PKT_LEN, "mbuf layout");
_Static_assert(offsetof(struct rte_mbuf, data_len) == CD_MBUF_DATA_LEN, "mbuf layout");
_Static_assert(CD_MBUF_METADATA_OFFSET >= offsetof(struct rte_mbuf, dynfield1), "metadata before the dynamic fields");
_Static_assert(CD_MBUF_METADATA_OFFSET + CD_METADATA_BYTES <= sizeof(struct rte_mbuf), "metadata beyond the mbuf");

static inline struct rte_mbuf *mbuf_of(const void *packet) {
  return (struct rte_mbuf *)((uintptr_t)packet - CD_MBUF_METADATA_OFFSET);
}
static inline void *packet_of(const struct rte_mbuf *mbuf) {
  return (void *)((uintptr_t)mbuf + CD_MBUF_METADATA_OFFSET);
}

// ---- environment abstraction layer ----------------------------------------------------------------------------

// EAL leaves its directory under /var/run/dpdk behind. Registered before EAL starts, so called after the telemetry has
// removed its sockets; what is not empty stays.
static void remove_runtime_directory(void) { rmdir(rte_eal_get_runtime_dir()); }
int cd_eal_init(int argc, char **argv) {
  atexit(remove_runtime_directory);
  int parsed = rte_eal_init(argc, argv);
  return parsed < 0 ? -rte_errno : parsed;
}
void cd_eal_cleanup(void) { rte_eal_cleanup(); }
bool cd_eal_has_hugepages(void) { return rte_eal_has_hugepages(); }
const char *cd_error_text(int negative_errno) { return rte_strerror(negative_errno < 0 ? -negative_errno : negative_errno); }

int cd_metadata_register(void) {
  static const struct rte_mbuf_dynfield field = {
      .name = "deft_packet_metadata", .size = CD_METADATA_BYTES, .align = 8, .flags = 0};
  int offset = rte_mbuf_dynfield_register_offset(&field, CD_MBUF_METADATA_OFFSET);
  return offset < 0 ? -rte_errno : 0;
}

uint64_t cd_tsc(void) { return rte_rdtsc(); }
uint64_t cd_tsc_hz(void) { return rte_get_tsc_hz(); }
uint64_t cd_wall_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define HUGE_PAGE (2u << 20)
static uint64_t rounded(uint64_t bytes) { return (bytes + HUGE_PAGE - 1) & ~(uint64_t)(HUGE_PAGE - 1); }
void *cd_memory_zeroed(uint64_t bytes) {
  // Over-map and trim, so that the kernel can back the table by huge pages from its first byte.
  uint64_t size = rounded(bytes);
  uint8_t *map = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return NULL;
  uint8_t *start = (uint8_t *)rounded((uint64_t)(uintptr_t)map);
  if (start > map) munmap(map, (size_t)(start - map));
  uint8_t *end = map + size + HUGE_PAGE;
  if (end > start + size) munmap(start + size, (size_t)(end - (start + size)));
  madvise(start, size, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
  // Pages now rather than one by one under traffic. Older kernels refuse: then they come one by one.
  madvise(start, size, MADV_POPULATE_WRITE);
#endif
  return start;
}

// ---- lcores ---------------------------------------------------------------------------------------------------

unsigned cd_worker_lcores(unsigned *lcores, unsigned capacity) {
  unsigned lcore, count = 0;
  RTE_LCORE_FOREACH_WORKER(lcore) {
    if (count < capacity) lcores[count] = lcore;
    count++;
  }
  return count;
}
unsigned cd_main_lcore(void) { return rte_get_main_lcore(); }
int cd_lcore_cpu(unsigned lcore) {
  rte_cpuset_t set = rte_lcore_cpuset(lcore);
  if (CPU_COUNT(&set) != 1) return -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &set)) return cpu;
  return -1;
}
int cd_lcore_launch(unsigned lcore, cd_lcore_function function, void *argument) {
  return rte_eal_remote_launch(function, argument, lcore);
}
int cd_lcore_wait(unsigned lcore) { return rte_eal_wait_lcore(lcore); }
void cd_lcore_yield(void) { sched_yield(); }
void cd_sleep_us(unsigned microseconds) {
  struct timespec time = {.tv_sec = microseconds / 1000000, .tv_nsec = (long)(microseconds % 1000000) * 1000};
  nanosleep(&time, NULL);
}

void cd_thread_give_way(void) { setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19); }
void cd_thread_wake_promptly(void) {
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  const struct sched_param lowest = {.sched_priority = 1};
  pthread_setschedparam(pthread_self(), SCHED_RR, &lowest);
}
int cd_thread_set_cpus(const int *cpus, unsigned count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (unsigned i = 0; i < count; i++) CPU_SET(cpus[i], &set);
  return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}
unsigned cd_available_cpus(int *cpus, unsigned capacity) {
  static cpu_set_t set;
  static bool known;
  if (!known) {
    // EAL pins the calling thread later: remember what the process was given at first.
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    known = true;
  }
  unsigned count = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &set)) {
      if (count < capacity) cpus[count] = cpu;
      count++;
    }
  return count;
}

// ---- packet pool ----------------------------------------------------------------------------------------------

// All buffers are of this one, so that the way back needs no look at their second cache line.
static struct rte_mempool *only_pool;
cd_pool *cd_pool_create(const char *name, uint32_t packets, uint32_t per_lcore_cache, uint32_t data_room, int *error) {
  if (only_pool) {
    *error = -EEXIST;
    return NULL;
  }
  struct rte_mempool *pool = rte_pktmbuf_pool_create_by_ops(
      name, packets, per_lcore_cache, 0, (uint16_t)(data_room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY, "stack");
  if (!pool) *error = -rte_errno;
  only_pool = pool;
  return (cd_pool *)pool;
}
uint32_t cd_pool_in_use(const cd_pool *pool) { return rte_mempool_in_use_count((const struct rte_mempool *)pool); }

// ---- ports ----------------------------------------------------------------------------------------------------

int cd_device_create(const char *name, const char *arguments) { return rte_eal_hotplug_add("vdev", name, arguments); }
int cd_device_remove(const char *name) { return rte_eal_hotplug_remove("vdev", name); }
int cd_port_by_name(const char *name) {
  uint16_t port;
  return rte_eth_dev_get_port_by_name(name, &port) == 0 ? (int)port : -1;
}
bool cd_port_exists(uint16_t port) { return rte_eth_dev_is_valid_port(port); }
int cd_port_name(uint16_t port, char *buffer, unsigned capacity) {
  char name[RTE_ETH_NAME_MAX_LEN];
  int result = rte_eth_dev_get_name_by_port(port, name);
  if (result != 0) return result;
  strncpy(buffer, name, capacity - 1);
  buffer[capacity - 1] = 0;
  return 0;
}

int cd_port_limits(uint16_t port, struct cd_port_limits *limits) {
  struct rte_eth_dev_info info;
  int result = rte_eth_dev_info_get(port, &info);
  if (result != 0) return result;
  limits->max_rx_queues = info.max_rx_queues;
  limits->max_tx_queues = info.max_tx_queues;
  limits->max_rx_packet = info.max_rx_pktlen;
  limits->rss = (info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)) != 0;
  limits->scatter = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
  limits->multi_segment = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  return 0;
}

// 0x6d5a repeated: Toeplitz then gives both directions of a connection the same hash.
static uint8_t symmetric_rss_key[52] = {
    0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
    0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
    0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a};

int cd_port_start(uint16_t port, uint16_t rx_queues, uint16_t tx_queues, cd_pool *pool, int *step) {
  struct rte_eth_dev_info info;
  *step = CD_STEP_CONFIGURE;
  int result = rte_eth_dev_info_get(port, &info);
  if (result != 0) return result;
  struct rte_eth_conf conf;
  memset(&conf, 0, sizeof conf);
  // Packets are shared between holders, so the fast-free offload (one holder, one pool) must stay off.
  conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
  if (rx_queues > 1) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP);
    if (info.hash_key_size > 0 && info.hash_key_size <= sizeof symmetric_rss_key) {
      conf.rx_adv_conf.rss_conf.rss_key = symmetric_rss_key;
      conf.rx_adv_conf.rss_conf.rss_key_len = info.hash_key_size;
    }
  }
  result = rte_eth_dev_configure(port, rx_queues, tx_queues, &conf);
  if (result != 0) return result;
  uint16_t rx_descriptors = 1024, tx_descriptors = 1024;
  result = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_descriptors, &tx_descriptors);
  if (result != 0) return result;
  int socket = rte_eth_dev_socket_id(port);
  *step = CD_STEP_RX_QUEUE;
  for (uint16_t q = 0; q < rx_queues; q++) {
    result = rte_eth_rx_queue_setup(port, q, rx_descriptors, (unsigned)socket, NULL, (struct rte_mempool *)pool);
    if (result != 0) return result;
  }
  *step = CD_STEP_TX_QUEUE;
  for (uint16_t q = 0; q < tx_queues; q++) {
    result = rte_eth_tx_queue_setup(port, q, tx_descriptors, (unsigned)socket, NULL);
    if (result != 0) return result;
  }
  *step = CD_STEP_START;
  result = rte_eth_dev_start(port);
  if (result != 0) return result;
  rte_eth_promiscuous_enable(port);  // virtual ports may not know it; a network function wants every frame
  return 0;
}
// net_af_packet calls its link up whatever the kernel's interface is.
static bool interface_runs(uint16_t port) {
  struct rte_eth_dev_info info;
  if (rte_eth_dev_info_get(port, &info) != 0 || info.if_index == 0) return true;
  if (strcmp(info.driver_name, "net_af_packet") != 0) return true;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (handle < 0) return true;
  bool known = if_indextoname(info.if_index, request.ifr_name) != NULL && ioctl(handle, SIOCGIFFLAGS, &request) == 0;
  close(handle);
  return !known || (request.ifr_flags & IFF_RUNNING) != 0;
}
bool cd_port_link_up(uint16_t port) {
  struct rte_eth_link link;
  return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP && interface_runs(port);
}
void cd_port_stop(uint16_t port) {
  rte_eth_dev_stop(port);
  rte_eth_dev_close(port);
}
int cd_port_counters(uint16_t port, struct cd_port_counters *counters) {
  struct rte_eth_stats stats;
  int result = rte_eth_stats_get(port, &stats);
  if (result != 0) return result;
  counters->rx_packets = stats.ipackets;
  counters->tx_packets = stats.opackets;
  counters->tx_bytes = stats.obytes;
  counters->rx_missed = stats.imissed;
  counters->rx_errors = stats.ierrors;
  counters->tx_errors = stats.oerrors;
  counters->rx_no_buffer = stats.rx_nombuf;
  return 0;
}

// ---- bursts ---------------------------------------------------------------------------------------------------

static inline void set_references(struct rte_mbuf *mbuf, uint16_t references) {
  if (likely(mbuf->nb_segs == 1)) {
    rte_mbuf_refcnt_set(mbuf, references);
    return;
  }
  // Freeing a chain gives up one reference of every segment.
  for (; mbuf; mbuf = mbuf->next) rte_mbuf_refcnt_set(mbuf, references);
}

uint16_t cd_rx_burst(uint16_t port, uint16_t queue, void **packets, const uint8_t **frames, uint32_t *contiguous,
                     uint16_t n, uint16_t references) {
  struct rte_mbuf **mbufs = (struct rte_mbuf **)packets;
  uint16_t count = rte_eth_rx_burst(port, queue, mbufs, n);
  for (uint16_t i = 0; i < count; i++) {
    struct rte_mbuf *mbuf = mbufs[i];
    frames[i] = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    rte_prefetch0(frames[i]);
    contiguous[i] = mbuf->data_len;
    set_references(mbuf, references);
    packets[i] = packet_of(mbuf);
  }
  return count;
}

static int timestamp_offset = -2;
static uint64_t timestamp_flag;
uint64_t cd_rx_timestamp_ns(const void *packet) {
  if (timestamp_offset == -2) {
    timestamp_offset = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
    int flag = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);
    timestamp_flag = flag >= 0 ? RTE_BIT64(flag) : 0;
  }
  struct rte_mbuf *mbuf = mbuf_of(packet);
  if (timestamp_offset < 0 || !(mbuf->ol_flags & timestamp_flag)) return 0;
  return *RTE_MBUF_DYNFIELD(mbuf, timestamp_offset, rte_mbuf_timestamp_t *) * 1000;  // net_pcap gives microseconds
}

uint16_t cd_tx_burst(uint16_t port, uint16_t queue, void **packets, uint16_t n) {
  struct rte_mbuf *mbufs[64];
  uint16_t sent = 0;
  while (sent < n) {
    uint16_t chunk = RTE_MIN((uint16_t)(n - sent), (uint16_t)64);
    for (uint16_t i = 0; i < chunk; i++) mbufs[i] = mbuf_of(packets[sent + i]);
    uint16_t taken = rte_eth_tx_burst(port, queue, mbufs, chunk);
    sent = (uint16_t)(sent + taken);
    if (taken < chunk) break;
  }
  return sent;
}

void cd_set_references(void **packets, uint32_t n, uint16_t references) {
  for (uint32_t i = 0; i < n; i++) set_references(mbuf_of(packets[i]), references);
}

void cd_retain(void **packets, uint32_t n, bool shared) {
  for (uint32_t i = 0; i < n; i++)
    for (struct rte_mbuf *mbuf = mbuf_of(packets[i]); mbuf; mbuf = mbuf->next) {
      if (shared)
        __atomic_add_fetch(&mbuf->refcnt, 1, __ATOMIC_ACQ_REL);
      else
        mbuf->refcnt++;
    }
}

static void __attribute__((noinline)) release_odd(struct rte_mbuf *mbuf, uint16_t references) {
  while (references-- > 0) rte_pktmbuf_free(mbuf);
}
// Gives up `references` of up to 64 packets. Buffers that nobody holds any more and that are as the pool wants them (one
// segment, own data) go back at once, without a look at their second cache line.
static inline __attribute__((always_inline)) void release_some(void **packets, uint32_t n, uint16_t references,
                                                               bool shared) {
  struct rte_mbuf *last[64];
  unsigned count = 0;
  for (uint32_t i = 0; i < n; i++) __builtin_prefetch(mbuf_of(packets[i]), 1, 3);
  for (uint32_t i = 0; i < n; i++) {
    struct rte_mbuf *mbuf = mbuf_of(packets[i]);
    uint64_t word;  // data_off, refcnt, nb_segs, port: 16 bits each, looked at in one load
    memcpy(&word, &mbuf->rearm_data, sizeof word);
    uint16_t held = (uint16_t)(word >> 16);
    if (unlikely((uint16_t)(word >> 32) != 1)) {
      release_odd(mbuf, references);
      continue;
    }
    if (held > references) {
      if (!shared) {
        mbuf->refcnt = (uint16_t)(held - references);
        continue;
      }
      if (__atomic_sub_fetch(&mbuf->refcnt, references, __ATOMIC_ACQ_REL) != 0) continue;
    }
    mbuf->refcnt = 1;
    if (unlikely(!RTE_MBUF_DIRECT(mbuf))) {
      rte_pktmbuf_free(mbuf);
      continue;
    }
    // The next to be received into: with its other lines.
    __builtin_prefetch((uint8_t *)mbuf + 64, 1, 3);
    __builtin_prefetch((uint8_t *)mbuf + 256, 1, 3);
    last[count++] = mbuf;
  }
  if (count > 0) rte_mempool_put_bulk(only_pool, (void **)last, count);
}
void cd_release(void **packets, uint32_t n, uint16_t references, bool shared) {
  for (uint32_t done = 0; done < n; done += 64) {
    uint32_t some = RTE_MIN(n - done, 64u);
    if (shared)
      release_some(packets + done, some, references, true);
    else
      release_some(packets + done, some, references, false);
  }
}

// rte_pktmbuf_copy refuses a packet without a byte, as close markers are.
static struct rte_mbuf *copy_of(const void *packet, cd_pool *pool) {
  struct rte_mbuf *mbuf = mbuf_of(packet);
  if (mbuf->pkt_len == 0) return rte_pktmbuf_alloc((struct rte_mempool *)pool);
  return rte_pktmbuf_copy(mbuf, (struct rte_mempool *)pool, 0, UINT32_MAX);
}
void *cd_copy_behind_header(const void *packet, cd_pool *pool, uint16_t bytes, uint8_t **room) {
  struct rte_mbuf *copy = copy_of(packet, pool);
  if (!copy) return NULL;
  *room = (uint8_t *)rte_pktmbuf_prepend(copy, bytes);
  if (*room == NULL) {
    rte_pktmbuf_free(copy);
    return NULL;
  }
  return packet_of(copy);
}
void *cd_copy(const void *packet, cd_pool *pool, uint16_t references) {
  struct rte_mbuf *copy = copy_of(packet, pool);
  if (!copy) return NULL;
  memcpy(packet_of(copy), packet, CD_METADATA_BYTES);
  set_references(copy, references);
  return packet_of(copy);
}
void cd_read_frame(const void *packet, uint32_t offset, uint32_t length, void *bytes) {
  if (length == 0) return;
  const void *found = rte_pktmbuf_read(mbuf_of(packet), offset, length, bytes);
  // Where it lies in one piece nothing was copied.
  if (found && found != bytes) memcpy(bytes, found, length);
}
void *cd_new_packet(cd_pool *pool, uint16_t bytes, uint16_t references) {
  struct rte_mbuf *mbuf = rte_pktmbuf_alloc((struct rte_mempool *)pool);
  if (!mbuf) return NULL;
  if (bytes > 0 && rte_pktmbuf_append(mbuf, bytes) == NULL) {
    rte_pktmbuf_free(mbuf);
    return NULL;
  }
  set_references(mbuf, references);
  return packet_of(mbuf);
}

// ---- rings ----------------------------------------------------------------------------------------------------

cd_ring *cd_ring_create(const char *name, uint32_t capacity, int *error) {
  struct rte_ring *ring =
      rte_ring_create(name, capacity, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
  if (!ring) *error = -rte_errno;
  return (cd_ring *)ring;
}
uint32_t cd_ring_enqueue(cd_ring *ring, void *const *entries, uint32_t n) {
  struct rte_ring *r = (struct rte_ring *)ring;
  uint32_t sent = rte_ring_sp_enqueue_burst(r, entries, n, NULL);
  // All rings together are larger than the nearer caches: what the next burst writes is fetched meanwhile.
  void **slots = (void **)&r[1];
  for (uint32_t i = 0; i < sent; i += RTE_CACHE_LINE_SIZE / sizeof *slots)
    __builtin_prefetch(&slots[(r->prod.head + i) & r->mask], 1, 3);
  return sent;
}
uint32_t cd_ring_dequeue(cd_ring *ring, void **entries, uint32_t n) {
  return rte_ring_sc_dequeue_burst((struct rte_ring *)ring, entries, n, NULL);
}
uint32_t cd_ring_free_count(const cd_ring *ring) { return rte_ring_free_count((const struct rte_ring *)ring); }
uint32_t cd_ring_count(const cd_ring *ring) { return rte_ring_count((const struct rte_ring *)ring); }

// ---- telemetry ------------------------------------------------------------------------------------------------

int cd_telemetry_register(const char *command, cd_telemetry_callback callback, const char *help) {
  return rte_telemetry_register_cmd(command, (telemetry_cb)callback, help);
}
int cd_telemetry_begin_dictionary(cd_telemetry_data *data) {
  return rte_tel_data_start_dict((struct rte_tel_data *)data);
}
int cd_telemetry_add_uint(cd_telemetry_data *data, const char *name, uint64_t value) {
  return rte_tel_data_add_dict_u64((struct rte_tel_data *)data, name, value);
}
int cd_telemetry_add_string(cd_telemetry_data *data, const char *name, const char *value) {
  return rte_tel_data_add_dict_string((struct rte_tel_data *)data, name, value);
}
cd_telemetry_data *cd_telemetry_new_dictionary(void) {
  struct rte_tel_data *data = rte_tel_data_alloc();
  if (data) rte_tel_data_start_dict(data);
  return (cd_telemetry_data *)data;
}
int cd_telemetry_add_dictionary(cd_telemetry_data *data, const char *name, cd_telemetry_data *child) {
  return rte_tel_data_add_dict_container((struct rte_tel_data *)data, name, (struct rte_tel_data *)child, 0);
}
