// The stem: 3×3 over all channels of the input, padded with `border`.
//
// input: images × height × width × channels, bytes or 32 bits; weights: 9 × channels rows of `columns` (padded), then
// the biases, then, where maps are bytes, the factors and the offsets that make them; output: images × out_height ×
// out_width × columns. One thread computes 8 output channels of a pixel, so that neighbours read the same input and write
// one behind the other.

struct alignas(sizeof(T) == 1 ? 8 : 16) Eight {
    T v[8];
};

template <class Input>
__device__ inline void stem(const Input* input, const float* border, const float* weights, T* output, int images, int height,
                            int width, int channels, int out_height, int out_width, int columns, int stride, int relu6) {
    int vectors = columns / 8;
    long long index = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (long long)images * out_height * out_width * vectors) return;
    int column = (int)(index % vectors) * 8;
    long long pixel = index / vectors;
    int x = (int)(pixel % out_width), y = (int)(pixel / out_width % out_height);
    const Input* image = input + pixel / out_width / out_height * height * width * channels;
    float sum[8];
#pragma unroll
    for (int c = 0; c < 8; c++) sum[c] = weights[9 * channels * columns + column + c];
    for (int k = 0; k < 9; k++) {
        int from_y = y * stride - 1 + k / 3, from_x = x * stride - 1 + k % 3;
        bool valid = from_y >= 0 && from_y < height && from_x >= 0 && from_x < width;
#pragma unroll 1
        for (int i = 0; i < channels; i++) {
            float value = valid ? (float)image[((long long)from_y * width + from_x) * channels + i] : border[i];
            const float* row = weights + (k * channels + i) * columns + column;
#pragma unroll
            for (int c = 0; c < 8; c++) sum[c] = fmaf(value, row[c], sum[c]);
        }
    }
    Eight result;
#pragma unroll
    for (int c = 0; c < 8; c++) {
        float value = activate(sum[c], relu6);
#ifdef SANDGLASS_INT8
        const float* scale = weights + (9 * channels + 1) * columns + column + c;
        result.v[c] = (T)to_byte(fmaf(value, scale[0], scale[columns]));
#else
        result.v[c] = narrow(value);
#endif
    }
    *(Eight*)(output + index * 8) = result;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    stem_pixels(const unsigned char* input, const float* border, const float* weights, T* output, int images, int height,
                int width, int channels, int out_height, int out_width, int columns, int stride, int relu6) {
    stem(input, border, weights, output, images, height, width, channels, out_height, out_width, columns, stride, relu6);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    stem_values(const float* input, const float* border, const float* weights, T* output, int images, int height, int width,
                int channels, int out_height, int out_width, int columns, int stride, int relu6) {
    stem(input, border, weights, output, images, height, width, channels, out_height, out_width, columns, stride, relu6);
}
