"""Trains an SSDLite detector of reference.py on packed VOC archives, on one GPU or on a CPU.

    python train.py --backbone mobilenet-v2-1.0 --data voc2007-trainval.tar:2 voc2012-trainval.tar \
        --init imagenet-mobilenet-v2-1.0.safetensors --total-minutes 60 --out run/mobilenet-v2-1.0

The schedule is in minutes of training, added up over resumed pieces: run the same command with
--piece-minutes 9 as often as needed, and it goes on from OUT/state.pt until --total-minutes are spent
(or, where only they came back from another machine, from OUT/detector.safetensors and OUT/progress.json).
OUT/detector.safetensors holds the averaged weights (convolutions f16, the rest f32; names of reference.py) with the facts that
`sandglass-detect --weights` reads: backbone, normalisation, classes, anchors, how it was trained.
"""
import argparse
import json
import math
import re
import signal
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import reference
from augment import augment
from dataset import load

MEAN = torch.tensor([123.675, 116.28, 103.53])
DEVIATION = torch.tensor([58.395, 57.12, 57.375])


def corners(anchors):
    """(cx, cy, w, h) to (x1, y1, x2, y2)."""
    return torch.cat([anchors[..., :2] - anchors[..., 2:] / 2, anchors[..., :2] + anchors[..., 2:] / 2], -1)


def match(anchors, boxes, labels, difficult):
    """SSD matching. anchors (A, 4) centre form, boxes (B, M, 4): target label (B, A) with -1 = ignore,
    and matched box (B, A, 4). Every object keeps its best anchor; others need IoU >= 0.5."""
    a, b = corners(anchors)[None, None], boxes[:, :, None]
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area = lambda t: (t[..., 2:] - t[..., :2]).clamp(min=0).prod(-1)
    iou = inter / (area(a) + area(b) - inter + 1e-9)
    iou = iou.masked_fill((labels == 0)[..., None], -1.0)
    best_anchor = iou.argmax(2)
    forced = torch.zeros_like(iou, dtype=torch.bool).scatter_(2, best_anchor[..., None], True) & (labels > 0)[..., None]
    iou = torch.where(forced, iou + 2.0, iou)
    value, index = iou.max(1)
    target = labels.gather(1, index)
    target = torch.where(difficult.gather(1, index), torch.full_like(target, -1), target)
    target = torch.where(value >= 0.5, target, torch.zeros_like(target))
    near = (value >= 0.4) & (value < 0.5)
    target = torch.where(near, torch.full_like(target, -1), target)
    return target, boxes.gather(1, index[..., None].expand(-1, -1, 4))


def box_targets(matched, anchors):
    """Boxes (B, A, 4) in corner form as offsets from the anchors."""
    size = (matched[..., 2:] - matched[..., :2]).clamp(min=1e-4)
    return reference.encode(torch.cat([(matched[..., :2] + matched[..., 2:]) / 2, size], -1), anchors)


def detection_loss(logits, deltas, target, matched, anchors):
    """Cross-entropy with three hard negatives a positive, plus smooth L1 on the positives; per positive."""
    positive = target > 0
    count = positive.sum().clamp(min=1)
    entropy = F.cross_entropy(logits.flatten(0, 1).float(), target.clamp(min=0).flatten(), reduction="none",
                              label_smoothing=0.02).view_as(target)
    hardness = torch.where(target == 0, entropy.detach(), torch.full_like(entropy, -1.0))
    wanted = (positive.sum(1) * 3).clamp(min=8, max=hardness.shape[1] // 2)
    most = int(wanted.max())
    top = hardness.topk(most, 1)
    chosen = torch.zeros_like(positive).scatter_(1, top.indices, torch.arange(most, device=target.device) < wanted[:, None])
    chosen &= target == 0
    classes = (entropy * (positive | chosen)).sum() / count
    box = F.smooth_l1_loss(deltas.float(), box_targets(matched, anchors), reduction="none", beta=0.5).sum(-1)
    return classes, (box * positive).sum() / count, chosen | positive


def distillation_loss(logits, teacher, deltas, teacher_deltas, used, temperature=2.0):
    """KL to the teacher's class distribution where the detector is trained, L1 to its boxes where it sees an object."""
    soft = F.softmax(teacher.float() / temperature, -1)
    gap = F.kl_div(F.log_softmax(logits.float() / temperature, -1), soft, reduction="none").sum(-1)
    object_ness = 1 - F.softmax(teacher.float(), -1)[..., 0]
    weight = used.float() + object_ness
    box = F.smooth_l1_loss(deltas.float(), teacher_deltas.float(), reduction="none", beta=0.5).sum(-1)
    return (gap * weight).sum() / weight.sum() * temperature ** 2 + (box * object_ness).sum() / object_ness.sum()


class Average:
    """Exponential moving average of parameters and buffers."""

    def __init__(self, model, decay):
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, model):
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                mine = self.state[name]
                if mine.dtype.is_floating_point:
                    mine.lerp_(value, 1 - decay)
                else:
                    mine.copy_(value)


