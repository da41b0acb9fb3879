// A whole inverted residual: expand → depthwise → project + shortcut. The wide maps stay on the chip.
//
//   copy the input pixels of the tile and its halo to shared memory
//   for a chunk of the wide channels at a time:
//       pixels · expand → wide rows in shared memory     (256 of them: two for each warp)
//       depthwise of the wide rows → rows
//       sums += rows · project
//   write sums, with the shortcut
//
// blockIdx.x: picture and tile of at most 128 output pixels, whose halo inside the map has at most 256. N: parts of 8
// output channels. Shared memory, in values: held × (deep + PAD), held × PITCH, 128 × PITCH, and twice the weights of both
// products, where `deep` is the depth rounded up to DEPTH and `held` the pixels of the halo to 16.

// Depthwise of rows that hold the pixels of `held`, a part of a map of height × width: as depthwise_to_rows, which reads
// a padded halo.
__device__ inline void depthwise_of_rows(T* to, const T* from, Region out, Region held, int height, int width, int stride,
                                         const Tap* weights, int channels, int first, int relu6) {
    constexpr int QUADS = CHUNK / 4, PITCH = CHUNK + PAD;
    int channel = threadIdx.x % QUADS * 4;
    bool valid = first + channel < channels;
    Taps taps = load_taps(weights, channels, valid ? first + channel : 0);
#pragma unroll 1
    for (int pixel = threadIdx.x / QUADS; pixel < out.pixels(); pixel += THREADS / QUADS) {
        int y = out.top + pixel / out.width, x = out.left + pixel % out.width;
        Window window = depthwise_held(taps, from + channel, PITCH, held, height, width, y, x, stride);
        *(Quad*)(to + pixel * PITCH + channel) = valid ? window.finish(taps, relu6, Quad{}, 0) : Quad{};
    }
}

template <int N>
__device__ inline void inverted_residual(const T* input, const T* expand, const Channel* expand_bias, const Tap* depthwise,
                                         const T* project, const Channel* project_bias, T* output, const T* shortcut,
                                         int height, int width, int depth, int wide_channels, int channels, int out_height,
                                         int out_width, int stride, int relu6s, int shortcut_pitch, int shortcut_channels,
                                         int tile_height, int tile_width, int tiles, int most_held) {
    SHARED_MEMORY(shared);
    constexpr int PITCH = CHUNK + PAD, PROJECT = weights_size(CHUNK, N * 8);
    int image = blockIdx.x / tiles, deep = round_up(depth, DEPTH), pitch = deep + PAD;
    Region out = output_tile(blockIdx.x % tiles, out_height, out_width, tile_height, tile_width);
    Region held = inside(halo(out, stride), height, width);
    bool busy = warp() * WARP_ROWS < out.pixels();

    T* pixels = (T*)shared;
    T* wide_rows = pixels + most_held * pitch;
    T* rows = wide_rows + most_held * PITCH;
    T* expanding[2] = {rows + ROWS * PITCH, rows + ROWS * PITCH + weights_size(deep, CHUNK)};
    T* projecting[2] = {expanding[1] + weights_size(deep, CHUNK), expanding[1] + weights_size(deep, CHUNK) + PROJECT};
    Map map = {input + (long long)image * height * width * depth, height, width, depth};
    load_region(pixels, pitch, map, held, 0, deep);
    load_weights(expanding[0], expand, depth, wide_channels, 0, deep, 0, CHUNK);
    load_weights(projecting[0], project, wide_channels, channels, 0, CHUNK, 0, N * 8);
    commit_copies();
    Sums<N> sums;
    sums.clear();
    for (int first = 0; first < wide_channels; first += CHUNK) {
        int now = first / CHUNK % 2, next = 1 - now;
        if (first + CHUNK < wide_channels) {
            load_weights(expanding[next], expand, depth, wide_channels, 0, deep, first + CHUNK, CHUNK);
            load_weights(projecting[next], project, wide_channels, channels, first + CHUNK, CHUNK, 0, N * 8);
        }
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        for (int half = 0; half < 2; half++) {
            int row = half * ROWS + warp() * WARP_ROWS;
            if (row >= held.pixels()) break;
            Sums<CHUNK / 8> wide_sums;
            wide_sums.clear();
            add_product(wide_sums, pixels + row * pitch, pitch, expanding[now], weights_pitch(deep, CHUNK), deep);
            sums_to_rows(wide_rows + half * ROWS * PITCH, PITCH, wide_sums, expand_bias, first, wide_channels, relu6s & 1);
        }
        __syncthreads();
        depthwise_of_rows(rows, wide_rows, out, held, height, width, stride, depthwise, wide_channels, first, relu6s & 2);
        __syncthreads();
        if (busy) add_product(sums, rows + warp() * WARP_ROWS * PITCH, PITCH, projecting[now],
                              weights_pitch(CHUNK, N * 8), CHUNK);
        __syncthreads();
    }
    long long all = (long long)out_height * out_width;
    Target target = {output + image * all * channels, nullptr, channels, channels,
                     shortcut ? shortcut + image * all * shortcut_pitch : nullptr, shortcut_pitch, shortcut_channels,
                     relu6s & 4, project_bias};
#pragma unroll
    for (int n = 0; n < N; n += PARTS) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            int row = sum_row(i);
            if (row >= out.pixels()) continue;
            long long pixel = (long long)(out.top + row / out.width) * out_width + out.left + row % out.width;
            write_sums(target, pixel, 0, sums, n, i);
        }
    }
}

#define INVERTED_RESIDUAL(N)                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                           \
        inverted_residual_##N(const T* input, const T* expand, const Channel* expand_bias, const Tap* depthwise,    \
                              const T* project, const Channel* project_bias, T* output, const T* shortcut, int height, \
                              int width, int depth, int wide_channels, int channels, int out_height, int out_width, \
                              int stride, int relu6s, int shortcut_pitch, int shortcut_channels, int tile_height,   \
                              int tile_width, int tiles, int most_held) {                                            \
        inverted_residual<N / 8>(input, expand, expand_bias, depthwise, project, project_bias, output, shortcut,    \
                                 height, width, depth, wide_channels, channels, out_height, out_width, stride, relu6s, \
                                 shortcut_pitch, shortcut_channels, tile_height, tile_width, tiles, most_held);     \
    }

// By the most output channels.
INVERTED_RESIDUAL(32)
INVERTED_RESIDUAL(64)
INVERTED_RESIDUAL(96)
INVERTED_RESIDUAL(160)
