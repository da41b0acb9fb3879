// Enough of CUDA to run a kernel on the CPU, one thread block after the other, each thread a fiber that runs until it has
// to wait for others. What a GPU would leave undefined is an error here:
//
//   - a barrier that not all threads of a block reach, or different ones: "divergent barrier";
//   - reading or writing outside of a buffer or of the shared memory: every buffer is an allocation of its own, for
//     the address sanitizer to watch; vectors that are not aligned: the undefined behaviour sanitizer;
//   - shared memory that is read before it is written: it begins as NaN;
//   - a copy to shared memory that is not waited for: it is made when it is waited for, not before;
//   - a missing barrier: threads run in an order that the caller chooses (forward, backward, shuffled), and results
//     must not depend on it.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#define SANDGLASS_EMULATED
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct Index {
    unsigned x, y, z;
};
extern Index threadIdx, blockIdx, gridDim;

// ---- 16-bit floating point ---------------------------------------------------------------------------

inline float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000 | fraction << 13;
    } else if (exponent == 0) {
        float value = (float)fraction * 0x1p-24f;
        memcpy(&bits, &value, 4);
        bits |= sign;
    } else {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    }
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// To the nearest, ties to even.
inline uint16_t float_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint16_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7fff;
    if (bits >= 0x47800000) return sign | 0x7c00;
    if (bits < 0x38800000) {
        float magnitude;
        memcpy(&magnitude, &bits, 4);
        return sign | (uint16_t)std::nearbyint(magnitude * 0x1p24f);
    }
    uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)((rounded - 0x38000000) >> 13);
}

// ---- Fibers ------------------------------------------------------------------------------------------

enum class Waiting { No, Block, Warp, Done };

struct Fiber {
    void* stack_pointer = nullptr;
    char* stack = nullptr;
    Waiting waiting = Waiting::No;
    int site = 0;
    // Copies to shared memory that have begun, by group.
    struct Copy {
        void* to;
        const void* from;
        size_t size;
    };
    std::vector<std::vector<Copy>> copies;
};

struct Warp {
    // What each lane hands to the others; two sets, so that a fast lane does not overwrite what a slow one reads.
    uint64_t given[2][32][6];
    int turn[32];
    int arrived;
};

[[noreturn]] inline void fail(const char* what) {
    fprintf(stderr, "%s: block %u %u %u, thread %u\n", what, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x);
    exit(3);
}

void emulated_block_barrier(int site);
// Hands six values to the other lanes of the warp, and waits until all have. The values of all lanes.
const uint64_t (*emulated_exchange(const uint64_t (&values)[6], int site))[6];
unsigned char* emulated_shared();
Fiber& emulated_thread();

#define __syncthreads() emulated_block_barrier(__LINE__)
inline void __threadfence() {}

// The four bytes that the digits of `selector` name, of the eight of low and high.
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    uint64_t both = (uint64_t)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)(both >> (selector >> i * 4 & 7) * 8 & 255) << i * 8;
    return result;
}

inline unsigned atomicAdd(unsigned* to, unsigned value) {
    unsigned before = *to;
    *to += value;
    return before;
}

// ---- Copies to shared memory -------------------------------------------------------------------------

inline void emulated_copy(void* to, const void* from, size_t size) {
    auto& copies = emulated_thread().copies;
    if (copies.empty()) copies.emplace_back();
    copies.back().push_back({to, from, size});
}

inline void emulated_commit() { emulated_thread().copies.emplace_back(); }

inline void emulated_wait(size_t left) {
    auto& copies = emulated_thread().copies;
    // The last group is the one that is not committed yet.
    while (copies.size() > left + 1) {
        for (auto& copy : copies.front()) {
            if (copy.from) memcpy(copy.to, copy.from, copy.size);
            else memset(copy.to, 0, copy.size);
        }
        copies.erase(copies.begin());
    }
}

// ---- Tensor cores ------------------------------------------------------------------------------------
// As the PTX manual has the fragments (9.7.14, "Matrix multiply-accumulate").

inline float half_of(uint64_t pair, int index) { return half_to_float((uint16_t)(pair >> index * 16)); }

// mma.m16n8k16: of A, lane l has rows l / 4 and + 8, columns l % 4 · 2 and + 1, then + 8 of both.
inline void emulated_mma(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    auto all = emulated_exchange({a[0], a[1], a[2], a[3], b0, b1}, -1);
    int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            float left = half_of(all[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2);
            float right = half_of(all[column * 4 + k % 8 / 2][4 + k / 8], k % 2);
            sums[i] += left * right;
        }
    }
}

// mma.m16n8k32 of bytes without a sign by bytes with one: of A, lane l has rows l / 4 and + 8, columns l % 4 · 4 and the
// next three, then + 16 of both.
inline void emulated_mma(int (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    auto all = emulated_exchange({a[0], a[1], a[2], a[3], b0, b1}, -3);
    int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 32; k++) {
            auto left = all[row % 8 * 4 + k % 16 / 4][row / 8 + k / 16 * 2] >> k % 4 * 8;
            auto right = all[column * 4 + k % 16 / 4][4 + k / 16] >> k % 4 * 8;
            sums[i] += (int)(uint8_t)left * (int8_t)right;
        }
    }
}

// ldmatrix.m8n8.x4: lane l gives row l % 8 of matrix l / 8 and gets, of each, row l / 4, columns l % 4 · 2 and + 1; or,
// transposed, column l / 4, rows l % 4 · 2 and + 1.
inline void emulated_ldmatrix(unsigned (&to)[4], const void* row, bool transposed) {
    if ((uintptr_t)row % 16 != 0) fail("ldmatrix of a row that is not aligned");
    auto all = emulated_exchange({(uint64_t)(uintptr_t)row}, -2);
    int lane = threadIdx.x % 32;
    for (int m = 0; m < 4; m++) {
        to[m] = 0;
        for (int j = 0; j < 2; j++) {
            int other = lane % 4 * 2 + j;
            auto from = (const uint16_t*)(uintptr_t)all[m * 8 + (transposed ? other : lane / 4)][0];
            to[m] |= (unsigned)from[transposed ? lane / 4 : other] << j * 16;
        }
    }
}