def initialise(model, path):
    """Copies what fits from a safetensors file: a classifier's features.* or a whole detector."""
    weights = load_file(path)
    own = model.state_dict()
    renamed = {(k if k in own else "backbone." + k): v for k, v in weights.items()}
    used = {k: v.to(own[k].dtype) for k, v in renamed.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict({**own, **used})
    print(f"initialised {len(used)} of {len(own)} tensors from {path}", flush=True)


def run(args):
    torch.manual_seed(args.seed)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    cuda = device.type == "cuda"
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    started = time.time()
    pictures = load(args.data, args.limit)
    print(f"{len(pictures)} pictures in {time.time() - started:.0f} s", flush=True)
    pictures = pictures.to(device)
    layout = torch.channels_last
    model = reference.SsdLite(args.backbone).to(device).to(memory_format=layout)
    anchors = reference.anchors().to(device)
    if args.init:
        initialise(model, args.init)
    frozen = model.backbone.features[:args.freeze].requires_grad_(False)
    learned = [p for p in model.parameters() if p.requires_grad]
    decayed, plain = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
    optimiser = torch.optim.SGD([{"params": decayed, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}],
                                lr=args.rate, momentum=0.9, nesterov=True)
    average = Average(model, args.average)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    trained, step = 0.0, 0
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", map_location=device)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.state, average.steps = state["average"], state["step"]
        trained, step = state["trained"], state["step"]
        torch.manual_seed(args.seed + step)
        print(f"resumed at step {step}, {trained / 60:.1f} min", flush=True)
    elif (out / "progress.json").exists():
        # only the averaged weights came back from another machine: momentum starts anew, the schedule goes on
        progress = json.loads((out / "progress.json").read_text())
        initialise(model, out / "detector.safetensors")
        average = Average(model, args.average)
        trained, step = progress["trained"], progress["step"]
        average.steps = step
        torch.manual_seed(args.seed + step)
        print(f"resumed from averaged weights at step {step}, {trained / 60:.1f} min", flush=True)
    teacher = None
    if args.teacher:
        teacher = reference.SsdLite(args.teacher_backbone).to(device).to(memory_format=layout).eval()
        initialise(teacher, args.teacher)
    mean, deviation = MEAN.to(device), DEVIATION.to(device)
    normalise = lambda images: ((images - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)).contiguous(memory_format=layout)
    precise = lambda: torch.autocast(device.type, torch.bfloat16, enabled=cuda or args.bf16)
    forward = torch.compile(model) if args.compile else model
    model.train()
    frozen.eval()
    total, piece = args.total_minutes * 60, (args.piece_minutes or 1e9) * 60
    # beside other work a CPU's schedule counts the time that was had, not the time that went by
    clock = time.time if cuda else lambda: time.process_time() / torch.get_num_threads()
    since = clock()
    began, last, order = time.time(), time.time(), torch.empty(0, dtype=torch.long, device=device)
    before = trained
    asked_to_stop = []
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    while trained < total and time.time() - began < piece and not asked_to_stop:
        if len(order) < args.batch:
            order = pictures.epoch[torch.randperm(len(pictures.epoch), device=device)]
        index, order = order[:args.batch], order[args.batch:]
        progress = trained / total
        rate = args.rate * min(1.0, (step + 1) / args.warm_up) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in optimiser.param_groups:
            group["lr"] = max(rate, args.rate * 0.002)
        with torch.no_grad():
            # the pictures come nearer to their plain form at the end, as the detector will see them
            late = progress > 0.9
            images, boxes, labels = augment(pictures.pixels[index], pictures.boxes[index], pictures.labels[index],
                                            args.size, mean, zoom_out=0.2 if late else args.zoom_out, crop=0.5 if late else args.crop)
            target, matched = match(anchors, boxes, labels, pictures.difficult[index])
            images = normalise(images)
        with precise():
            logits, deltas = forward(images)
        classes, box, used = detection_loss(logits, deltas, target, matched, anchors)
        loss = classes + box
        if teacher is not None:
            with torch.no_grad(), precise():
                teacher_logits, teacher_deltas = teacher(images)
            loss = loss + args.distil * distillation_loss(logits, teacher_logits, deltas, teacher_deltas, used)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 10.0)
        optimiser.step()
        average.update(model)
        step += 1
        if step % 50 == 0 or not cuda:
            trained = before + clock() - since
        if step % args.report == 0:
            now = time.time()
            print(json.dumps({"step": step, "minutes": round(trained / 60, 1), "classes": round(classes.item(), 3), "box": round(box.item(), 3),
                              "loss": round(loss.item(), 3), "pictures_per_second": round(args.report * args.batch / (now - last), 1)}), flush=True)
            last = now
        if not cuda and step % 200 == 0:
            save(out, model, optimiser, average, step, trained, args)
    trained = before + clock() - since
    save(out, model, optimiser, average, step, trained, args)
    print(f"step {step}, {trained / 60:.1f} of {args.total_minutes} min, epoch {step * args.batch / len(pictures.epoch):.1f}", flush=True)


