/* The compiled engine's loop on the standard workload in plain C: the yardstick of tests/benchmarks/test_compiled.py.
 *
 * The same draws, the same heaps, the same order of events, so the same mail to the microsecond; the benchmark holds
 * the totals equal. It leaves out all that the standard workload has no use for: destinations that fail or are down,
 * TLS evidence, timelines, outages, windows of recipients, greylisting, limits by MX address, the ceiling, runs that
 * are cut off, and every row: it keeps eight totals where the engine fills the counts of a result.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FAR_US ((int64_t)1 << 61)
#define NONE (-1)
#define UNIT_BITS 20
#define CELL_BITS 5
#define NTH_BITS 20
#define RANK_BITS 48
#define PHILOX 0xD2B74407B1CE6E93u

enum { ARRIVAL, MESSAGE, VERDICT, PASS, CONNECTION };
enum { MESSAGES, DELIVERED, BOUNCED, VERDICTS, CONNECTIONS, CARRIED, DELAY_US, LAST_US };
enum { OLDEST, UNCOVERED, TIMER };
enum { STEP, IDLE };
static const int64_t VERDICT_RANK = (int64_t)4 << RANK_BITS, STEP_RANK = (int64_t)5 << RANK_BITS,
                     IDLE_RANK = (int64_t)6 << RANK_BITS;

/* Columns of the World, in the order of Loop in test_compiled.py; all numbers are int64. */
typedef struct {
    int64_t destinations, window_ticks, idle_us, dns_us, knots, gap_cells, accept_cells, size_cells, recipient_steps;
    const int64_t *key, *gap_ticks, *first_4yz, *max_messages, *lifetime_us, *max_retries, *wait_start, *wait_stop,
        *route_start, *host, *preference, *connections, *host_key, *rtt_us, *us_per_mib, *accept_us, *round_trips,
        *fails_below, *gap, *accept, *size_bytes, *recipients_below, *recipients, *knots_us, *ticks_before, *waits_us;
    const uint64_t (*keys)[10];
} world;

typedef struct { int64_t time_us, order; int32_t child, sibling; } node;
typedef struct {
    int64_t ordinal, arrival_us, size_bytes, attempt_us;
    int32_t recipients, verdicts, retries, openings, opening, next;
    int8_t transient, waiting, in_oldest, in_uncovered, gone;
} message;
typedef struct {
    int64_t ordinal, opener_ordinal, opened_us, idle_since_us;
    int32_t opener, route, message, carried, before, after;
    int8_t idle_timer, gone;
} connection;

typedef struct { /* one destination's queue, and the pools that all of them share */
    const world *w;
    int64_t d, now_us, arrival_us, arrival_ticks, ordinal, opened, *totals;
    int32_t waiting, openings, live, touched, oldest, uncovered, timers, events, idle_last;
    message *ms;
    node *mn;
    connection *cs;
    node *cn;
    int32_t messages, connections, free_message, free_connection;
} queue;

/* --- draws and arithmetic: sim/delivery/draws.py and rules.py */

static inline void words(const world *w, int stream, int64_t who, int64_t nth, int64_t out[4]) {
    uint64_t first = (uint64_t)who, second = (uint64_t)nth;
    for (int i = 0; i < 10; i++) {
        unsigned __int128 product = (unsigned __int128)first * PHILOX;
        first = (uint64_t)(product >> 64) ^ second ^ w->keys[stream][i];
        second = (uint64_t)product;
    }
    out[0] = first & 0xFFFFFFFFu, out[1] = first >> 32, out[2] = second & 0xFFFFFFFFu, out[3] = second >> 32;
}

static inline int64_t scaled(int64_t value, int64_t factor) {
    return (value >> UNIT_BITS) * factor + (((value & ((1 << UNIT_BITS) - 1)) * factor) >> UNIT_BITS);
}

