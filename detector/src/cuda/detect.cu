// From the network's outputs to detections, on the device: softmax, the best of each class, boxes, suppression. The
// same rules as decode.rs, nms.rs and postprocess.rs, so that only detections travel back.
//
// A candidate is one number: the bits of its score above, and below them the order among equal scores, so that a larger
// number is a better candidate: lower anchor first, then lower class.
//
// `settings`: score threshold, IoU threshold, most detections, most candidates of a class; for each class whether it is
// looked for; for each picture its width and height.

typedef unsigned long long Key;

constexpr int HEADER = 4;
// The greatest 32-bit value.
constexpr float GREATEST = 3.4028235e38f;
// Keys that are sorted in shared memory; more of them in global memory.
constexpr int SORTED_HERE = 4096;

__device__ inline Key key_of(float score, int anchor, int label, int classes) {
    union {
        float value;
        unsigned bits;
    } pun;
    pun.value = score;
    return (Key)pun.bits << 32 | (0xffffffffu - (unsigned)(anchor * classes + label));
}

__device__ inline float score_of(Key key) {
    union {
        float value;
        unsigned bits;
    } pun;
    pun.bits = (unsigned)(key >> 32);
    return pun.value;
}

// anchor × classes + class.
__device__ inline unsigned place_of(Key key) { return 0xffffffffu - (unsigned)key; }

// Sorts `count` keys, the greatest first, by bitonic merging. `keys` has room up to the next power of two.
__device__ inline void sort_keys(Key* keys, int count) {
    int size = 1;
    while (size < count) size *= 2;
    for (int i = count + threadIdx.x; i < size; i += THREADS) keys[i] = 0;
    __syncthreads();
    for (int run = 2; run <= size; run *= 2) {
        for (int apart = run / 2; apart > 0; apart /= 2) {
            for (int i = threadIdx.x; i < size; i += THREADS) {
                int other = i ^ apart;
                if (other > i) {
                    bool falling = (i & run) == 0;
                    Key a = keys[i], b = keys[other];
                    if ((a < b) == falling) keys[i] = b, keys[other] = a;
                }
            }
            __syncthreads();
        }
    }
}

// logits: pictures × anchors × classes. One thread an anchor; blockIdx.y is the picture. Each allowed class whose
// probability is above the threshold is put into the list of its class: keys, pictures × classes × room.
extern "C" __global__ void __launch_bounds__(THREADS)
    candidates(const float* logits, const float* settings, Key* keys, unsigned* counts, int anchors, int classes, int room) {
    int anchor = blockIdx.x * THREADS + threadIdx.x, picture = blockIdx.y;
    if (anchor >= anchors) return;
    const float* own = logits + ((long long)picture * anchors + anchor) * classes;
    float threshold = settings[0], best = -GREATEST;
    for (int c = 1; c < classes; c++) best = fmaxf(best, own[c]);
    float top = fmaxf(best, own[0]);
    // The score of the best class is at most exp(best - top).
    if (!(fabsf(top) <= GREATEST) || (threshold > 0.0f && best - top < logf(threshold))) return;
    float sum = 0.0f;
    for (int c = 0; c < classes; c++) sum += expf(own[c] - top);
    for (int c = 1; c < classes; c++) {
        float score = expf(own[c] - top) / sum;
        if (settings[HEADER + c] == 0.0f || !(score > threshold)) continue;
        long long list = (long long)picture * classes + c;
        unsigned place = atomicAdd(counts + list, 1u);
        keys[list * room + place] = key_of(score, anchor, c, classes);
    }
}

__device__ inline float overlap(float4 a, float4 b) {
    float width = fminf(a.z, b.z) - fmaxf(a.x, b.x), height = fminf(a.w, b.w) - fmaxf(a.y, b.y);
    if (!(width > 0.0f) || !(height > 0.0f)) return 0.0f;
    float shared = width * height;
    return shared / ((a.z - a.x) * (a.w - a.y) + (b.z - b.x) * (b.w - b.y) - shared);
}

