// A whole sandglass block: depthwise → reduce → expand → depthwise + the first channels of the input. All that lies
// between its input and its output stays on the chip.
//
//   for a chunk of input channels at a time:                     first half, see depthwise_pointwise.cu
//       copy them with two rows of halo, depthwise → rows, sums += rows · reduce
//   sums → narrow rows in shared memory
//   for 64 output channels at a time:                    second half, see pointwise_depthwise.cu
//       narrow rows · expand → wide rows in shared memory
//       depthwise of the wide rows, with the shortcut → map
//
// blockIdx.x: picture and tile of output pixels, whose halo inside the map has at most 128 pixels: the rows of
// both products. N: parts of 8 narrow channels. Shared memory, in values: 128 × (8·N + PAD), and the larger of
// 2 × halo × PITCH + 128 × PITCH + 2 × weights of a chunk for 8·N and 2 × weights for 64 + 128 × (64 + PAD).

template <int N>
__device__ inline void sandglass(const T* input, const Tap* depthwise1, const T* reduce, const Channel* reduce_bias,
                                 const T* expand, const Channel* expand_bias, const Tap* depthwise2, T* output,
                                 const T* shortcut, int height, int width, int depth, int middle, int channels,
                                 int out_height, int out_width, int stride, int relu6s, int shortcut_pitch,
                                 int shortcut_channels, int tile_height, int tile_width, int tiles, int most_halo) {
    SHARED_MEMORY(shared);
    constexpr int PITCH = CHUNK + PAD, NARROW = N * 8 + PAD, REDUCE = weights_pitch(CHUNK, N * 8);
    int image = blockIdx.x / tiles;
    Region out = output_tile(blockIdx.x % tiles, out_height, out_width, tile_height, tile_width);
    Region held = inside(halo(out, stride), height, width), read = halo(held, 1);
    bool busy = warp() * WARP_ROWS < held.pixels();

    T* between = (T*)shared;
    T* rest = between + ROWS * NARROW;
    {
        T* source[2] = {rest, rest + most_halo * PITCH};
        T* rows = source[1] + most_halo * PITCH;
        T* right[2] = {rows + ROWS * PITCH, rows + ROWS * PITCH + weights_size(CHUNK, N * 8)};
        Map map = {input + (long long)image * height * width * depth, height, width, depth,
                   outside(depthwise1, depth)};
        Sums<N> sums;
        sums.clear();
        load_region(source[0], PITCH, map, read, 0, CHUNK);
        load_weights(right[0], reduce, depth, middle, 0, CHUNK, 0, N * 8);
        commit_copies();
        for (int k = 0; k < depth; k += CHUNK) {
            int now = k / CHUNK % 2, next = 1 - now;
            if (k + CHUNK < depth) {
                load_region(source[next], PITCH, map, read, k + CHUNK, CHUNK);
                load_weights(right[next], reduce, depth, middle, k + CHUNK, CHUNK, 0, N * 8);
            }
            commit_copies();
            wait_copies<1>();
            __syncthreads();
            depthwise_to_rows(rows, source[now], held, 1, depthwise1, depth, k, relu6s & 1);
            __syncthreads();
            if (busy) add_product(sums, rows + warp() * WARP_ROWS * PITCH, PITCH, right[now], REDUCE, CHUNK);
            __syncthreads();
        }
        if (busy) sums_to_rows(between, NARROW, sums, reduce_bias, 0, middle, relu6s & 2);
    }

    int deep = round_up(middle, DEPTH);
    T* right[2] = {rest, rest + weights_size(deep, COLUMNS)};
    T* rows = right[1] + weights_size(deep, COLUMNS);
    long long pixels = (long long)out_height * out_width;
    load_weights(right[0], expand, middle, channels, 0, deep, 0, COLUMNS);
    commit_copies();
    for (int first = 0; first < channels; first += COLUMNS) {
        int now = first / COLUMNS % 2, next = 1 - now;
        if (first + COLUMNS < channels) {
            load_weights(right[next], expand, middle, channels, 0, deep, first + COLUMNS, COLUMNS);
        }
        commit_copies();
        wait_copies<1>();
        // Also: the narrow rows are there, and the depthwise before has read the wide ones.
        __syncthreads();
        if (busy) {
            Sums<COLUMNS / 8> sums;
            sums.clear();
            add_product(sums, between + warp() * WARP_ROWS * NARROW, NARROW, right[now],
                        weights_pitch(deep, COLUMNS), deep);
            sums_to_rows(rows, COLUMNS + PAD, sums, expand_bias, first, channels, relu6s & 4);
        }
        __syncthreads();
        depthwise_to_map(output + image * pixels * channels, out_width, out, rows, held, height, width, stride, depthwise2,
                         channels, first, relu6s & 8, shortcut ? shortcut + image * pixels * shortcut_pitch : nullptr,
                         shortcut_pitch, shortcut_channels);
    }
}

#define SANDGLASS(N)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                           \
        sandglass_##N(const T* input, const Tap* depthwise1, const T* reduce, const Channel* reduce_bias, const T* expand, \
                      const Channel* expand_bias, const Tap* depthwise2, T* output, const T* shortcut, int height,  \
                      int width, int depth, int middle, int channels, int out_height, int out_width, int stride,    \
                      int relu6s, int shortcut_pitch, int shortcut_channels, int tile_height, int tile_width,       \
                      int tiles, int most_halo) {                                                                    \
        sandglass<N / 8>(input, depthwise1, reduce, reduce_bias, expand, expand_bias, depthwise2, output, shortcut, \
                         height, width, depth, middle, channels, out_height, out_width, stride, relu6s,             \
                         shortcut_pitch, shortcut_channels, tile_height, tile_width, tiles, most_halo);             \
    }

// By the most narrow channels.
SANDGLASS(32)
SANDGLASS(64)
SANDGLASS(96)
SANDGLASS(160)
