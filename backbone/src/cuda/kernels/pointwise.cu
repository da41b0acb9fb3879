// A 1×1 convolution by itself: a product of all pixels of all pictures with the weights.
//
// A thread block makes 128 pixels × 64 channels: blockIdx.x the pixels, blockIdx.y the channels, blockIdx.z a part of
// the depth (see add_up). Both sides come through shared memory, a chunk of the depth at a time, the next ones being
// copied during the product: 2 × (128 × PITCH + weights) values.

extern "C" __global__ void __launch_bounds__(THREADS)
    pointwise(const T* input, const T* weights, const Channel* bias, T* output, float* values, const T* shortcut, Sum* partial,
              unsigned* tickets, int images, int pixels, int depth, int pitch, int channels, int relu6, int shortcut_pitch,
              int shortcut_channels, int offset, int stride) {
    SHARED_MEMORY(shared);
    constexpr int PITCH = CHUNK + PAD, RIGHT = weights_pitch(CHUNK, COLUMNS), WEIGHTS = weights_size(CHUNK, COLUMNS);
    T* left[2] = {(T*)shared, (T*)shared + ROWS * PITCH};
    T* right[2] = {left[1] + ROWS * PITCH, left[1] + ROWS * PITCH + WEIGHTS};
    // All pixels of all pictures as one row.
    Map map = {input, 1, images * pixels, depth};
    Region region = {0, (int)blockIdx.x * ROWS, 1, ROWS};
    int first = blockIdx.y * COLUMNS, chunks = (depth + CHUNK - 1) / CHUNK;
    int begin = chunks * blockIdx.z / gridDim.z, end = chunks * (blockIdx.z + 1) / gridDim.z;
    bool busy = region.left + warp() * WARP_ROWS < map.width;
    Sums<COLUMNS / 8> sums;
    sums.clear();
    load_region(left[0], PITCH, map, region, begin * CHUNK, CHUNK);
    load_weights(right[0], weights, depth, pitch, begin * CHUNK, CHUNK, first, COLUMNS);
    commit_copies();
    for (int chunk = begin; chunk < end; chunk++) {
        int now = (chunk - begin) % 2, next = 1 - now;
        if (chunk + 1 < end) {
            load_region(left[next], PITCH, map, region, (chunk + 1) * CHUNK, CHUNK);
            load_weights(right[next], weights, depth, pitch, (chunk + 1) * CHUNK, CHUNK, first, COLUMNS);
        }
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        if (busy) add_product(sums, left[now] + warp() * WARP_ROWS * PITCH, PITCH, right[now], RIGHT, CHUNK);
        __syncthreads();
    }
    if (!add_up(sums, busy, partial, tickets, blockIdx.x * gridDim.y + blockIdx.y, blockIdx.z, gridDim.z)) return;
    Target target = {output, nullptr, pitch, channels, shortcut, shortcut_pitch, shortcut_channels, relu6, bias};
#pragma unroll
    for (int n = 0; n < COLUMNS / 8; n += PARTS) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            long long pixel = region.left + sum_row(i);
            if (pixel >= (long long)images * pixels) continue;
            // A result has its pictures `stride` values apart, a map one behind the other.
            if (values) {
                target.values = values + pixel / pixels * (stride - (long long)pixels * channels) + offset;
            }
            write_sums(target, pixel, first, sums, n, i);
        }
    }
}