static inline int64_t quantile(const int64_t *table, int64_t cells, int64_t word) {
    int upper = word >= (int64_t)1 << 31;
    int64_t tail = upper ? 0xFFFFFFFF - word : word, shift = 0, cell = tail;
    if (tail >= 2 << CELL_BITS) {
        shift = 63 - __builtin_clzll((uint64_t)tail) - CELL_BITS;
        cell = (shift << CELL_BITS) + (tail >> shift);
    }
    if (upper) cell += cells >> 1;
    int64_t low = table[cell];
    return low + ((table[cell + 1] - low) * (tail & (((int64_t)1 << shift) - 1)) >> shift);
}

static inline int64_t clock_us(const world *w, int64_t ticks) {
    int64_t low = 0, high = w->knots - 1;
    while (high - low > 1) {
        int64_t middle = (low + high) >> 1;
        if (w->ticks_before[middle] <= ticks) low = middle;
        else high = middle;
    }
    int64_t length = w->knots_us[low + 1] - w->knots_us[low], width = w->ticks_before[low + 1] - w->ticks_before[low];
    return w->knots_us[low] + (int64_t)((unsigned __int128)length * (uint64_t)(ticks - w->ticks_before[low]) / width);
}

static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* --- pairing heaps: sim/delivery/heaps.py */

static inline int32_t meld(node *n, int32_t a, int32_t b) {
    if (a == NONE) return b;
    if (b == NONE) return a;
    if (n[b].time_us < n[a].time_us || (n[b].time_us == n[a].time_us && n[b].order < n[a].order)) {
        int32_t other = a;
        a = b, b = other;
    }
    n[b].sibling = n[a].child;
    n[a].child = b;
    return a;
}

static inline int32_t push(node *n, int32_t root, int32_t i, int64_t time_us, int64_t order) {
    n[i] = (node){time_us, order, NONE, NONE};
    return meld(n, root, i);
}

static inline int32_t pop(node *n, int32_t root) {
    int32_t left = n[root].child, pairs = NONE;
    while (left != NONE) {
        int32_t first = left, second = n[first].sibling;
        left = NONE;
        if (second != NONE) {
            left = n[second].sibling;
            first = meld(n, first, second);
        }
        n[first].sibling = pairs;
        pairs = first;
    }
    root = NONE;
    while (pairs != NONE) {
        int32_t following = n[pairs].sibling;
        root = meld(n, root, pairs);
        pairs = following;
    }
    return root;
}

/* --- places of messages and connections */

static int more_messages(queue *q) {
    int32_t before = q->messages, count = before ? 2 * before : 1024;
    message *ms = realloc(q->ms, count * sizeof *ms);
    if (ms) q->ms = ms;
    node *mn = realloc(q->mn, 3 * count * sizeof *mn);
    if (mn) q->mn = mn;
    if (!ms || !mn) return 0;
    for (int32_t i = before; i < count; i++) ms[i].next = i + 1 < count ? i + 1 : q->free_message;
    q->free_message = before, q->messages = count;
    return 1;
}

static int more_connections(queue *q) {
    int32_t before = q->connections, count = before ? 2 * before : 1024;
    connection *cs = realloc(q->cs, count * sizeof *cs);
    if (cs) q->cs = cs;
    node *cn = realloc(q->cn, 2 * count * sizeof *cn);
    if (cn) q->cn = cn;
    if (!cs || !cn) return 0;
    for (int32_t c = before; c < count; c++) cs[c].before = c + 1 < count ? c + 1 : q->free_connection;
    q->free_connection = before, q->connections = count;
    return 1;
}

static inline void release(queue *q, int32_t i) {
    message *m = q->ms + i;
    if (m->gone && m->opening == NONE && !m->in_oldest && !m->in_uncovered) {
        m->next = q->free_message;
        q->free_message = i;
    }
}

/* --- mail: sim/delivery/kernel_mail.py */

