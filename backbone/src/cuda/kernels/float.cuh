// Maps of floating point, products of 16 bits on tensor cores: what kernels of bytes have in int8.cuh.
#ifndef SANDGLASS_INT8

// Channels that a thread computes of a depthwise convolution.
struct alignas(4 * sizeof(T)) Quad {
    T v[4];
};
struct alignas(2 * sizeof(T)) Pair {
    T v[2];
};
// What a depthwise has of its weights in memory, and what a product has for each channel: its bias.
typedef float Tap;
typedef float Channel;
// What the depth of a product is a multiple of.
constexpr int DEPTH = 16;

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

// What lies around a map that a depthwise of these weights reads.
__device__ inline unsigned outside(const float*, int) { return 0; }

// The pixel that is computed, for four channels.
struct Window {
    float sum[4];
    __device__ explicit Window(const Taps& taps) {
#pragma unroll
        for (int c = 0; c < 4; c++) sum[c] = taps.bias[c];
    }
    // Takes what tap k sees; what it does not take lies outside of the map.
    __device__ void take(const Taps& taps, int k, Quad pixel) {
#pragma unroll
        for (int c = 0; c < 4; c++) sum[c] = fmaf(wide(pixel.v[c]), taps.weight[k][c], sum[c]);
    }
    // The result, with the first `added` channels of the shortcut.
    __device__ Quad finish(const Taps&, int relu6, Quad shortcut, int added) const {
        Quad result;
#pragma unroll
        for (int c = 0; c < 4; c++) {
            float value = activate(sum[c], relu6);
            if (c < added) value += wide(shortcut.v[c]);
            result.v[c] = narrow(value);
        }
        return result;
    }
};

// ---- Products ----------------------------------------------------------------------------------------
// Weights are rows of the depth, in memory and in shared memory.

__device__ constexpr int weights_pitch(int, int columns) { return columns + PAD; }
__device__ constexpr int weights_size(int depth, int columns) { return depth * (columns + PAD); }

// Begins to copy `depth` rows of `columns` weights.
__device__ inline void load_weights(T* to, const T* weights, int all_depth, int all_columns, int first_depth, int depth,
                                    int first_column, int columns) {
    load_matrix(to, weights_pitch(depth, columns), weights, all_depth, all_columns, first_depth, depth, first_column, columns);
}

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

// Parts of a product whose columns a lane has side by side.
constexpr int PARTS = 1;

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

// Writes what the lane has of part n (and the next PARTS - 1), values i and i + 1, of a product from column `first` on.
template <int N>
__device__ inline void write_sums(const Target& target, long long pixel, int first, const Sums<N>& sums, int n, int i) {
    write_pair(target, pixel, first + sum_column(n, i), sums.v[n][i], sums.v[n][i + 1]);
}
#endif
