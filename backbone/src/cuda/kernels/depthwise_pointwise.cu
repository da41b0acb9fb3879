// Depthwise 3×3 → 1×1 in one go: what the depthwise makes is never written to memory.
//
//   for a chunk of channels at a time:
//       copy them with their halo to shared memory      (the next during the following)
//       depthwise → rows in shared memory
//       sums += rows · weights                          (tensor cores)
//   write sums
//
// blockIdx.x: picture and tile of output pixels (at most 128); blockIdx.y: 64 output channels; blockIdx.z: part of the
// depth (see add_up). Shared memory: 2 × halo × PITCH + 128 × PITCH + 2 × weights, in values.

extern "C" __global__ void __launch_bounds__(THREADS)
    depthwise_pointwise(const T* input, const Tap* depthwise, const T* weights, const Channel* bias, T* output, float* values,
                        const T* shortcut, Sum* partial, unsigned* tickets, int height, int width, int depth,
                        int out_height, int out_width, int depthwise_stride, int depthwise_relu6, int pitch, int channels,
                        int relu6, int shortcut_pitch, int shortcut_channels, int offset, int stride, int tile_height,
                        int tile_width, int tiles) {
    SHARED_MEMORY(shared);
    constexpr int PITCH = CHUNK + PAD, RIGHT = weights_pitch(CHUNK, COLUMNS), WEIGHTS = weights_size(CHUNK, COLUMNS);
    int image = blockIdx.x / tiles;
    Region out = output_tile(blockIdx.x % tiles, out_height, out_width, tile_height, tile_width);
    Region read = halo(out, depthwise_stride);
    Region most = halo(Region{0, 0, tile_height, tile_width}, depthwise_stride);
    T* source[2] = {(T*)shared, (T*)shared + most.pixels() * PITCH};
    T* rows = source[1] + most.pixels() * PITCH;
    T* right[2] = {rows + ROWS * PITCH, rows + ROWS * PITCH + WEIGHTS};
    Map map = {input + (long long)image * height * width * depth, height, width, depth,
               outside(depthwise, depth)};
    int first = blockIdx.y * COLUMNS, chunks = (depth + CHUNK - 1) / CHUNK;
    int begin = chunks * blockIdx.z / gridDim.z, end = chunks * (blockIdx.z + 1) / gridDim.z;
    bool busy = warp() * WARP_ROWS < out.pixels();
    Sums<COLUMNS / 8> sums;
    sums.clear();
    load_region(source[0], PITCH, map, read, begin * CHUNK, CHUNK);
    load_weights(right[0], weights, depth, pitch, begin * CHUNK, CHUNK, first, COLUMNS);
    commit_copies();
    for (int chunk = begin; chunk < end; chunk++) {
        int now = (chunk - begin) % 2, next = 1 - now;
        if (chunk + 1 < end) {
            load_region(source[next], PITCH, map, read, (chunk + 1) * CHUNK, CHUNK);
            load_weights(right[next], weights, depth, pitch, (chunk + 1) * CHUNK, CHUNK, first, COLUMNS);
        }
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        depthwise_to_rows(rows, source[now], out, depthwise_stride, depthwise, depth, chunk * CHUNK, depthwise_relu6);
        __syncthreads();
        if (busy) add_product(sums, rows + warp() * WARP_ROWS * PITCH, PITCH, right[now], RIGHT, CHUNK);
        __syncthreads();
    }
    if (!add_up(sums, busy, partial, tickets, blockIdx.x * gridDim.y + blockIdx.y, blockIdx.z, gridDim.z)) return;
    long long pixels = (long long)out_height * out_width;
    Target target = {output + image * pixels * pitch, values ? values + (long long)image * stride + offset : nullptr,
                     pitch, channels, shortcut ? shortcut + image * pixels * shortcut_pitch : nullptr,
                     shortcut_pitch, shortcut_channels, relu6, bias};
#pragma unroll
    for (int n = 0; n < COLUMNS / 8; n += PARTS) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            int row = sum_row(i);
            if (row >= out.pixels()) continue;
            long long pixel = (long long)(out.top + row / out.width) * out_width + out.left + row % out.width;
            write_sums(target, pixel, first, sums, n, i);
        }
    }
}
