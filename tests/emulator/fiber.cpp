/* Threads of a block: each runs until it meets a barrier or a shuffle, then another one that can go on is drawn
 * at random. A barrier left out, or one that only part of a block reaches, shows as wrong numbers or as the
 * abort below.
 *
 * A stack of its own, a fiber, is what a thread needs while it waits. A thread that ends leaves its fiber to
 * the next one that has not begun, so that a kernel without barriers is a loop over threads on one fiber.
 * Switching is ten instructions on x86-64, fourteen on AArch64 and swapcontext elsewhere; fibers are made once
 * and kept. AddressSanitizer is told about every switch. */
#include "emulator.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#if defined(__x86_64__) || defined(__aarch64__)
#define AM_OWN_SWITCH 1
#else
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define AM_WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AM_WITH_ASAN 1
#endif
#endif
#ifdef AM_WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

am_emulated_position *am_emulated_now = nullptr;

namespace
{

constexpr unsigned warp_size = 32;
constexpr size_t stack_bytes = 256 << 10;

/* --------------------------------------------------------------------------------- switching */

struct context {
#ifdef AM_OWN_SWITCH
    void *stack_pointer = nullptr;
#else
    ucontext_t registers;
#endif
    void *fake_stack = nullptr; /* AddressSanitizer's */
    const void *stack = nullptr;
    size_t n_stack = 0;
};

/* Push the registers that a call must keep, leave the stack pointer in *save, take the other one, pop, return. */
#ifdef AM_OWN_SWITCH
extern "C" void am_switch_stacks(void **save, void *load);
#endif
#if defined(__x86_64__)
constexpr int n_kept = 6, at_return = 6; /* words below the return address; where that lies */
asm(R"(
.text
.type am_switch_stacks, @function
am_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size am_switch_stacks, . - am_switch_stacks
)");
#elif defined(__aarch64__)
constexpr int n_kept = 20, at_return = 11;
asm(R"(
.text
.type am_switch_stacks, %function
am_switch_stacks:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size am_switch_stacks, . - am_switch_stacks
)");
#endif

void switch_to(context &from, context &to)
{
#ifdef AM_WITH_ASAN
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.n_stack);
#endif
#ifdef AM_OWN_SWITCH
    am_switch_stacks(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.registers, &to.registers);
#endif
#ifdef AM_WITH_ASAN
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

/* ------------------------------------------------------------------------------------ fibers */

struct fiber {
    context self;
    std::unique_ptr<char[]> memory{new char[stack_bytes]};
};

enum class state { fresh, ready, at_barrier, at_exchange, ended };

struct thread {
    am_emulated_position position;
    unsigned number, lane, warp, n_exchanges;
    state now;
    fiber *on; /* where it waits; fresh ones have none */
};

struct warp {
    uint64_t value[2][warp_size];
    unsigned n_arrived = 0, n_lanes = 0;
};

std::vector<std::unique_ptr<fiber>> fibers;
std::vector<fiber *> idle;
std::vector<thread> threads;
std::vector<warp> warps;
std::vector<thread *> able; /* to run, fresh or ready */
context scheduler;
fiber *running = nullptr; /* NULL: the scheduler */
thread *current = nullptr;
const std::function<void()> *work = nullptr;
unsigned n_at_barrier = 0;

void run_threads();

std::unique_ptr<fiber> new_fiber()
{
    auto f = std::make_unique<fiber>();
    f->self.stack = f->memory.get();
    f->self.n_stack = stack_bytes;
#ifdef AM_OWN_SWITCH
    /* As am_switch_stacks would have left it: the kept registers, and where it returns to. One more word keeps
     * the stack 16-byte aligned as a call would. */
    const size_t shift =
        fibers.size() % 64 * 448; /* else all stacks would meet in the same few sets of the cache */
    auto *top = (void **)((uintptr_t)(f->memory.get() + stack_bytes - shift) & ~(uintptr_t)15);
    void **const kept = top - (n_kept + 2) / 2 * 2;
    for (void **word = kept; word < top; word++) *word = nullptr;
    kept[at_return] = (void *)&run_threads;
    f->self.stack_pointer = kept;
#else
    getcontext(&f->self.registers);
    f->self.registers.uc_stack.ss_sp = f->memory.get();
    f->self.registers.uc_stack.ss_size = stack_bytes;
    f->self.registers.uc_link = nullptr;
    makecontext(&f->self.registers, run_threads, 0);
#endif
    return f;
}

fiber *idle_fiber()
{
    if (idle.empty()) {
        fibers.push_back(new_fiber());
        return fibers.back().get();
    }
    fiber *f = idle.back();
    idle.pop_back();
    return f;
}

thread *draw()
{
    const size_t i = (size_t)(am_emulator_random() % able.size());
    thread *const t = able[i];
    able[i] = able.back();
    able.pop_back();
    return t;
}

/* The one that runs from now on is t, wherever it waits or, if it is fresh, on an idle fiber. */
void go_to(thread *t)
{
    fiber *const from = running;
    running = t->on ? t->on : idle_fiber();
    current = t;
    am_emulated_now = &t->position;
    switch_to(from ? from->self : scheduler, running->self);
}

void leave_to_scheduler()
{
    fiber *const from = running;
    running = nullptr;
    switch_to(from->self, scheduler);
}

/* What a fiber does for ever: run the current thread, which is fresh, and the next fresh ones; give way to those that
 * wait elsewhere, to come back when a fresh thread needs a fiber. */
void run_threads()
{
#ifdef AM_WITH_ASAN
    if (!scheduler.stack)
        __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack, &scheduler.n_stack);
    else
        __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    for (;;) {
        (*work)();
        current->now = state::ended;
        thread *const next = able.empty() ? nullptr : draw();
        if (next && !next->on) {
            current = next;
            am_emulated_now = &next->position;
            continue;
        }
        idle.push_back(running);
        if (next)
            go_to(next);
        else
            leave_to_scheduler();
    }
}

