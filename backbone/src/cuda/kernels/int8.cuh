// Maps of bytes, products in integers: what kernels of floating point have in float.cuh. The arithmetic is that of
// the crate's `quantised` module, and its results are to the bit those of the CPU.
#ifdef SANDGLASS_INT8

// Four channels of a pixel: what a thread computes of a depthwise convolution.
struct Quad {
    unsigned word;
};
// What a depthwise has of its weights in memory: words, see load_taps.
typedef unsigned Tap;
// What makes a byte of a channel's sum: round((sum + bias) × factor + shortcut × share + offset), held in 0..=255. The
// bias is without what the input's zero point adds, so that bytes are taken as they are.
struct alignas(16) Channel {
    int bias;
    float factor, offset, share;
};
// What the depth of a product is a multiple of.
constexpr int DEPTH = 32;

// The byte nearest to a value, halves to the even one.
__device__ inline unsigned to_byte(float value) {
#ifdef SANDGLASS_EMULATED
    return (unsigned)fminf(fmaxf(nearbyintf(value), 0.0f), 255.0f);
#else
    unsigned result;
    asm("cvt.rni.u32.f32 %0, %1;" : "=r"(result) : "f"(value));
    return result < 255u ? result : 255u;
#endif
}

__device__ inline float byte_of(unsigned word, int index) { return (float)(word >> index * 8 & 255u); }

// sum + the products of four bytes, 0 to 255, with four weights, -127 to 127.
__device__ inline int dot(unsigned bytes, unsigned weights, int sum) {
#ifdef SANDGLASS_EMULATED
    for (int i = 0; i < 4; i++) sum += (int)(bytes >> i * 8 & 255) * (signed char)(weights >> i * 8 & 255);
    return sum;
#else
    int result;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(bytes), "r"(weights), "r"(sum));
    return result;
#endif
}

// The result of a channel, the shortcut's byte included.
__device__ inline float scaled(int sum, const Channel& channel, float shortcut) {
    float value = fmaf((float)(sum + channel.bias), channel.factor, channel.offset);
    return fmaf(shortcut, channel.share, value);
}

// ---- Depthwise 3×3 -----------------------------------------------------------------------------------

// Nine weights for four channels, in words of four for `dot`: taps 0 to 3, 4 to 7, and 8.
struct Taps {
    unsigned weight[3][4];
    unsigned outside;
    Channel channel[4];
};

// `weights`: three rows of `channels` (padded) words, then for each channel the byte that lies outside of the map, then
// the Channels.
__device__ inline Taps load_taps(const unsigned* weights, int channels, int channel) {
    Taps taps;
#pragma unroll
    for (int k = 0; k < 3; k++) {
        uint4 row = *(const uint4*)(weights + k * channels + channel);
        taps.weight[k][0] = row.x, taps.weight[k][1] = row.y, taps.weight[k][2] = row.z, taps.weight[k][3] = row.w;
    }
    taps.outside = weights[3 * channels];
    const Channel* own = (const Channel*)(weights + 3 * channels + channels / 4) + channel;
#pragma unroll
    for (int c = 0; c < 4; c++) taps.channel[c] = own[c];
    return taps;
}

// What lies around a map that a depthwise of these weights reads: the zero point, four times.
__device__ inline unsigned outside(const unsigned* weights, int channels) { return weights[3 * channels]; }

// Of four words of four bytes the bytes 0, the bytes 1, and so on.
__device__ inline void transpose(unsigned (&words)[4]) {
    unsigned low = __byte_perm(words[0], words[1], 0x5140), high = __byte_perm(words[2], words[3], 0x5140);
    unsigned low_end = __byte_perm(words[0], words[1], 0x7362), high_end = __byte_perm(words[2], words[3], 0x7362);
    words[0] = __byte_perm(low, high, 0x5410), words[1] = __byte_perm(low, high, 0x7632);
    words[2] = __byte_perm(low_end, high_end, 0x5410), words[3] = __byte_perm(low_end, high_end, 0x7632);
}

// The pixel that is computed, for four channels.
struct Window {
    unsigned pixel[9];
    __device__ explicit Window(const Taps& taps) {
#pragma unroll
        for (int k = 0; k < 9; k++) pixel[k] = taps.outside;
    }
    // Takes what tap k sees; what it does not take lies outside of the map.
    __device__ void take(const Taps&, int k, Quad quad) { pixel[k] = quad.word; }
    // The result, with the first `added` channels of the shortcut. ReLU6 is the range of a byte.
    __device__ Quad finish(const Taps& taps, int, Quad shortcut, int added) const {
        int sum[4] = {0, 0, 0, 0};
#pragma unroll
        for (int k = 0; k < 2; k++) {
            unsigned words[4] = {pixel[k * 4], pixel[k * 4 + 1], pixel[k * 4 + 2], pixel[k * 4 + 3]};
            transpose(words);
#pragma unroll
            for (int c = 0; c < 4; c++) sum[c] = dot(words[c], taps.weight[k][c], sum[c]);
        }
        Quad result{};
#pragma unroll
        for (int c = 0; c < 4; c++) {
            // The other bytes of the word meet weights of 0.
            sum[c] = dot(pixel[8] >> c * 8, taps.weight[2][c], sum[c]);
            float other = c < added ? byte_of(shortcut.word, c) : 0.0f;
            result.word |= to_byte(scaled(sum[c], taps.channel[c], other)) << c * 8;
        }
        return result;
    }
};