# Counts the changes of this recipe that make other weights of the same data.
RECIPE = "1"


def facts(args, step):
    """What stands in the file beside the weights."""
    family, width, identity = re.fullmatch(r"(.+?)-([\d.]+)(?:-id(\d))?", args.backbone).groups()
    return {
        "architecture": family, "width": width, "identity_multiplier": identity or "1",
        "mean": ",".join(f"{v:g}" for v in MEAN.tolist()), "std": ",".join(f"{v:g}" for v in DEVIATION.tolist()),
        "classes": ",".join(reference.VOC), "anchors": "voc320", "input_size": str(reference.SIZE),
        "recipe": RECIPE,
        "training": f"{' '.join(Path(d).name for d in args.data)}; {step} steps of {args.batch}, seed {args.seed}"
                    + (f", taught by {args.teacher_backbone}" if args.teacher else ""),
    }


def save(out, model, optimiser, average, step, trained, args):
    torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "average": average.state,
                "step": step, "trained": trained}, out / "state.tmp")
    (out / "state.tmp").replace(out / "state.pt")
    # convolutions in f16; biases and batch norms stay f32: small, and f16 shifts features by some percent
    half = {k: (v.half() if v.ndim > 1 else v).contiguous().cpu() for k, v in average.state.items()}
    save_file(half, out / "detector.safetensors", metadata=facts(args, step))
    (out / "progress.json").write_text(json.dumps({"step": step, "trained": trained}))


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--backbone", required=True)
    a.add_argument("--data", nargs="+", required=True, help="training archives; PATH:3 counts three times an epoch")
    a.add_argument("--out", required=True)
    a.add_argument("--init", help="safetensors: ImageNet classifier or detector to start from")
    a.add_argument("--teacher", help="safetensors of a detector to learn from")
    a.add_argument("--teacher-backbone", default="mobilenet-v2-1.0")
    a.add_argument("--distil", type=float, default=1.0)
    a.add_argument("--total-minutes", type=float, required=True)
    a.add_argument("--piece-minutes", type=float, help="stop, resumable, after so many")
    a.add_argument("--batch", type=int, default=32)
    a.add_argument("--rate", type=float, default=0.02)
    a.add_argument("--decay", type=float, default=2e-4)
    a.add_argument("--warm-up", type=int, default=200, help="steps")
    a.add_argument("--average", type=float, default=0.998)
    a.add_argument("--size", type=int, default=320)
    a.add_argument("--zoom-out", type=float, default=0.4)
    a.add_argument("--crop", type=float, default=0.8)
    a.add_argument("--freeze", type=int, default=0, help="leave so many first layers of the backbone as they are")
    a.add_argument("--compile", action="store_true")
    a.add_argument("--bf16", action="store_true", help="bf16 on a CPU, too: faster where it has AVX-512 BF16")
    a.add_argument("--limit", type=int)
    a.add_argument("--device")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--report", type=int, default=100)
    return a.parse_args()


if __name__ == "__main__":
    run(arguments())