// A class of a picture (blockIdx.x, blockIdx.y): its best candidates, their boxes, and of these the ones that overlap no
// better one too much. What is kept is moved to the beginning of `keys` and `boxes`; `kept` counts it. Leaves `counts` at
// 0. deltas: pictures × anchors × 4; boxes: pictures × classes × room.
extern "C" __global__ void __launch_bounds__(THREADS)
    suppress(const float4* deltas, const float4* anchor_boxes, const float* settings, Key* keys, float4* boxes,
             unsigned* counts, unsigned* kept, int anchors, int classes, int room) {
    SHARED_MEMORY(shared);
    Key* here = (Key*)shared;
    unsigned char* alive = shared + SORTED_HERE * sizeof(Key);
    int list = blockIdx.y * classes + blockIdx.x, count = (int)counts[list];
    __syncthreads();
    if (threadIdx.x == 0) counts[list] = 0;
    Key* own = keys + (long long)list * room;
    float4* own_boxes = boxes + (long long)list * room;
    Key* sorted = own;
    if (count <= SORTED_HERE) {
        for (int i = threadIdx.x; i < count; i += THREADS) here[i] = own[i];
        sorted = here;
    }
    __syncthreads();
    sort_keys(sorted, count);
    int limit = (int)settings[2];
    count = least(count, (int)settings[3]);
    const float* size = settings + HEADER + classes + 2 * blockIdx.y;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        unsigned anchor = place_of(sorted[i]) / classes;
        float4 from = anchor_boxes[anchor], delta = deltas[(long long)blockIdx.y * anchors + anchor];
        // SSD's variances, and the bound of decode.rs.
        float x = from.x + delta.x * 0.1f * from.z, y = from.y + delta.y * 0.1f * from.w;
        float width = from.z * expf(fminf(delta.z * 0.2f, 7.0f)) / 2.0f;
        float height = from.w * expf(fminf(delta.w * 0.2f, 7.0f)) / 2.0f;
        own_boxes[i] = float4{(x - width) * size[0], (y - height) * size[1], (x + width) * size[0], (y + height) * size[1]};
        alive[i] = 1;
    }
    __syncthreads();
    int found = 0;
    for (int i = 0; i < count && found < limit; i++) {
        if (!alive[i]) continue;
        float4 best = own_boxes[i];
        Key key = sorted[i];
        for (int j = i + 1 + threadIdx.x; j < count; j += THREADS) {
            if (alive[j] && overlap(best, own_boxes[j]) > settings[1]) alive[j] = 0;
        }
        // All have read what is moved now: box i, and nobody needs what is before it again.
        __syncthreads();
        if (threadIdx.x == 0) own_boxes[found] = best, own[found] = key;
        found++;
    }
    if (threadIdx.x == 0) kept[list] = found;
}

// The best of all classes of a picture (blockIdx.x), best first: of each picture the number of detections, then class,
// score and box of each. `merged` is scratch: pictures × merged_room.
extern "C" __global__ void __launch_bounds__(THREADS)
    collect(const Key* keys, const float4* boxes, const unsigned* kept, const float* settings, Key* merged, float* results,
            int classes, int room, int merged_room, int most) {
    SHARED_MEMORY(shared);
    Key* here = (Key*)shared;
    int picture = blockIdx.x, count = 0;
    for (int c = 0; c < classes; c++) count += (int)kept[picture * classes + c];
    Key* all = count <= SORTED_HERE ? here : merged + (long long)picture * merged_room;
    int begin = 0;
    for (int c = 0; c < classes; c++) {
        long long list = (long long)picture * classes + c;
        int length = (int)kept[list];
        for (int i = threadIdx.x; i < length; i += THREADS) all[begin + i] = keys[list * room + i];
        begin += length;
    }
    __syncthreads();
    sort_keys(all, count);
    count = least(least(count, (int)settings[2]), most);
    float* result = results + (long long)picture * (1 + 6 * most);
    if (threadIdx.x == 0) result[0] = (float)count;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        Key key = all[i];
        int label = (int)(place_of(key) % classes);
        long long list = (long long)picture * classes + label;
        // What is kept of a class is in order.
        int low = 0, high = (int)kept[list];
        while (low < high) {
            int middle = (low + high) / 2;
            if (keys[list * room + middle] > key) low = middle + 1;
            else high = middle;
        }
        float4 box = boxes[list * room + low];
        float* to = result + 1 + i * 6;
        to[0] = (float)label, to[1] = score_of(key), to[2] = box.x, to[3] = box.y, to[4] = box.z, to[5] = box.w;
    }
}