static inline void find_arrival(queue *q) {
    const world *w = q->w;
    int64_t word[4];
    q->arrival_us = FAR_US;
    if (!w->gap_ticks[q->d]) return;
    words(w, ARRIVAL, w->key[q->d], q->ordinal << NTH_BITS, word);
    q->arrival_ticks += most(1, scaled(w->gap_ticks[q->d], quantile(w->gap, w->gap_cells, word[0])));
    if (q->arrival_ticks < w->window_ticks) q->arrival_us = clock_us(w, q->arrival_ticks);
}

static inline void uncover(queue *q, int32_t i) {
    if (q->ms[i].in_uncovered) return;
    q->ms[i].in_uncovered = 1;
    q->uncovered = push(q->mn, q->uncovered, 3 * i + UNCOVERED, 0, q->ms[i].ordinal);
}

static inline void wait_in_queue(queue *q, int32_t i) {
    message *m = q->ms + i;
    m->waiting = 1;
    q->waiting++;
    if (!m->in_oldest) {
        m->in_oldest = 1;
        q->oldest = push(q->mn, q->oldest, 3 * i + OLDEST, 0, m->ordinal);
    }
    if (m->opening == NONE) uncover(q, i);
    q->touched = 1;
}

static inline void arrive(queue *q) {
    const world *w = q->w;
    int32_t i = q->free_message, step = 0;
    message *m = q->ms + i;
    int64_t word[4];
    q->free_message = m->next;
    words(w, MESSAGE, w->key[q->d], q->ordinal << NTH_BITS, word);
    memset(m, 0, sizeof *m);
    m->ordinal = q->ordinal++;
    m->arrival_us = q->arrival_us;
    m->size_bytes = quantile(w->size_bytes, w->size_cells, word[0]);
    while (step < w->recipient_steps && word[1] >= w->recipients_below[step]) step++;
    m->recipients = (int32_t)w->recipients[step];
    m->transient = word[2] < w->first_4yz[q->d];
    m->opening = NONE;
    q->totals[MESSAGES]++;
    find_arrival(q);
    wait_in_queue(q, i);
}

static inline int32_t oldest(queue *q) {
    while (q->oldest != NONE) {
        int32_t i = q->oldest / 3;
        if (q->ms[i].waiting) return i;
        q->ms[i].in_oldest = 0;
        q->oldest = pop(q->mn, q->oldest);
        release(q, i);
    }
    return NONE;
}

static inline int32_t oldest_uncovered(queue *q) {
    while (q->uncovered != NONE) {
        int32_t i = q->uncovered / 3;
        if (q->ms[i].waiting && q->ms[i].opening == NONE) return i;
        q->ms[i].in_uncovered = 0;
        q->uncovered = pop(q->mn, q->uncovered);
        release(q, i);
    }
    return NONE;
}

static inline void finish(queue *q, int32_t i, int total) {
    message *m = q->ms + i;
    q->totals[total]++;
    q->totals[VERDICTS] += m->verdicts;
    q->totals[DELAY_US] += q->now_us - m->arrival_us;
    q->totals[LAST_US] = most(q->totals[LAST_US], q->now_us);
    m->gone = 1;
    release(q, i);
}

static inline int has_lapsed(queue *q, message *m) { return q->now_us >= m->arrival_us + q->w->lifetime_us[q->d]; }

static inline void put_off(queue *q, int32_t i) {
    const world *w = q->w;
    message *m = q->ms + i;
    if (has_lapsed(q, m) || m->retries >= w->max_retries[q->d]) {
        finish(q, i, BOUNCED);
        return;
    }
    m->retries++;
    int64_t first = w->wait_start[q->d], wait = first + least(m->retries, w->wait_stop[q->d] - first) - 1;
    q->timers = push(q->mn, q->timers, 3 * i + TIMER, most(m->attempt_us + w->waits_us[wait], q->now_us), m->ordinal);
}

/* --- connections: sim/delivery/kernel_opening.py and kernel_queue.py */

