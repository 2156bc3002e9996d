/* Loaded into a server under test by LD_PRELOAD: makes its writes and syncs of the database's files fail
 * when the test says so. The test and the server share the counters by a mapped file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct control {
  int64_t countdown; /* the call that fails: 1 is the next one, 0 none */
  int64_t error;     /* errno of the failure */
  int64_t sticky;    /* 1: all later calls fail as well */
  int64_t partial;   /* 1: a failing write first writes half of its bytes */
  int64_t calls;     /* calls so far */
  int64_t failures;  /* calls that failed so far */
};

static struct control *control;
static const char *name;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("TEST_FAULTS");
  name = getenv("TEST_FAULTS_FILE");
  if (!path || !name) return;
  int fd = open(path, O_RDWR);
  if (fd < 0) return;
  void *mapped = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) control = mapped;
  close(fd);
}

static int is_database(int fd) {
  char link[64], target[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, target, sizeof target - 1);
  if (length < 0) return 0;
  target[length] = 0;
  const char *last = strrchr(target, '/');
  return last && !strncmp(last + 1, name, strlen(name));
}

/* Whether this call fails. */
static int fails(int fd) {
  if (!control || !is_database(fd)) return 0;
  __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&control->countdown, __ATOMIC_SEQ_CST) <= 0) return 0;
  int64_t left = __atomic_sub_fetch(&control->countdown, 1, __ATOMIC_SEQ_CST);
  if (left > 0) return 0;
  if (left < 0) { __atomic_store_n(&control->countdown, 0, __ATOMIC_SEQ_CST); return 0; }
  if (control->sticky) __atomic_store_n(&control->countdown, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&control->failures, 1, __ATOMIC_SEQ_CST);
  errno = (int)control->error;
  return 1;
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define PWRITE(function, offset_type) \
  ssize_t function(int fd, const void *bytes, size_t count, offset_type offset) { \
    REAL(function); \
    if (fails(fd)) { \
      int error = errno; \
      if (control->partial && count > 1) (void)!real(fd, bytes, count / 2, offset); \
      errno = error; \
      return -1; \
    } \
    return real(fd, bytes, count, offset); \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define SYNC(function) \
  int function(int fd) { \
    REAL(function); \
    return fails(fd) ? -1 : real(fd); \
  }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(function, length_type) \
  int function(int fd, length_type length) { \
    REAL(function); \
    return fails(fd) ? -1 : real(fd, length); \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
