// Counts allocations per thread name and writes the counts at the end of the process to the file that ALLOCATION_COUNTS
// names, one "name count" a line. Built by AllocationTests and loaded with LD_PRELOAD; glibc only.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

// A thread takes a line at its first allocation and keeps it; more threads than lines share the last one.
enum { LINES = 256 };
static struct {
  char name[16];
  _Atomic unsigned long count;
} lines[LINES];
static atomic_uint taken;
static __thread unsigned line __attribute__((tls_model("initial-exec")));

static void count(void) {
  if (!line) {
    line = atomic_fetch_add(&taken, 1) + 1;
    if (line > LINES) line = LINES;
  }
  // Asked for every time, because a thread gets its name after it has begun.
  prctl(PR_GET_NAME, lines[line - 1].name);
  atomic_fetch_add_explicit(&lines[line - 1].count, 1, memory_order_relaxed);
}

void *malloc(size_t size) {
  count();
  return __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
  count();
  return __libc_calloc(n, size);
}
void *realloc(void *memory, size_t size) {
  count();
  return __libc_realloc(memory, size);
}
void *memalign(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) || (alignment & (alignment - 1))) return EINVAL;
  void *result = memalign(alignment, size);
  if (!result) return ENOMEM;
  *memory = result;
  return 0;
}

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("ALLOCATION_COUNTS");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  unsigned used = atomic_load(&taken);
  for (unsigned i = 0; i < used && i < LINES; i++)
    fprintf(file, "%s %lu\n", lines[i].name, atomic_load(&lines[i].count));
  fclose(file);
}
