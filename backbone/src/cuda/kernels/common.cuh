// What all kernels share: the stored type, tiles in shared memory, products on tensor cores.
//
// Maps are NHWC with the channels padded to a multiple of 8 (CHANNEL_PAD in schedule.rs); what is padded is
// zero, in maps and in weights, so that every access to global memory is a vector. Sums are kept in 32 bits.
// Compiled once with 16-bit maps and once, with SANDGLASS_F32, with 32-bit ones, which use no tensor cores
// and exist for comparison.
//
// A thread block has 256 threads: 8 warps, of which each multiplies 16 rows (pixels) of a tile.

#ifdef SANDGLASS_F32
typedef float T;
#else
struct Half {
    unsigned short bits;
};
typedef Half T;
#endif

constexpr int THREADS = 256;
constexpr int WARP_ROWS = 16;
// Rows of a tile that is multiplied: pixels.
constexpr int ROWS = THREADS / 32 * WARP_ROWS;
// Channels that are loaded in one go.
constexpr int CHUNK = 32;
// Columns that one product makes, where they are cut into tiles: output channels.
constexpr int COLUMNS = 64;
// Behind each row in shared memory, so that the eight rows of a fragment lie in different banks.
constexpr int PAD = 8;

// Eight channels: what is copied in one go; 16 or 32 bytes.
struct alignas(16) Vector {
    T v[8];
};
// Four channels: what a thread computes of a depthwise convolution.
struct alignas(4 * sizeof(T)) Quad {
    T v[4];
};
struct alignas(2 * sizeof(T)) Pair {
    T v[2];
};

__device__ inline int least(int a, int b) { return a < b ? a : b; }
__device__ inline int greatest(int a, int b) { return a > b ? a : b; }
__device__ inline int round_up(int value, int to) { return (value + to - 1) / to * to; }

#ifdef SANDGLASS_F32
__device__ inline float wide(float value) { return value; }
__device__ inline float narrow(float value) { return value; }
#elif defined(SANDGLASS_EMULATED)
__device__ inline float wide(Half value) { return half_to_float(value.bits); }
__device__ inline Half narrow(float value) { return Half{float_to_half(value)}; }
#else
__device__ inline float wide(Half value) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}
__device__ inline Half narrow(float value) {
    Half result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}
#endif

// What follows a bias: ReLU6, or nothing.
__device__ inline float activate(float value, int relu6) {
    return relu6 ? fminf(fmaxf(value, 0.0f), 6.0f) : value;
}

// The memory that the threads of a block share, as large as the launch says.
#ifdef SANDGLASS_EMULATED
#define SHARED_MEMORY(name) unsigned char* name = emulated_shared()
#else
extern __shared__ __align__(16) unsigned char shared_memory[];
#define SHARED_MEMORY(name) unsigned char* name = shared_memory
#endif

// ---- Copies to shared memory -------------------------------------------------------------------------
// Asynchronous where the architecture can (sm_80): begin_copy, then commit_copies, and some other work later
// wait_copies<N>, after which all but the last N commits have arrived for this thread.

__device__ inline void begin_copy(Vector* to, const Vector* from, bool valid) {
#if defined(SANDGLASS_EMULATED)
    emulated_copy(to, valid ? from : nullptr, sizeof(Vector));
#elif __CUDA_ARCH__ >= 800
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = valid ? 16 : 0;
#pragma unroll
    for (int i = 0; i < (int)sizeof(Vector); i += 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address + i), "l"((const char*)from + i),
                     "r"(bytes)
                     : "memory");
    }
#else
    Vector zero = {};
    *to = valid ? *from : zero;
#endif
}

