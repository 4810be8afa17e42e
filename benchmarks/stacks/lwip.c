/* lwIP as a program that measures on request (program.py): its raw API in one thread, on a TAP that it is given.
 *
 * Arguments: the TAP's descriptor, our address, the peer's. Each line of standard input asks for one figure: the letter
 * of the work (_work.py), how much of it, the peer's port. Each answer is a line.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

enum { LARGEST_FRAME = 1514, BATCH = 64, IDLE_MS = 100, MOST_TRIPS = 100000 };

static int tap;
static struct netif interface;
static ip_addr_t peer;

/* One connection and how far it is. */
struct flow {
    struct tcp_pcb *pcb;
    char work;
    int connected, over;
    uint64_t left; /* octets still to be written */
    uint64_t received;
    err_t failed;
};

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void fail(const char *what, int code) {
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
}

/* The device. */

static err_t send_frame(struct netif *netif, struct pbuf *packet) {
    static char frame[LARGEST_FRAME];
    const void *octets = packet->payload;
    if (packet->next) {
        pbuf_copy_partial(packet, frame, packet->tot_len, 0);
        octets = frame;
    }
    while (write(tap, octets, packet->tot_len) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            fail("write", errno);
    }
    return ERR_OK;
}

static err_t set_up(struct netif *netif) {
    static const u8_t station[] = {2, 0, 0, 0, 0, 3};
    netif->name[0] = 't';
    netif->name[1] = 'p';
    netif->mtu = 1500;
    netif->hwaddr_len = sizeof station;
    memcpy(netif->hwaddr, station, sizeof station);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    netif->output = etharp_output;
    netif->linkoutput = send_frame;
    return ERR_OK;
}

/* Wait for frames, at most `patience` milliseconds, and let lwIP have those that are there. */
static void turn(int patience) {
    static char frame[LARGEST_FRAME];
    struct pollfd ready = {.fd = tap, .events = POLLIN};
    u32_t due = sys_timeouts_sleeptime();
    if (due < (u32_t)patience)
        patience = due;
    if (poll(&ready, 1, patience) > 0) {
        for (int count = 0; count < BATCH; count++) {
            ssize_t size = read(tap, frame, sizeof frame);
            if (size < 0)
                break;
            struct pbuf *packet = pbuf_alloc(PBUF_RAW, size, PBUF_RAM);
            if (!packet)
                fail("pbuf_alloc", (int)size);
            pbuf_take(packet, frame, size);
            if (interface.input(packet, &interface) != ERR_OK)
                pbuf_free(packet);
        }
    }
    sys_check_timeouts();
}

/* A connection. */

static void write_more(struct flow *flow) {
    static const char zeros[65536];
    while (flow->left) {
        uint64_t size = tcp_sndbuf(flow->pcb);
        if (size > flow->left)
            size = flow->left;
        if (!size || tcp_write(flow->pcb, zeros, size, 0) != ERR_OK)
            break;
        flow->left -= size;
    }
    tcp_output(flow->pcb);
}

static err_t on_connected(void *argument, struct tcp_pcb *pcb, err_t code) {
    ((struct flow *)argument)->connected = 1;
    return ERR_OK;
}

static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t size) {
    write_more(argument);
    return ERR_OK;
}

static err_t on_received(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t code) {
    struct flow *flow = argument;
    if (!packet) {
        flow->over = 1;
        return ERR_OK;
    }
    flow->received += packet->tot_len;
    tcp_recved(pcb, packet->tot_len);
    pbuf_free(packet);
    return ERR_OK;
}

static void on_error(void *argument, err_t code) {
    if (argument)
        fail("connection", code);
}

static void begin(struct flow *flow, char work, u16_t port) {
    memset(flow, 0, sizeof *flow);
    flow->work = work;
    flow->pcb = tcp_new();
    if (!flow->pcb)
        fail("tcp_new", 0);
    tcp_arg(flow->pcb, flow);
    tcp_err(flow->pcb, on_error);
    tcp_recv(flow->pcb, on_received);
    tcp_nagle_disable(flow->pcb);
    err_t code = tcp_connect(flow->pcb, &peer, port, on_connected);
    if (code != ERR_OK)
        fail("tcp_connect", code);
    while (!flow->connected)
        turn(IDLE_MS);
}

