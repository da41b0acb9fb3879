// Depthwise 3×3 of what lies in shared memory, in whichever type.

// Depthwise of the pixels of `out` (in coordinates of the output) for the CHUNK channels that `from` holds of
// its halo, into rows of `to`, activated. Beyond the last of `channels` there is nothing: zeros.
__device__ inline void depthwise_to_rows(T* to, const T* from, Region out, int stride, const Tap* weights, int channels,
                                         int first, int relu6) {
    constexpr int QUADS = CHUNK / 4, PITCH = CHUNK + PAD;
    int channel = threadIdx.x % QUADS * 4, width = (out.width - 1) * stride + 3;
    bool valid = first + channel < channels;
    Taps taps = load_taps(weights, channels, valid ? first + channel : 0);
#pragma unroll 1
    for (int pixel = threadIdx.x / QUADS; pixel < out.pixels(); pixel += THREADS / QUADS) {
        int y = pixel / out.width * stride, x = pixel % out.width * stride;
        Window window(taps);
#pragma unroll
        for (int k = 0; k < 9; k++) {
            window.take(taps, k, *(const Quad*)(from + ((y + k / 3) * width + x + k % 3) * PITCH + channel));
        }
        *(Quad*)(to + pixel * PITCH + channel) = valid ? window.finish(taps, relu6, Quad{}, 0) : Quad{};
    }
}

// Depthwise at row y, column x (of the output) from rows of `pitch` that hold the pixels of `held`, a part of a map
// of height × width.
__device__ inline Window depthwise_held(const Taps& taps, const T* from, int pitch, Region held, int height, int width, int y,
                                        int x, int stride) {
    Window window(taps);
#pragma unroll
    for (int k = 0; k < 9; k++) {
        int from_y = y * stride - 1 + k / 3, from_x = x * stride - 1 + k % 3;
        if (from_y < 0 || from_y >= height || from_x < 0 || from_x >= width) continue;
        int row = (from_y - held.top) * held.width + from_x - held.left;
        window.take(taps, k, *(const Quad*)(from + row * pitch));
    }
    return window;
}

// Depthwise of the pixels of `out` for the COLUMNS channels that the rows of `from` hold, one row a pixel of
// `held` (a part of a map of height × width), with its shortcut, to the map at `to`.
__device__ inline void depthwise_to_map(T* to, int out_width, Region out, const T* from, Region held, int height, int width,
                                        int stride, const Tap* weights, int channels, int first, int relu6,
                                        const T* shortcut, int shortcut_pitch, int shortcut_channels) {
    constexpr int QUADS = COLUMNS / 4, PITCH = COLUMNS + PAD;
    int channel = threadIdx.x % QUADS * 4;
    if (first + channel >= channels) return;
    Taps taps = load_taps(weights, channels, first + channel);
#pragma unroll 1
    for (int pixel = threadIdx.x / QUADS; pixel < out.pixels(); pixel += THREADS / QUADS) {
        int y = out.top + pixel / out.width, x = out.left + pixel % out.width;
        Window window = depthwise_held(taps, from + channel, PITCH, held, height, width, y, x, stride);
        long long at = (long long)y * out_width + x;
        Quad other{};
        int added = shortcut ? shortcut_channels - first - channel : 0;
        if (added > 0) other = *(const Quad*)(shortcut + at * shortcut_pitch + first + channel);
        *(Quad*)(to + at * channels + first + channel) = window.finish(taps, relu6, other, added);
    }
}
