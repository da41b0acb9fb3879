// Runs the launches that come on standard input, and writes buffers to standard output; see mod.rs for the format.
// The kernels are put before this text.

Index threadIdx, blockIdx, gridDim;

namespace {

constexpr size_t STACK = 256 * 1024;

std::vector<Fiber> fibers(THREADS);
std::vector<Warp> warps(THREADS / 32);
std::vector<unsigned> order(THREADS);
int current = 0, arrived = 0;
void* scheduler = nullptr;
unsigned char* shared_bytes = nullptr;

// A kernel with its arguments.
struct Call {
    void (*run)(void* kernel, const uint64_t* arguments);
    void* kernel;
    const uint64_t* arguments;
} call;

}  // namespace

#if !defined(__x86_64__)
#error "the emulation switches between fibers on x86-64 alone"
#endif
// Saves what a function has to keep, and goes on where another stack was left.
extern "C" void switch_stack(void** from, void* to);
asm(R"(
.text
.globl switch_stack
switch_stack:
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
)");

static void pause() { switch_stack(&fibers[current].stack_pointer, scheduler); }

static void thread_main() {
    call.run(call.kernel, call.arguments);
    fibers[current].waiting = Waiting::Done;
    pause();
}

Fiber& emulated_thread() { return fibers[current]; }
unsigned char* emulated_shared() { return shared_bytes; }

static void wait(Waiting waiting, int site, int first, int count, int& arrived) {
    Fiber& own = fibers[current];
    own.waiting = waiting, own.site = site;
    if (++arrived == count) {
        arrived = 0;
        for (int i = first; i < first + count; i++) {
            if (fibers[i].waiting != waiting || fibers[i].site != site) fail("divergent barrier");
            fibers[i].waiting = Waiting::No;
        }
        return;
    }
    pause();
}

void emulated_block_barrier(int site) { wait(Waiting::Block, site, 0, THREADS, arrived); }

const uint64_t (*emulated_exchange(const uint64_t (&values)[6], int site))[6] {
    int lane = current % 32;
    Warp& own = warps[current / 32];
    int turn = own.turn[lane] ^= 1;
    memcpy(own.given[turn][lane], values, sizeof values);
    wait(Waiting::Warp, site, current / 32 * 32, 32, own.arrived);
    return own.given[turn];
}

static void run_block() {
    for (Warp& warp : warps) memset(&warp, 0, sizeof warp);
    arrived = 0;
    for (Fiber& fiber : fibers) {
        fiber.waiting = Waiting::No;
        fiber.copies.clear();
        auto top = (uint64_t*)(fiber.stack + STACK);
        *--top = 0;
        *--top = (uint64_t)(uintptr_t)&thread_main;
        top -= 6;
        memset(top, 0, 6 * sizeof *top);
        fiber.stack_pointer = top;
    }
    for (size_t done = 0; done < fibers.size();) {
        bool any = false;
        for (unsigned index : order) {
            if (fibers[index].waiting != Waiting::No) continue;
            any = true;
            current = index;
            threadIdx = {index, 0, 0};
            switch_stack(&scheduler, fibers[index].stack_pointer);
            done += fibers[index].waiting == Waiting::Done;
        }
        if (!any && done < fibers.size()) fail("divergent barrier: some threads wait, and others are gone");
    }
}

template <class Value> static Value slot(uint64_t bits) {
    Value value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class... A, size_t... I>
static void apply(void (*kernel)(A...), const uint64_t* arguments, std::index_sequence<I...>) {
    kernel(slot<A>(arguments[I])...);
}

template <class... A> static void run_with(void* kernel, const uint64_t* arguments) {
    apply((void (*)(A...))kernel, arguments, std::index_sequence_for<A...>{});
}

struct Kernel {
    const char* name;
    void* address;
    void (*run)(void*, const uint64_t*);
    size_t arguments;
};

template <class... A> static Kernel entry(const char* name, void (*kernel)(A...)) {
    return {name, (void*)kernel, run_with<A...>, sizeof...(A)};
}

static const Kernel KERNELS[] = {
#define KERNEL(name) entry(#name, name),
#include "kernels.inc"
};

template <class Value> static Value read() {
    Value value;
    if (fread(&value, sizeof value, 1, stdin) != 1) fail("the program ends early");
    return value;
}

int main(int count, char** options) {
    for (unsigned i = 0; i < THREADS; i++) order[i] = i;
    std::string named = count > 1 ? options[1] : "forward";
    if (named == "backward") {
        for (unsigned i = 0; i < THREADS; i++) order[i] = THREADS - 1 - i;
    } else if (named == "shuffled") {
        for (unsigned i = THREADS - 1; i > 0; i--) std::swap(order[i], order[i * 2654435761u % (i + 1)]);
    }
    for (Fiber& fiber : fibers) fiber.stack = (char*)aligned_alloc(64, STACK);

    std::vector<std::pair<unsigned char*, uint64_t>> buffers(read<uint32_t>());
    for (auto& buffer : buffers) {
        buffer.second = read<uint64_t>();
        // Not a byte more, so that reading beyond is seen.
        buffer.first = (unsigned char*)malloc(buffer.second);
        memset(buffer.first, 0xff, buffer.second);
        uint64_t given = read<uint64_t>();
        if (fread(buffer.first, 1, given, stdin) != given) fail("a buffer ends early");
    }
    for (uint32_t launches = read<uint32_t>(); launches > 0; launches--) {
        std::string name(read<uint32_t>(), ' ');
        if (fread(&name[0], 1, name.size(), stdin) != name.size()) fail("a name ends early");
        gridDim.x = read<uint32_t>(), gridDim.y = read<uint32_t>(), gridDim.z = read<uint32_t>();
        uint32_t shared = read<uint32_t>();
        std::vector<uint64_t> arguments(read<uint32_t>());
        for (auto& argument : arguments) {
            uint32_t kind = read<uint32_t>();
            argument = read<uint64_t>();
            if (kind == 1) argument = (uint64_t)(uintptr_t)buffers.at(argument).first;
        }
        const Kernel* kernel = nullptr;
        for (const Kernel& each : KERNELS) {
            if (name == each.name) kernel = &each;
        }
        if (!kernel) fail(("no kernel is called " + name).c_str());
        if (kernel->arguments != arguments.size()) fail(("another number of arguments for " + name).c_str());
        call = {kernel->run, kernel->address, arguments.data()};
        shared_bytes = (unsigned char*)malloc(shared);
        for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++) {
            for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++) {
                for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
                    memset(shared_bytes, 0xff, shared);
                    run_block();
                }
            }
        }
        free(shared_bytes);
    }
    for (uint32_t left = read<uint32_t>(); left > 0; left--) {
        auto& buffer = buffers.at(read<uint32_t>());
        fwrite(buffer.first, 1, buffer.second, stdout);
    }
    return 0;
}