static inline int64_t route_at(queue *q, int64_t turn_word) {
    const world *w = q->w;
    int64_t first = w->route_start[q->d], stop = first + 1, end = w->route_start[q->d + 1];
    while (stop < end && w->preference[stop] == w->preference[first]) stop++;
    return first + (turn_word * (stop - first) >> 32);
}

static inline int open_for(queue *q, int32_t i) {
    const world *w = q->w;
    if (q->free_connection == NONE && !more_connections(q)) return 0;
    int32_t c = q->free_connection;
    connection *to = q->cs + c;
    message *m = q->ms + i;
    int64_t word[4];
    q->free_connection = to->before;
    words(w, PASS, w->key[q->d], m->ordinal << NTH_BITS | m->openings, word);
    int64_t route = route_at(q, word[1]), host = w->host[route];
    *to = (connection){++q->opened, m->ordinal, q->now_us, NONE, i, (int32_t)route, NONE, 0, NONE, NONE, 0, 0};
    words(w, CONNECTION, w->key[q->d] ^ w->host_key[host], m->ordinal << NTH_BITS | m->openings, word);
    if (word[1] < w->fails_below[host]) return 0; /* hosts that fail are not this loop's */
    m->openings++;
    m->opening = c;
    q->openings++, q->live++;
    q->totals[CONNECTIONS]++;
    int64_t ends_us = q->now_us + w->dns_us + most(1, (5 + w->round_trips[host]) * w->rtt_us[host]);
    q->events = push(q->cn, q->events, 2 * c + STEP, ends_us, STEP_RANK | to->ordinal);
    return 1;
}

static inline void watch_idle(queue *q, int32_t c) {
    connection *to = q->cs + c;
    if (to->idle_timer) return;
    to->idle_timer = 1;
    q->events = push(q->cn, q->events, 2 * c + IDLE, to->idle_since_us + q->w->idle_us, IDLE_RANK | to->ordinal);
}

static inline void fall_idle(queue *q, int32_t c) {
    connection *to = q->cs + c;
    to->idle_since_us = q->now_us;
    to->before = q->idle_last;
    to->after = NONE;
    if (q->idle_last != NONE) q->cs[q->idle_last].after = c;
    q->idle_last = c;
    if (q->waiting) q->touched = 1;
    else watch_idle(q, c);
}

static inline void unlink_idle(queue *q, int32_t c) {
    int32_t before = q->cs[c].before, after = q->cs[c].after;
    if (before != NONE) q->cs[before].after = after;
    if (after != NONE) q->cs[after].before = before;
    else q->idle_last = before;
}

static inline void free_connection(queue *q, int32_t c) {
    q->cs[c].before = q->free_connection;
    q->free_connection = c;
}

static inline void close_connection(queue *q, int32_t c) {
    connection *to = q->cs + c;
    q->live--;
    q->totals[CARRIED] += to->carried;
    q->totals[LAST_US] = most(q->totals[LAST_US], q->now_us);
    to->gone = 1;
    to->idle_since_us = NONE;
    if (!to->idle_timer) free_connection(q, c);
    if (q->waiting) q->touched = 1;
}

static inline void start(queue *q, int32_t i, int32_t c) {
    const world *w = q->w;
    message *m = q->ms + i;
    connection *on = q->cs + c;
    int64_t host = w->host[on->route], takes_us, word[4];
    m->waiting = 0;
    q->waiting--;
    m->attempt_us = on->opener_ordinal == m->ordinal && !on->carried ? on->opened_us : q->now_us;
    m->verdicts++;
    if (m->transient && m->verdicts == 1) {
        takes_us = most(1, (1 + m->recipients) * w->rtt_us[host]);
    } else {
        words(w, VERDICT, w->key[q->d], m->ordinal << NTH_BITS | m->verdicts, word);
        takes_us = scaled(w->accept_us[host], quantile(w->accept, w->accept_cells, word[0]));
        takes_us += (3 + m->recipients) * w->rtt_us[host] + (m->size_bytes * w->us_per_mib[host] >> 20);
        takes_us = most(1, takes_us);
    }
    on->idle_since_us = NONE;
    on->message = i;
    q->events = push(q->cn, q->events, 2 * c + STEP, q->now_us + takes_us, VERDICT_RANK | on->ordinal);
}

