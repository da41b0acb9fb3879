// The mean over all pixels, and results of the network that no product writes.

#ifdef SANDGLASS_INT8
// As below. `factor` and `offset` make the mean's byte of the sum of bytes.
extern "C" __global__ void __launch_bounds__(THREADS)
    mean(const T* input, T* output, int images, int pixels, int channels, float factor, float offset) {
    int index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= images * channels) return;
    const T* from = input + (long long)(index / channels) * pixels * channels + index % channels;
    unsigned long long sum = 0;
    for (int p = 0; p < pixels; p++) sum += from[(long long)p * channels];
    output[index] = (T)to_byte(fmaf((float)sum, factor, offset));
}
#else
// input: images × pixels × channels; output: images × channels. One thread a channel of a picture.
extern "C" __global__ void __launch_bounds__(THREADS)
    mean(const T* input, T* output, int images, int pixels, int channels) {
    int index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= images * channels) return;
    const T* from = input + (long long)(index / channels) * pixels * channels + index % channels;
    float sum = 0.0f;
    for (int p = 0; p < pixels; p++) sum += wide(from[(long long)p * channels]);
    output[index] = narrow(sum / (float)pixels);
}

// A padded map to its place in a result: 32 bits, no padding, `stride` values from one picture to the next.
extern "C" __global__ void __launch_bounds__(THREADS)
    unpack(const T* input, float* output, int images, int pixels, int pitch, int channels, int offset, int stride) {
    long long index = (long long)blockIdx.x * THREADS + threadIdx.x, each = (long long)pixels * channels;
    if (index >= images * each) return;
    long long image = index / each, value = index % each;
    output[image * stride + offset + value] =
        wide(input[(image * pixels + value / channels) * pitch + value % channels]);
}
#endif