__device__ inline void commit_copies() {
#if defined(SANDGLASS_EMULATED)
    emulated_commit();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int LEFT> __device__ inline void wait_copies() {
#if defined(SANDGLASS_EMULATED)
    emulated_wait(LEFT);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}

// ---- Regions of maps ---------------------------------------------------------------------------------

// A map of one picture: rows, columns, channels (padded).
struct Map {
    const T* data;
    int height, width, channels;
};

// A rectangle of a map. It may reach beyond the edges.
struct Region {
    int top, left, height, width;
    __device__ int pixels() const { return height * width; }
};

// The output pixels that a thread block computes: tile `index` of those that cover height × width.
__device__ inline Region output_tile(int index, int height, int width, int tile_height, int tile_width) {
    int across = (width + tile_width - 1) / tile_width;
    int top = index / across * tile_height, left = index % across * tile_width;
    return Region{top, left, least(tile_height, height - top), least(tile_width, width - left)};
}

// What a 3×3 reads to compute `region`, padding included.
__device__ inline Region halo(Region region, int stride) {
    return Region{region.top * stride - 1, region.left * stride - 1, (region.height - 1) * stride + 3,
                  (region.width - 1) * stride + 3};
}

// The part of a region that is inside of height × width.
__device__ inline Region inside(Region region, int height, int width) {
    int top = greatest(region.top, 0), left = greatest(region.left, 0);
    return Region{top, left, least(region.top + region.height, height) - top,
                  least(region.left + region.width, width) - left};
}

// Begins to copy `channels` (a multiple of 8) channels of a region, from channel `first` on, into rows of
// `pitch`. What is outside of the map is zero.
__device__ inline void load_region(T* to, int pitch, Map map, Region region, int first, int channels) {
    int vectors = channels / 8, count = region.pixels() * vectors;
#pragma unroll 2
    for (int i = threadIdx.x; i < count; i += THREADS) {
        int pixel = i / vectors, channel = i % vectors * 8;
        int y = region.top + pixel / region.width, x = region.left + pixel % region.width;
        bool valid = y >= 0 && y < map.height && x >= 0 && x < map.width && first + channel < map.channels;
        const T* from = valid ? map.data + ((long long)y * map.width + x) * map.channels + first + channel : map.data;
        begin_copy((Vector*)(to + pixel * pitch + channel), (const Vector*)from, valid);
    }
}

// Begins to copy the rows first_row.. and columns first_column.. of a matrix of weights (both padded to 8).
// `rows` and `columns` may reach beyond it: zeros.
__device__ inline void load_weights(T* to, int pitch, const T* weights, int all_rows, int all_columns, int first_row,
                                    int rows, int first_column, int columns) {
    int vectors = columns / 8;
#pragma unroll 2
    for (int i = threadIdx.x; i < rows * vectors; i += THREADS) {
        int row = i / vectors, column = i % vectors * 8;
        bool valid = first_row + row < all_rows && first_column + column < all_columns;
        const T* from =
            valid ? weights + (long long)(first_row + row) * all_columns + first_column + column : weights;
        begin_copy((Vector*)(to + row * pitch + column), (const Vector*)from, valid);
    }
}

// ---- Depthwise 3×3 -----------------------------------------------------------------------------------

// Nine weights and the bias for four channels.
struct Taps {
    float weight[9][4];
    float bias[4];
};

// `weights`: nine rows of `channels` (padded), then the biases.
__device__ inline Taps load_taps(const float* weights, int channels, int channel) {
    Taps taps;
#pragma unroll
    for (int k = 0; k < 9; k++) {
        float4 row = *(const float4*)(weights + k * channels + channel);
        taps.weight[k][0] = row.x, taps.weight[k][1] = row.y, taps.weight[k][2] = row.z, taps.weight[k][3] = row.w;
    }
    float4 row = *(const float4*)(weights + 9 * channels + channel);
    taps.bias[0] = row.x, taps.bias[1] = row.y, taps.bias[2] = row.z, taps.bias[3] = row.w;
    return taps;
}

// Adds one tap.
__device__ inline void add_tap(float (&sum)[4], const Taps& taps, int k, Quad pixel) {
#pragma unroll
    for (int c = 0; c < 4; c++) sum[c] = fmaf(wide(pixel.v[c]), taps.weight[k][c], sum[c]);
}

// Depthwise of the pixels of `out` (in coordinates of the output) for the CHUNK channels that `from` holds of
// its halo, into rows of `to`, activated. Beyond the last of `channels` there is nothing: zeros.
__device__ inline void depthwise_to_rows(T* to, const T* from, Region out, int stride, const float* weights, int channels,
                                         int first, int relu6) {
    constexpr int QUADS = CHUNK / 4, PITCH = CHUNK + PAD;
    int channel = threadIdx.x % QUADS * 4, width = (out.width - 1) * stride + 3;
    bool valid = first + channel < channels;
    Taps taps = load_taps(weights, channels, valid ? first + channel : 0);
#pragma unroll 1
    for (int pixel = threadIdx.x / QUADS; pixel < out.pixels(); pixel += THREADS / QUADS) {
        int y = pixel / out.width * stride, x = pixel % out.width * stride;
        float sum[4];
#pragma unroll
        for (int c = 0; c < 4; c++) sum[c] = taps.bias[c];
#pragma unroll
        for (int k = 0; k < 9; k++) {
            add_tap(sum, taps, k, *(const Quad*)(from + ((y + k / 3) * width + x + k % 3) * PITCH + channel));
        }
        Quad result;
#pragma unroll
        for (int c = 0; c < 4; c++) result.v[c] = narrow(valid ? activate(sum[c], relu6) : 0.0f);
        *(Quad*)(to + pixel * PITCH + channel) = result;
    }
}

// Depthwise at row y, column x (of the output) from rows of `pitch` that hold the pixels of `held`, a part of a map
// of height × width, whose edges are padded with zeros.
__device__ inline void depthwise_held(float (&sum)[4], const Taps& taps, const T* from, int pitch, Region held, int height,
                                      int width, int y, int x, int stride) {
#pragma unroll
    for (int c = 0; c < 4; c++) sum[c] = taps.bias[c];
#pragma unroll
    for (int k = 0; k < 9; k++) {
        int from_y = y * stride - 1 + k / 3, from_x = x * stride - 1 + k % 3;
        if (from_y < 0 || from_y >= height || from_x < 0 || from_x >= width) continue;
        int row = (from_y - held.top) * held.width + from_x - held.left;
        add_tap(sum, taps, k, *(const Quad*)(from + row * pitch));
    }
}

// Depthwise of the pixels of `out` for the COLUMNS channels that the rows of `from` hold, one row a pixel of
// `held` (a part of a map of height × width), with its shortcut, to the map at `to`.
__device__ inline void depthwise_to_map(T* to, int out_width, Region out, const T* from, Region held, int height, int width,
                                        int stride, const float* weights, int channels, int first, int relu6,
                                        const T* shortcut, int shortcut_pitch, int shortcut_channels) {
    constexpr int QUADS = COLUMNS / 4, PITCH = COLUMNS + PAD;
    int channel = threadIdx.x % QUADS * 4;
    if (first + channel >= channels) return;
    Taps taps = load_taps(weights, channels, first + channel);
#pragma unroll 1
    for (int pixel = threadIdx.x / QUADS; pixel < out.pixels(); pixel += THREADS / QUADS) {
        int y = out.top + pixel / out.width, x = out.left + pixel % out.width;
        float sum[4];
        depthwise_held(sum, taps, from + channel, PITCH, held, height, width, y, x, stride);
        long long at = (long long)y * out_width + x;
        Quad result, other;
        bool add = shortcut && first + channel < shortcut_channels;
        if (add) other = *(const Quad*)(shortcut + at * shortcut_pitch + first + channel);
#pragma unroll
        for (int c = 0; c < 4; c++) {
            float value = activate(sum[c], relu6);
            if (add && first + channel + c < shortcut_channels) value += wide(other.v[c]);
            result.v[c] = narrow(value);
        }
        *(Quad*)(to + at * channels + first + channel) = result;
    }
}

// ---- Products ----------------------------------------------------------------------------------------
// Each warp keeps the sums of 16 rows × 8·N columns, spread over its lanes as the tensor cores have it: of
// part n lane l keeps row l / 4 (values 0 and 1) and row l / 4 + 8 (values 2 and 3), columns 8·n + l % 4 · 2 and
// the next.

template <int N> struct Sums {
    float v[N][4];
    __device__ void clear() {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) v[n][i] = 0.0f;
        }
    }
};