static inline void connection_event(queue *q) {
    int32_t c = q->events / 2;
    int64_t rank = q->cn[q->events].order >> RANK_BITS;
    connection *on = q->cs + c;
    q->events = pop(q->cn, q->events);
    if (rank == IDLE_RANK >> RANK_BITS) {
        on->idle_timer = 0;
        if (on->gone) {
            free_connection(q, c);
        } else if (on->idle_since_us != NONE) {
            if (on->idle_since_us + q->w->idle_us > q->now_us) {
                watch_idle(q, c);
            } else {
                unlink_idle(q, c);
                close_connection(q, c);
            }
        }
        return;
    }
    if (rank == VERDICT_RANK >> RANK_BITS) {
        int32_t i = on->message;
        on->carried++;
        if (q->ms[i].transient && q->ms[i].verdicts == 1) {
            put_off(q, i);
        } else {
            finish(q, i, DELIVERED);
            if (q->waiting) q->touched = 1;
        }
    } else {
        message *m = q->ms + on->opener;
        q->openings--;
        if (m->opening == c) {
            m->opening = NONE;
            if (m->waiting) uncover(q, on->opener);
            release(q, on->opener);
        }
    }
    if (on->carried < q->w->max_messages[q->d]) fall_idle(q, c);
    else close_connection(q, c);
}

static inline int dispatch(queue *q) {
    q->touched = 0;
    while (q->idle_last != NONE && q->waiting) {
        int32_t i = oldest(q), c = q->idle_last;
        unlink_idle(q, c);
        start(q, i, c);
    }
    while (q->waiting > q->openings && q->live < q->w->connections[q->d]) {
        int32_t i = oldest_uncovered(q);
        if (i == NONE) break;
        if (!open_for(q, i)) return 0;
    }
    for (int32_t c = q->idle_last; c != NONE && q->cs[c].idle_since_us == q->now_us; c = q->cs[c].before)
        watch_idle(q, c);
    return 1;
}

static int run_destination(queue *q) {
    find_arrival(q);
    for (;;) {
        int64_t event_us = q->events == NONE ? FAR_US : q->cn[q->events].time_us;
        int64_t timer_us = q->timers == NONE ? FAR_US : q->mn[q->timers].time_us;
        int64_t now = least(q->arrival_us, least(event_us, timer_us));
        if (q->touched && now > q->now_us) {
            if (!dispatch(q)) return 0;
            continue;
        }
        if (now == FAR_US) return 1;
        q->now_us = now;
        if (event_us == now) {
            connection_event(q);
        } else if (timer_us == now) {
            int32_t i = q->timers / 3;
            q->timers = pop(q->mn, q->timers);
            if (has_lapsed(q, q->ms + i)) finish(q, i, BOUNCED);
            else wait_in_queue(q, i);
        } else {
            if (q->free_message == NONE && !more_messages(q)) return 0;
            arrive(q);
        }
    }
}

/* Run all destinations, one after another; return 0 where memory ends or a host fails. */
int run(const world *w, int64_t totals[8]) {
    queue q = {.w = w, .totals = totals, .free_message = NONE, .free_connection = NONE};
    int good = 1;
    memset(totals, 0, 8 * sizeof *totals);
    for (int64_t d = 0; good && d < w->destinations; d++) {
        q.d = d;
        q.now_us = q.arrival_ticks = q.ordinal = q.opened = 0;
        q.waiting = q.openings = q.live = q.touched = 0;
        q.oldest = q.uncovered = q.timers = q.events = q.idle_last = NONE;
        good = run_destination(&q);
    }
    free(q.ms), free(q.mn), free(q.cs), free(q.cn);
    return good;
}