static void end(struct flow *flow) {
    tcp_arg(flow->pcb, NULL);
    tcp_recv(flow->pcb, NULL);
    tcp_sent(flow->pcb, NULL);
    if (tcp_close(flow->pcb) != ERR_OK)
        fail("tcp_close", 0);
}

static void put(struct flow *flow, const void *octets, u16_t size) {
    err_t code = tcp_write(flow->pcb, octets, size, TCP_WRITE_FLAG_COPY);
    if (code != ERR_OK)
        fail("tcp_write", code);
    tcp_output(flow->pcb);
}

static void await(struct flow *flow, uint64_t octets) {
    while (flow->received < octets) {
        if (flow->over)
            fail("the peer has closed", 0);
        turn(IDLE_MS);
    }
}

/* The works. */

static double bulk(char work, uint64_t amount, u16_t port) {
    struct flow flow;
    unsigned char request[9] = {work};
    for (int place = 0; place < 8; place++)
        request[1 + place] = amount >> (56 - 8 * place);
    begin(&flow, work, port);
    double begun = seconds();
    put(&flow, request, sizeof request);
    if (work == 'U') {
        flow.left = amount;
        tcp_sent(flow.pcb, on_sent);
        write_more(&flow);
        await(&flow, 1);
    } else {
        await(&flow, amount);
    }
    double elapsed = seconds() - begun;
    end(&flow);
    return amount / elapsed / 1e6;
}

static int by_size(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static double round_trip(uint64_t count, u16_t port) {
    static double times[MOST_TRIPS];
    struct flow flow;
    if (count > MOST_TRIPS)
        fail("too many round trips", 0);
    begin(&flow, 'E', port);
    put(&flow, "E", 1);
    for (uint64_t trip = 0; trip < count; trip++) {
        double begun = seconds();
        put(&flow, "x", 1);
        await(&flow, trip + 1);
        times[trip] = seconds() - begun;
    }
    end(&flow);
    qsort(times, count, sizeof *times, by_size);
    return times[count / 2] * 1e6;
}

static double connections(uint64_t count, u16_t port) {
    struct flow flow;
    double begun = seconds();
    for (uint64_t number = 0; number < count; number++) {
        begin(&flow, 'C', port);
        put(&flow, "C", 1);
        await(&flow, 1);
        end(&flow);
    }
    return count / (seconds() - begun);
}

static double measure(char work, uint64_t amount, u16_t port) {
    switch (work) {
    case 'E':
        return round_trip(amount, port);
    case 'C':
        return connections(amount, port);
    default:
        return bulk(work, amount, port);
    }
}

int main(int count, char **arguments) {
    ip4_addr_t ours, mask, none = {0};
    if (count != 4)
        fail("arguments", count);
    tap = atoi(arguments[1]);
    fcntl(tap, F_SETFL, O_NONBLOCK);
    lwip_init();
    IP4_ADDR(&mask, 255, 255, 255, 0);
    ip4addr_aton(arguments[2], &ours);
    ipaddr_aton(arguments[3], &peer);
    netif_add(&interface, &ours, &mask, &none, NULL, set_up, ethernet_input);
    netif_set_default(&interface);
    netif_set_up(&interface);
    netif_set_link_up(&interface);
    setvbuf(stdin, NULL, _IONBF, 0);
    for (;;) {
        struct pollfd asked = {.fd = STDIN_FILENO, .events = POLLIN};
        char line[80], work;
        uint64_t amount;
        uint16_t port;
        while (!poll(&asked, 1, 0))
            turn(1);
        if (!fgets(line, sizeof line, stdin))
            return 0;
        if (sscanf(line, "%c %" SCNu64 " %" SCNu16, &work, &amount, &port) != 3)
            fail("request", 0);
        printf("%f\n", measure(work, amount, port));
        fflush(stdout);
    }
}