__device__ inline int lane() { return threadIdx.x % 32; }
__device__ inline int warp() { return threadIdx.x / 32; }
// Where value i of part n belongs.
__device__ inline int sum_row(int i) { return warp() * WARP_ROWS + lane() / 4 + i / 2 * 8; }
__device__ inline int sum_column(int n, int i) { return n * 8 + lane() % 4 * 2 + i % 2; }

#ifndef SANDGLASS_F32
// 16 × 16 by 16 × 8, on tensor cores. Fragments as PTX has them for mma.m16n8k16.
__device__ inline void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if defined(SANDGLASS_EMULATED)
    emulated_mma(sums, a, b0, b1);
#elif __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

// Four 8 × 8 matrices from shared memory, lane l giving the address of row l % 8 of matrix l / 8.
template <bool TRANSPOSED> __device__ inline void load_matrices(unsigned (&to)[4], const T* row) {
#if defined(SANDGLASS_EMULATED)
    emulated_ldmatrix(to, row, TRANSPOSED);
#else
    unsigned address = (unsigned)__cvta_generic_to_shared(row);
    if (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(address));
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(address));
    }
#endif
}
#endif

// Adds the product of the warp's 16 rows of `a` with `b`, over `depth` (a multiple of 16), to the sums. Both are in
// shared memory, rows first. N is even.
template <int N>
__device__ inline void add_product(Sums<N>& sums, const T* a, int a_pitch, const T* b, int b_pitch, int depth) {
#ifdef SANDGLASS_F32
#pragma unroll 1
    for (int k = 0; k < depth; k++) {
        float left[2];
#pragma unroll
        for (int i = 0; i < 2; i++) left[i] = a[(lane() / 4 + i * 8) * a_pitch + k];
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) sums.v[n][i] = fmaf(left[i / 2], b[k * b_pitch + sum_column(n, i)], sums.v[n][i]);
        }
    }
