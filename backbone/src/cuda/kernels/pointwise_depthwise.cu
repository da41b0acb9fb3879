// 1×1 → depthwise 3×3 in one go: the wide map between the two is never written to memory.
//
//   for a chunk of the depth at a time:
//       copy pixels (the output tile and its halo) and weights to shared memory
//       sums += pixels · weights                        (tensor cores)
//   activated sums → rows in shared memory
//   depthwise of the rows, with the shortcut → map
//
// blockIdx.x: picture and tile of output pixels, whose halo inside the map has at most 128; blockIdx.y: 64 channels.
// Shared memory: 2 × (128 × PITCH + weights) + 128 × (64 + PAD) values.

extern "C" __global__ void __launch_bounds__(THREADS)
    pointwise_depthwise(const T* input, const T* weights, const Channel* bias, const Tap* depthwise, T* output,
                        const T* shortcut, int height, int width, int depth, int channels, int relu6, int out_height,
                        int out_width, int stride, int depthwise_relu6, int shortcut_pitch, int shortcut_channels,
                        int tile_height, int tile_width, int tiles) {
    SHARED_MEMORY(shared);
    constexpr int PITCH = CHUNK + PAD, RIGHT = weights_pitch(CHUNK, COLUMNS), WEIGHTS = weights_size(CHUNK, COLUMNS);
    int image = blockIdx.x / tiles, first = blockIdx.y * COLUMNS;
    Region out = output_tile(blockIdx.x % tiles, out_height, out_width, tile_height, tile_width);
    Region held = inside(halo(out, stride), height, width);
    T* left[2] = {(T*)shared, (T*)shared + ROWS * PITCH};
    T* right[2] = {left[1] + ROWS * PITCH, left[1] + ROWS * PITCH + WEIGHTS};
    T* rows = right[1] + WEIGHTS;
    Map map = {input + (long long)image * height * width * depth, height, width, depth};
    bool busy = warp() * WARP_ROWS < held.pixels();
    Sums<COLUMNS / 8> sums;
    sums.clear();
    load_region(left[0], PITCH, map, held, 0, CHUNK);
    load_weights(right[0], weights, depth, channels, 0, CHUNK, first, COLUMNS);
    commit_copies();
    for (int k = 0; k < depth; k += CHUNK) {
        int now = k / CHUNK % 2, next = 1 - now;
        if (k + CHUNK < depth) {
            load_region(left[next], PITCH, map, held, k + CHUNK, CHUNK);
            load_weights(right[next], weights, depth, channels, k + CHUNK, CHUNK, first, COLUMNS);
        }
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        if (busy) add_product(sums, left[now] + warp() * WARP_ROWS * PITCH, PITCH, right[now], RIGHT, CHUNK);
        __syncthreads();
    }
    if (busy) sums_to_rows(rows, COLUMNS + PAD, sums, bias, first, channels, relu6);
    __syncthreads();
    long long pixels = (long long)out_height * out_width;
    depthwise_to_map(output + image * pixels * channels, out_width, out, rows, held, height, width, stride, depthwise,
                     channels, first, depthwise_relu6, shortcut ? shortcut + image * pixels * shortcut_pitch : nullptr,
                     shortcut_pitch, shortcut_channels);
}
