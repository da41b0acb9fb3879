// What all kernels share: the stored type, copies to shared memory, parts of maps, sums.
//
// Maps are NHWC with the channels padded to a whole VECTOR (see schedule.rs); what is padded is zero, in weights and
// so in maps, so that every access to global memory is a vector. Sums are kept in 32 bits.
//
// Compiled three times: with 16-bit maps; with SANDGLASS_F32 with 32-bit ones, which use no tensor cores and exist for
// comparison; with SANDGLASS_INT8 with bytes, whose sums are integers. What differs is in float.cuh and int8.cuh, which
// have the same names.
//
// A thread block has 256 threads: 8 warps, of which each multiplies 16 rows (pixels) of a tile.

#if defined(SANDGLASS_INT8)
typedef unsigned char T;
typedef int Sum;
#elif defined(SANDGLASS_F32)
typedef float T;
typedef float Sum;
#else
struct Half {
    unsigned short bits;
};
typedef Half T;
typedef float Sum;
#endif

constexpr int THREADS = 256;
constexpr int WARP_ROWS = 16;
// Rows of a tile that is multiplied: pixels.
constexpr int ROWS = THREADS / 32 * WARP_ROWS;
// Columns that one product makes, where they are cut into tiles: output channels.
constexpr int COLUMNS = 64;
// CHUNK: channels that are loaded in one go. VECTOR: channels that are copied in one go. PAD: channels behind each row
// in shared memory, so that the eight rows of a fragment lie in different banks.
#ifdef SANDGLASS_INT8
constexpr int CHUNK = 64, VECTOR = 16, PAD = 16;
#else
constexpr int CHUNK = 32, VECTOR = 8, PAD = 8;
#endif

// 16 bytes, or 32 of 32-bit maps.
struct alignas(16) Vector {
    T v[VECTOR];
};

__device__ inline int least(int a, int b) { return a < b ? a : b; }
__device__ inline int greatest(int a, int b) { return a > b ? a : b; }
__device__ inline int round_up(int value, int to) { return (value + to - 1) / to * to; }

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
    // What lies around it, as a word of values; zero in float.
    unsigned outside;
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

// Begins to copy `channels` (whole vectors) channels of a region, from channel `first` on, into rows of `pitch`. What is
// outside of the map is what lies around it.
__device__ inline void load_region(T* to, int pitch, Map map, Region region, int first, int channels) {
    int vectors = channels / VECTOR, count = region.pixels() * vectors;
#pragma unroll 2
    for (int i = threadIdx.x; i < count; i += THREADS) {
        int pixel = i / vectors, channel = i % vectors * VECTOR;
        int y = region.top + pixel / region.width, x = region.left + pixel % region.width;
        bool valid = y >= 0 && y < map.height && x >= 0 && x < map.width && first + channel < map.channels;
        const T* from = valid ? map.data + ((long long)y * map.width + x) * map.channels + first + channel : map.data;
        Vector* target = (Vector*)(to + pixel * pitch + channel);
        if (map.outside && !valid) {
            *(uint4*)target = uint4{map.outside, map.outside, map.outside, map.outside};
        } else {
            begin_copy(target, (const Vector*)from, valid);
        }
    }
}

// Begins to copy the rows first_row.. and columns first_column.. of a matrix (both padded to whole vectors).
// `rows` and `columns` may reach beyond it: zeros.
__device__ inline void load_matrix(T* to, int pitch, const T* matrix, int all_rows, int all_columns, int first_row,
                                    int rows, int first_column, int columns) {
    int vectors = columns / VECTOR;
#pragma unroll 2
    for (int i = threadIdx.x; i < rows * vectors; i += THREADS) {
        int row = i / vectors, column = i % vectors * VECTOR;
        bool valid = first_row + row < all_rows && first_column + column < all_columns;
        const T* from =
            valid ? matrix + (long long)(first_row + row) * all_columns + first_column + column : matrix;
        begin_copy((Vector*)(to + row * pitch + column), (const Vector*)from, valid);
    }
}

// ---- Sums --------------------------------------------------------------------------------------------
// Each warp keeps the sums of 16 rows × 8·N columns, spread over its lanes as the tensor cores have it: of
// part n lane l keeps row l / 4 (values 0 and 1) and row l / 4 + 8 (values 2 and 3), columns 8·n + l % 4 · 2 and
// the next.

template <int N> struct Sums {
    Sum v[N][4];
    __device__ void clear() {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) v[n][i] = 0;
        }
    }
};

__device__ inline int lane() { return threadIdx.x % 32; }
__device__ inline int warp() { return threadIdx.x / 32; }
// Where value i of part n belongs.
__device__ inline int sum_row(int i) { return warp() * WARP_ROWS + lane() / 4 + i / 2 * 8; }
__device__ inline int sum_column(int n, int i) { return n * 8 + lane() % 4 * 2 + i % 2; }

// Four matrices of 8 rows of 16 bytes from shared memory, lane l giving the address of row l % 8 of matrix l / 8. Of each, a lane
// gets the two values, of two bytes, at row l / 4, columns l % 4 · 2 and + 1; or, transposed, at column l / 4.
template <bool TRANSPOSED> __device__ inline void load_matrices(unsigned (&to)[4], const void* row) {
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
// Loads that see what another thread block wrote during this kernel.
#ifdef SANDGLASS_EMULATED
__device__ inline Sum load_fresh(const Sum* from) { return *from; }
#else
__device__ inline float load_fresh(const float* from) {
    float value;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(value) : "l"(from));
    return value;
}
__device__ inline int load_fresh(const int* from) {
    int value;
    asm volatile("ld.global.cg.s32 %0, [%1];" : "=r"(value) : "l"(from));
    return value;
}
#endif

// Where several thread blocks share the depth of one product: each leaves its sums in `partial`, and the one that
// comes last adds all up, in their order, so that the result is always the same. True for that one; the others
// are done. `tickets` counts who has come; it is left at 0. A warp that is not `busy` has no sums.
template <int N>
__device__ inline bool add_up(Sums<N>& sums, bool busy, Sum* partial, unsigned* tickets, int tile, int part, int parts) {
    __shared__ unsigned ticket;
    if (parts == 1) return true;
    constexpr int SIZE = N * 4 * THREADS;
    Sum* own = partial + ((long long)tile * parts + part) * SIZE + threadIdx.x;
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
        const Sum* other = partial + ((long long)tile * parts + p) * SIZE + threadIdx.x;
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) sums.v[n][i] += load_fresh(other + (n * 4 + i) * THREADS);
        }
    }
    return true;
}