#else
    // Rows 0–7 and 8–15 of 8 columns, then of the next 8: the order of a left fragment. The same lanes name
    // rows 0–7 and 8–15 of 8 columns of the right side, then of the next 8: two right fragments.
    const T* left = a + lane() % 16 * a_pitch + lane() / 16 * 8;
    const T* right = b + lane() % 16 * b_pitch + lane() / 16 * 8;
    for (int k = 0; k < depth; k += 16) {
        unsigned rows[4];
        load_matrices<false>(rows, left + k);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            unsigned columns[4];
            load_matrices<true>(columns, right + k * b_pitch + n * 8);
            multiply(sums.v[n], rows, columns[0], columns[1]);
            multiply(sums.v[n + 1], rows, columns[2], columns[3]);
        }
    }
#endif
}

// Writes the warp's sums, biased and activated, into rows of shared memory.
template <int N>
__device__ inline void sums_to_rows(T* to, int pitch, const Sums<N>& sums, const float* bias, int first, int columns,
                                    int relu6) {
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            Pair pair;
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int column = first + sum_column(n, i + j);
                pair.v[j] = narrow(column < columns ? activate(sums.v[n][i + j] + bias[column], relu6) : 0.0f);
            }
            *(Pair*)(to + sum_row(i) * pitch + sum_column(n, i)) = pair;
        }
    }
}

// Where results of a product go: to a map, or, where `values` is set, to a result of the network, 32 bits and
// without padding.
struct Target {
    T* map;
    float* values;
    // Channels of the map, padded; those of the result.
    int pitch, channels;
    const T* shortcut;
    int shortcut_pitch, shortcut_channels, relu6;
    const float* bias;
};

// Writes one value pair at a pixel of the picture's map.
__device__ inline void write_pair(const Target& target, long long pixel, int column, float first, float second) {
    if (column >= target.pitch) return;
    float value[2] = {first, second};
#pragma unroll
    for (int j = 0; j < 2; j++) {
        value[j] = activate(value[j] + target.bias[column + j], target.relu6);
        if (column + j < target.shortcut_channels) {
            value[j] += wide(target.shortcut[pixel * target.shortcut_pitch + column + j]);
        }
    }
    if (target.values) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            if (column + j < target.channels) target.values[pixel * target.channels + column + j] = value[j];
        }
    } else {
        *(Pair*)(target.map + pixel * target.pitch + column) = Pair{{narrow(value[0]), narrow(value[1])}};
    }
}

// A load that sees what another thread block wrote during this kernel.
__device__ inline float load_fresh(const float* from) {
#ifdef SANDGLASS_EMULATED
    return *from;
#else
    float value;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(value) : "l"(from));
    return value;
#endif
}

// Where several thread blocks share the depth of one product: each leaves its sums in `partial`, and the one that
// comes last adds all up, in their order, so that the result is always the same. True for that one; the others
// are done. `tickets` counts who has come; it is left at 0. A warp that is not `busy` has no sums.
template <int N>
__device__ inline bool add_up(Sums<N>& sums, bool busy, float* partial, unsigned* tickets, int tile, int part, int parts) {
    __shared__ unsigned ticket;
    if (parts == 1) return true;
    constexpr int SIZE = N * 4 * THREADS;
    float* own = partial + ((long long)tile * parts + part) * SIZE + threadIdx.x;
    if (busy) {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) own[(n * 4 + i) * THREADS] = sums.v[n][i];
        }
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) ticket = atomicAdd(tickets + tile, 1u);
    __syncthreads();
    if (ticket != (unsigned)(parts - 1)) return false;
    __threadfence();
    if (threadIdx.x == 0) tickets[tile] = 0;
    sums.clear();
#pragma unroll 1
    for (int p = 0; p < parts && busy; p++) {
        const float* other = partial + ((long long)tile * parts + p) * SIZE + threadIdx.x;
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) sums.v[n][i] += load_fresh(other + (n * 4 + i) * THREADS);
        }
    }
    return true;
}
