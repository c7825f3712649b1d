#define _GNU_SOURCE
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

// Taking the interpreter's lock can cost a thread switch of 5 ms.
static const int64_t CHECK_NS = 100 * 1000 * 1000;

// Python handles signals in its main thread, which alone has an exception waiting.
static int64_t next_check;
static PyObject *type, *value, *traceback;

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

// 1 or -1; 0 while it is not known, as in a thread that a fork has made the main one.
static _Thread_local int main_thread;

static void forget_main_thread(void) { main_thread = 0; }

static bool is_main_thread(void) {
  if (!main_thread) main_thread = syscall(SYS_gettid) == getpid() ? 1 : -1;
  return main_thread > 0;
}

void begin_call(void) {
  if (is_main_thread()) next_check = nanoseconds() + CHECK_NS;
}

static bool check_signals(void) {
  if (!is_main_thread() || nanoseconds() < next_check) return false;
  PyGILState_STATE state = PyGILState_Ensure();
  if (!type && PyErr_CheckSignals() < 0) PyErr_Fetch(&type, &value, &traceback);
  bool interrupted = type != NULL;
  PyGILState_Release(state);
  next_check = nanoseconds() + CHECK_NS;
  return interrupted;
}

void install_interrupt_check(void) {
  pthread_atfork(NULL, NULL, forget_main_thread);
  vq_set_interrupt_check(check_signals);
}

void raise_interruption(void) {
  if (type)
    PyErr_Restore(type, value, traceback);
  else
    PyErr_SetNone(PyExc_KeyboardInterrupt);
  type = value = traceback = NULL;
}
