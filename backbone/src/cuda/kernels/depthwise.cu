// A depthwise 3×3 by itself: where nothing can be fused with it.
//
// One thread computes 4 channels of a pixel, straight from global memory; neighbours share what they read in L1.

extern "C" __global__ void __launch_bounds__(THREADS)
    depthwise(const T* input, const Tap* weights, T* output, const T* shortcut, int images, int height, int width,
              int channels, int out_height, int out_width, int stride, int relu6, int shortcut_pitch, int shortcut_channels) {
    int quads = channels / 4;
    long long index = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (long long)images * out_height * out_width * quads) return;
    int channel = (int)(index % quads) * 4;
    long long pixel = index / quads;
    int x = (int)(pixel % out_width), y = (int)(pixel / out_width % out_height);
    const T* image = input + pixel / out_width / out_height * height * width * channels;
    Taps taps = load_taps(weights, channels, channel);
    Window window(taps);
#pragma unroll
    for (int k = 0; k < 9; k++) {
        int from_y = y * stride - 1 + k / 3, from_x = x * stride - 1 + k % 3;
        if (from_y < 0 || from_y >= height || from_x < 0 || from_x >= width) continue;
        window.take(taps, k, *(const Quad*)(image + ((long long)from_y * width + from_x) * channels + channel));
    }
    Quad other{};
    int added = shortcut_channels - channel;
    if (added > 0) other = *(const Quad*)(shortcut + pixel * shortcut_pitch + channel);
    *(Quad*)(output + index * 4) = window.finish(taps, relu6, other, added);
}