// ---- Products ----------------------------------------------------------------------------------------
// Weights are rows of the columns, a row the depth of one: in memory and in shared memory. Of each 16 columns the rows are
// in an order (`columns` in packing.rs) that gives each lane four columns side by side.

__device__ constexpr int weights_pitch(int depth, int) { return depth + PAD; }
__device__ constexpr int weights_size(int depth, int columns) { return (depth + PAD) * columns; }

// Begins to copy `columns` rows of `depth` weights.
__device__ inline void load_weights(T* to, const T* weights, int all_depth, int all_columns, int first_depth, int depth,
                                    int first_column, int columns) {
    load_matrix(to, weights_pitch(depth, columns), weights, all_columns, all_depth, first_column, columns, first_depth, depth);
}

// 16 × 32 bytes by 32 × 8 weights, on tensor cores. Fragments as PTX has them for mma.m16n8k32.
__device__ inline void multiply(int (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if defined(SANDGLASS_EMULATED)
    emulated_mma(sums, a, b0, b1);
#elif __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
#pragma unroll
    for (int part = 0; part < 4; part++) {
        int* half = sums + part % 2 * 2;
        asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
            : "+r"(half[0]), "+r"(half[1])
            : "r"(a[part]), "r"(part < 2 ? b0 : b1));
    }
#endif
}

// Adds the product of the warp's 16 rows of `a` with `b`, over `depth` (a multiple of 32), to the sums. Both are in
// shared memory. N is even.
template <int N>
__device__ inline void add_product(Sums<N>& sums, const T* a, int a_pitch, const T* b, int b_pitch, int depth) {
    // Rows 0–7 and 8–15 of 16 of the depth, then of the next 16: the order of a left fragment. On the right 8 columns of
    // 16 of the depth and of the next 16, then the next 8 columns: two fragments.
    const T* left = a + lane() % 16 * a_pitch + lane() / 16 * 16;
    const T* right = b + (lane() % 8 + lane() / 16 * 8) * b_pitch + lane() / 8 % 2 * 16;
    for (int k = 0; k < depth; k += 32) {
        unsigned rows[4];
        load_matrices<false>(rows, left + k);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            unsigned columns[4];
            load_matrices<false>(columns, right + n * 8 * b_pitch + k);
            multiply(sums.v[n], rows, columns[0], columns[1]);
            multiply(sums.v[n + 1], rows, columns[2], columns[3]);
        }
    }
}

// Parts of a product whose columns a lane has side by side.
constexpr int PARTS = 2;
// The first of the four columns that a lane has of parts n and n + 1.
__device__ inline int first_of_four(int n) { return n * 8 + lane() % 4 * 4; }

// Writes the warp's sums, as bytes, into rows of shared memory.
template <int N>
__device__ inline void sums_to_rows(T* to, int pitch, const Sums<N>& sums, const Channel* channels, int first, int columns,
                                    int) {
#pragma unroll
    for (int n = 0; n < N; n += PARTS) {
        int column = first + first_of_four(n);
        unsigned words[2] = {0, 0};
        if (column < columns) {
#pragma unroll
            for (int c = 0; c < 4; c++) {
                Channel channel = channels[column + c];
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int sum = sums.v[n + c / 2][half * 2 + c % 2];
                    words[half] |= to_byte(scaled(sum, channel, 0.0f)) << c * 8;
                }
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            *(unsigned*)(to + sum_row(half * 2) * pitch + first_of_four(n)) = words[half];
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
    const Channel* scales;
};

// Writes what the lane has of part n (and the next PARTS - 1), values i and i + 1, of a product from column `first` on.
template <int N>
__device__ inline void write_sums(const Target& target, long long pixel, int first, const Sums<N>& sums, int n, int i) {
    int column = first + first_of_four(n);
    if (column >= target.pitch) return;
    unsigned other = 0, word = 0;
    if (column < target.shortcut_channels) {
        other = *(const unsigned*)(target.shortcut + pixel * target.shortcut_pitch + column);
    }
#pragma unroll
    for (int c = 0; c < 4; c++) {
        Channel channel = target.scales[column + c];
        float value = scaled(sums.v[n + c / 2][i + c % 2], channel, byte_of(other, c));
        if (!target.values) {
            word |= to_byte(value) << c * 8;
        } else if (column + c < target.channels) {
            target.values[pixel * target.channels + column + c] = value;
        }
    }
    if (!target.values) *(unsigned*)(target.map + pixel * target.pitch + column) = word;
}
#endif
