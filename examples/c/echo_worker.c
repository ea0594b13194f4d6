/* A worker in C: it answers with the request's body.

     cc -o echo_worker echo_worker.c -lzmq

   It shows how little is needed: a beat when idle, jobs in, answers out. It
   serves one front, hears no interrupts, and beats as prime_server's workers
   do; see "Worker programs" in docs/protocol.md. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static volatile sig_atomic_t stopping;

static void stop(int number) {
  (void)number;
  stopping = 1;
}

/* Connects a socket to the endpoint in an environment variable, [name=]endpoint. */
static void *dial(void *context, int kind, const char *variable) {
  const char *endpoint = getenv(variable);
  const char *scheme = endpoint ? strstr(endpoint, "://") : NULL;
  const char *equals = endpoint ? strchr(endpoint, '=') : NULL;
  void *socket = zmq_socket(context, kind);
  int linger = 5000, heartbeat = 2000; /* milliseconds */
  zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
  zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &heartbeat, sizeof heartbeat);
  if (equals && scheme && equals < scheme)
    endpoint = equals + 1;
  if (!scheme || strchr(endpoint, ',') || zmq_connect(socket, endpoint) != 0) {
    fprintf(stderr, "echo_worker: %s has to be one endpoint\n", variable);
    exit(2);
  }
  return socket;
}

/* Makes the info frame of a job that of its answer: status 200 in bits 5 to 14
   of the number at offset 8. All else is handed on as it came. */
static void mark(zmq_msg_t *info) {
  unsigned char *b = zmq_msg_data(info);
  if (zmq_msg_size(info) < 12)
    return;
  unsigned bits = (b[8] | b[9] << 8) & ~(0x3ffu << 5);
  bits |= 200u << 5;
  b[8] = bits & 0xff;
  b[9] = bits >> 8;
}

/* Makes the response to a request: head and the request's body. */
static void respond(zmq_msg_t *response, zmq_msg_t *request) {
  const char *body = zmq_msg_data(request), *end = body + zmq_msg_size(request);
  char head[64];
  while (body < end && (end - body < 4 || memcmp(body, "\r\n\r\n", 4) != 0))
    body++;
  body = end - body < 4 ? end : body + 4;
  int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", (size_t)(end - body));
  zmq_msg_init_size(response, n + (end - body));
  memcpy(zmq_msg_data(response), head, n);
  memcpy((char *)zmq_msg_data(response) + n, body, end - body);
}

/* Does a job: the info frame, and the request's text. */
static void work(void *jobs, void *answers) {
  zmq_msg_t info, request, response;
  zmq_msg_init(&info);
  zmq_msg_init(&request);
  zmq_msg_recv(&info, jobs, 0);
  int more = zmq_msg_more(&info);
  if (more)
    zmq_msg_recv(&request, jobs, 0);
  if (more && !zmq_msg_more(&request)) {
    mark(&info);
    respond(&response, &request);
    if (zmq_msg_send(&info, answers, ZMQ_SNDMORE) != -1)
      zmq_msg_send(&response, answers, 0);
    zmq_msg_close(&response);
  }
  while (zmq_msg_more(&request)) /* more frames are no request */
    zmq_msg_recv(&request, jobs, 0);
  zmq_msg_close(&info);
  zmq_msg_close(&request);
}

int main(void) {
  void *context = zmq_ctx_new();
  void *jobs = dial(context, ZMQ_DEALER, "BUTTERFLY_UPSTREAM_PROXY");
  void *answers = dial(context, ZMQ_PUSH, "BUTTERFLY_LOOPBACK");
  zmq_pollitem_t item = {jobs, 0, ZMQ_POLLIN, 0};
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  for (int done = 0; !done;) {
    int leaving = stopping;
    if (!leaving)
      zmq_send(jobs, "", 0, ZMQ_DONTWAIT); /* the beat: I am idle */
    int ready = zmq_poll(&item, 1, 1000);
    if (ready > 0)
      work(jobs, answers);
    done = leaving && ready == 0; /* a second without beat and job: no more come */
  }
  zmq_close(jobs);
  zmq_close(answers);
  zmq_ctx_term(context);
  return 0;
}
