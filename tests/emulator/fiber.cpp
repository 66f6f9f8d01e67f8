/* Threads of a block as fibers: each runs until it meets a barrier or a shuffle, then another one that can go
 * on is drawn at random. A barrier left out, or one that only part of a block reaches, shows as wrong numbers
 * or as the abort below.
 *
 * Switching is ten instructions on x86-64 and swapcontext elsewhere; fibers and their stacks are made once
 * and kept. AddressSanitizer is told about every switch. */
#include "emulator.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#ifndef __x86_64__
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

namespace
{

constexpr unsigned warp_size = 32;
constexpr size_t stack_bytes = 256 << 10;

/* --------------------------------------------------------------------------------- switching */

struct context {
#ifdef __x86_64__
    void *stack_pointer = nullptr;
#else
    ucontext_t registers;
#endif
    void *fake_stack = nullptr; /* AddressSanitizer's */
    const void *stack = nullptr;
    size_t n_stack = 0;
};

#ifdef __x86_64__
extern "C" void am_switch_stacks(void **save, void *load);
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
#endif

void switch_to(context &from, context &to)
{
#ifdef AM_WITH_ASAN
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.n_stack);
#endif
#ifdef __x86_64__
    am_switch_stacks(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.registers, &to.registers);
#endif
#ifdef AM_WITH_ASAN
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

/* ------------------------------------------------------------------------------------ fibers */

enum class state { ready, at_barrier, at_exchange, ended };

struct fiber {
    context self;
    std::unique_ptr<char[]> memory{new char[stack_bytes]};
    am_emulated_position position;
    unsigned number = 0, lane = 0, warp = 0, n_exchanges = 0;
    state now = state::ended;
};

struct warp {
    uint64_t value[2][warp_size];
    unsigned n_arrived = 0, n_lanes = 0;
};

std::vector<std::unique_ptr<fiber>> fibers;
std::vector<warp> warps;
std::vector<fiber *> ready;
context scheduler;
fiber *current = nullptr;
const std::function<void()> *work = nullptr;
unsigned n_at_barrier = 0, n_threads = 0;

void run_for_ever()
{
#ifdef AM_WITH_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack, &scheduler.n_stack);
#endif
    for (;;) {
        (*work)();
        current->now = state::ended;
        switch_to(current->self, scheduler);
    }
}

std::unique_ptr<fiber> new_fiber()
{
    auto f = std::make_unique<fiber>();
    f->self.stack = f->memory.get();
    f->self.n_stack = stack_bytes;
#ifdef __x86_64__
    auto top = (uintptr_t)(f->memory.get() + stack_bytes) & ~(uintptr_t)15;
    auto *slot = (void **)top;
    *--slot = nullptr;               /* where run_for_ever would return to: keeps the stack 16-byte aligned */
    *--slot = (void *)&run_for_ever; /* popped by ret */
    for (int i = 0; i < 6; i++) *--slot = nullptr;
    f->self.stack_pointer = slot;
#else
    getcontext(&f->self.registers);
    f->self.registers.uc_stack.ss_sp = f->memory.get();
    f->self.registers.uc_stack.ss_size = stack_bytes;
    f->self.registers.uc_link = nullptr;
    makecontext(&f->self.registers, run_for_ever, 0);
#endif
    return f;
}

/* Give the processor back; whoever releases us puts us among the ready. */
void wait(state why)
{
    current->now = why;
    fiber *const self = current;
    switch_to(self->self, scheduler);
}

void release(fiber *f)
{
    f->now = state::ready;
    ready.push_back(f);
}

[[noreturn]] void stuck(const char *kernel)
{
    unsigned at_barrier = 0, at_exchange = 0, ended = 0;
    for (unsigned i = 0; i < n_threads; i++) {
        at_barrier += fibers[i]->now == state::at_barrier;
        at_exchange += fibers[i]->now == state::at_exchange;
        ended += fibers[i]->now == state::ended;
    }
    std::fprintf(stderr,
                 "emulator: kernel %s is stuck: of %u threads %u wait at __syncthreads, %u in a shuffle, %u "
                 "have ended\n",
                 kernel, n_threads, at_barrier, at_exchange, ended);
    std::abort();
}

void start_block(const am_emulated_position &position)
{
    const dim3 size = position.block_size;
    n_threads = size.x * size.y * size.z;
    n_at_barrier = 0;
    while (fibers.size() < n_threads) fibers.push_back(new_fiber());
    warps.assign((n_threads + warp_size - 1) / warp_size, warp());
    ready.clear();
    for (unsigned i = 0; i < n_threads; i++) {
        fiber *f = fibers[i].get();
        f->position = position;
        f->position.thread = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        f->number = i;
        f->lane = i % warp_size;
        f->warp = i / warp_size;
        f->n_exchanges = 0;
        warps[f->warp].n_lanes++;
        release(f);
    }
}

} // namespace

am_emulated_position *am_emulated_now = nullptr;

void am_emulated_barrier()
{
    if (++n_at_barrier < n_threads) {
        wait(state::at_barrier);
        return;
    }
    n_at_barrier = 0;
    for (unsigned i = 0; i < n_threads; i++)
        if (fibers[i].get() != current) release(fibers[i].get());
    release(current); /* the last to arrive has no head start */
    wait(state::ready);
}

int am_emulated_lane()
{
    return (int)current->lane;
}

uint64_t am_emulated_exchange(uint64_t value, int from)
{
    fiber *const self = current;
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
            if (fibers[i].get() != self) release(fibers[i].get());
    }
    return from >= 0 && from < (int)w.n_lanes ? values[from] : value;
}

void am_fiber_run_block(const char *kernel, const am_emulated_position &position,
                        const std::function<void()> &call)
{
    start_block(position);
    work = &call;
    unsigned n_ended = 0;
    while (n_ended < n_threads) {
        if (ready.empty()) stuck(kernel);
        const size_t i = (size_t)(am_emulator_random() % ready.size());
        current = ready[i];
        ready[i] = ready.back();
        ready.pop_back();
        am_emulated_now = &current->position;
        switch_to(scheduler, current->self);
        n_ended += current->now == state::ended;
    }
    current = nullptr;
    am_emulated_now = nullptr;
}