/* Give the processor to another thread; whoever releases us puts us among the able. */
void wait(state why)
{
    current->now = why;
    current->on = running;
    if (able.empty()) {
        leave_to_scheduler(); /* for good: nobody can release us */
        return;
    }
    thread *const next = draw();
    if (next == current) return;
    go_to(next);
}

void release(thread *t)
{
    t->now = state::ready;
    able.push_back(t);
}

[[noreturn]] void stuck(const char *kernel)
{
    unsigned at_barrier = 0, at_exchange = 0, ended = 0;
    for (const thread &t : threads) {
        at_barrier += t.now == state::at_barrier;
        at_exchange += t.now == state::at_exchange;
        ended += t.now == state::ended;
    }
    std::fprintf(stderr,
                 "emulator: kernel %s is stuck: of %zu threads %u wait at __syncthreads, %u in a shuffle, %u "
                 "have ended\n",
                 kernel, threads.size(), at_barrier, at_exchange, ended);
    std::abort();
}

void start_block(const am_emulated_position &position)
{
    const dim3 size = position.block_size;
    const unsigned n = size.x * size.y * size.z;
    n_at_barrier = 0;
    threads.resize(n);
    warps.resize((n + warp_size - 1) / warp_size);
    for (warp &w : warps) w.n_arrived = w.n_lanes = 0;
    able.clear();
    for (unsigned i = 0; i < n; i++) {
        thread &t = threads[i];
        t.position = position;
        t.position.thread = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        t.number = i;
        t.lane = i % warp_size;
        t.warp = i / warp_size;
        t.n_exchanges = 0;
        t.now = state::fresh;
        t.on = nullptr;
        warps[t.warp].n_lanes++;
        able.push_back(&t);
    }
}

} // namespace

void am_emulated_barrier()
{
    if (++n_at_barrier < threads.size()) {
        wait(state::at_barrier);
        return;
    }
    n_at_barrier = 0;
    for (thread &t : threads) /* the last to arrive has no head start */
        release(&t);
    wait(state::ready);
}

int am_emulated_lane()
{
    return (int)current->lane;
}

uint64_t am_emulated_exchange(uint64_t value, int from)
{
    thread *const self = current;
    warp &w = warps[self->warp];
    /* Two sets of values in turn: a lane that is one exchange ahead does not overwrite what others still
     * read. */
    uint64_t *const values = w.value[self->n_exchanges++ % 2];
    values[self->lane] = value;
    if (++w.n_arrived < w.n_lanes) {
        wait(state::at_exchange);
    } else {
        w.n_arrived = 0;
        for (unsigned i = self->warp * warp_size; i < self->warp * warp_size + w.n_lanes; i++)
            if (&threads[i] != self) release(&threads[i]);
    }
    return from >= 0 && from < (int)w.n_lanes ? values[from] : value;
}

void am_fiber_run_block(const char *kernel, const am_emulated_position &position,
                        const std::function<void()> &call)
{
    start_block(position);
    work = &call;
    go_to(draw());
    for (const thread &t : threads)
        if (t.now != state::ended) stuck(kernel);
    current = nullptr;
    am_emulated_now = nullptr;
}
