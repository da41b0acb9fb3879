"""Scoring from Python."""

import json
import pickle

import numpy as np
import pytest

import sandglass

BOX = [10.0, 10.0, 50.0, 60.0]


def random_set(seed, pictures, ties=True):
    """Pictures with objects and detections near them, many of equal score."""
    dice = np.random.default_rng(seed)
    target, preds = [], []
    for _ in range(pictures):
        count = int(dice.integers(0, 6))
        corner, size = dice.uniform(0, 300, (count, 2)), dice.uniform(5, 150, (count, 2))
        boxes, labels = np.concatenate([corner, corner + size], 1), dice.integers(1, 5, count)
        target.append({"boxes": boxes, "labels": labels, "iscrowd": dice.random(count) < 0.1})
        near = np.repeat(boxes, 3, 0) + dice.normal(0, 8, (count * 3, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        scores = dice.integers(0, 20, count * 3) / 20 if ties else dice.random(count * 3)
        preds.append({"boxes": near, "labels": np.repeat(labels, 3), "scores": scores})
    return target, preds


def test_lists_and_columns_give_the_same():
    target, preds = random_set(1, 40)
    columns = [
        {
            "images": np.repeat(np.arange(40), [len(one["labels"]) for one in rows]),
            **{name: np.concatenate([one[name] for one in rows]) for name in rows[0]},
        }
        for rows in (target, preds)
    ]
    columns[0]["difficult"] = columns[0].pop("iscrowd")
    # Mappings say nothing of pictures without a row.
    voc, of_columns = sandglass.evaluate_voc(target, preds), sandglass.evaluate_voc(*columns)
    assert voc.pop("images") == 40 and of_columns.pop("images") < 40 and voc == of_columns
    assert sandglass.evaluate_coco(*columns) == sandglass.evaluate_coco(target, preds)
    report = sandglass.evaluate_voc(target, preds, classes={1: "cat"})
    assert 0 < report["map_11_point"] < 1 and set(report["per_class"]) == {"cat", "2", "3", "4"}


@pytest.mark.parametrize("seed", range(5))
def test_parts_merge_exactly(seed):
    target, preds = random_set(seed, 61)
    whole = sandglass.Partial.of(target, preds)
    numbers = np.random.default_rng(seed).permutation(61)
    parts = []
    for some in np.array_split(numbers, 7):
        part = sandglass.Partial.of([target[i] for i in some], [preds[i] for i in some], ids=some)
        parts.append(pickle.loads(pickle.dumps(part)))
    halves = [sandglass.Partial.merge(parts[:3]), sandglass.Partial.merge(parts[3:])]
    for merged in (sandglass.Partial.merge(parts), sandglass.Partial.merge(halves[::-1])):
        # The last bit counts.
        assert merged.voc() == whole.voc() and merged.coco() == whole.coco()
    with pytest.raises(ValueError, match="twice"):
        sandglass.Partial.merge([*parts, parts[0]])
    with pytest.raises(ValueError, match="no part"):
        sandglass.Partial.merge([])


def flat(rows, numbers):
    columns = {name: np.concatenate([rows[i][name] for i in numbers]) for name in rows[0]}
    return {"images": np.repeat(numbers, [len(rows[i]["labels"]) for i in numbers]), **columns}


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_any_order_of_pictures(seed):
    target, preds = random_set(seed, 30)
    target[3] = {**target[3], "iscrowd": np.zeros(len(target[3]["labels"]), bool)}
    whole = sandglass.Partial.of(target, preds)
    dice = np.random.default_rng(seed)
    mixed = sandglass.Partial.of(flat(target, dice.permutation(30)), flat(preds, dice.permutation(30)), ids=range(30))
    numbers = dice.permutation(30)
    parts = [sandglass.Partial.of(flat(target, n), flat(preds, n), ids=n) for n in np.array_split(numbers, 4)]
    for other in (mixed, sandglass.Partial.merge(parts)):
        assert other.voc() == whole.voc() and other.coco() == whole.coco()
    with pytest.raises(ValueError, match="not among the ids"):
        sandglass.Partial.of(flat(target, numbers), flat(preds, numbers), ids=range(5))


def test_ids_can_be_names_and_areas_can_be_known_of_some():
    target, preds = random_set(3, 12)
    names = [f"{number:06}.jpg" for number in range(12)]
    sides = target[2]["boxes"][:, 2:] - target[2]["boxes"][:, :2]
    target[2]["area"] = sides.prod(1)
    whole = sandglass.Partial.of(target, preds, ids=names)
    parts = [sandglass.Partial.of(target[i::3], preds[i::3], ids=names[i::3]) for i in range(3)]
    merged = sandglass.Partial.merge([sandglass.Partial.of([], []), *parts])
    assert merged.coco() == whole.coco() == sandglass.evaluate_coco(target, preds)
    with pytest.raises(TypeError, match="names"):
        sandglass.Partial.merge([parts[0], sandglass.Partial.of(target, preds)])
    with pytest.raises(ValueError, match="ids"):
        sandglass.Partial.of(target, preds, ids=names[:3])


def test_narrow_objects_and_names():
    narrow = [{"boxes": [[5, 5, 5.5, 20]], "labels": [1]}]
    nothing = [{"boxes": [], "labels": [], "scores": []}]
    assert sandglass.evaluate_voc(narrow, nothing)["per_class"]["1"]["npos"] == 1
    with pytest.raises(ValueError, match="two numbers"):
        sandglass.evaluate_voc(narrow, nothing, classes={0: "a", 1: "a"})
    assert sandglass.evaluate_voc(narrow, nothing, classes=np.array(["a", "b"]))["per_class"]["b"]["npos"] == 1


def test_nothing_found_and_nothing_to_find():
    nothing = {"boxes": [], "labels": [], "scores": []}
    report = sandglass.evaluate_voc([{"boxes": [BOX], "labels": [3]}], [nothing])
    assert report["map_all_point"] == 0 and report["per_class"]["3"]["npos"] == 1
    report = sandglass.evaluate_coco([nothing], [{"boxes": [BOX], "labels": [0], "scores": [0.5]}])
    assert report["ap"] is None
    assert sandglass.evaluate_voc([], [])["map_11_point"] is None


def test_difficult_objects_count_for_nothing():
    target = [{"boxes": [BOX], "labels": [0], "difficult": [True]}]
    preds = [{"boxes": [BOX], "labels": [0], "scores": [0.9]}]
    assert sandglass.evaluate_voc(target, preds)["per_class"]["0"]["ignored"] == 1


@pytest.mark.parametrize(
    ("target", "preds", "error", "words"),
    [
        ([{"boxes": [BOX], "labels": [0]}], [], ValueError, "1 pictures in target and 0"),
        ([{"labels": [0]}], [{}], ValueError, "no 'boxes'"),
        ([{"boxes": [BOX], "labels": [0, 1]}], [{}], ValueError, r"boxes of shape \(1, 4\)"),
        ([{"boxes": [BOX[:3]], "labels": [0]}], [{}], ValueError, "shape"),
        ([{"boxes": [BOX], "labels": [0.5]}], [{}], TypeError, "float64"),
        ([{"boxes": [BOX], "labels": ["cat"]}], [{}], TypeError, "<U3"),
        ([{"boxes": [BOX], "labels": [-1]}], [{"boxes": [], "labels": [], "scores": []}], ValueError, "-1"),
        ([{"boxes": [BOX[::-1]], "labels": [1]}], [{"boxes": [], "labels": [], "scores": []}], ValueError, "inverted"),
        ([{"boxes": [BOX], "labels": [1]}], [{"boxes": [BOX], "labels": [1], "scores": [np.nan]}], ValueError, "finite"),
        ([{"boxes": [BOX], "labels": [1]}], [{"boxes": [BOX], "labels": [1]}], ValueError, "no 'scores'"),
        ({"boxes": [BOX], "labels": [1]}, {"boxes": [], "labels": [], "scores": []}, ValueError, "'images'"),
        ({"boxes": [BOX], "labels": [1], "images": [0]}, [], TypeError, "both"),
        ({"boxes": [BOX], "labels": [1], "images": [0, 1]}, {"boxes": [], "labels": [], "scores": [], "images": []}, ValueError, "2 images"),
        ([{"boxes": [BOX], "labels": [1], "area": [1, 2]}], [{}], ValueError, "areas of shape"),
        ([{"boxes": [BOX], "labels": [1], "difficult": [0], "iscrowd": [1]}], [{}], ValueError, "both"),
        ("missing", [], TypeError, "read_voc"),
        ("missing", "missing", FileNotFoundError, "missing"),
    ],
)
def test_bad_sets_are_told(target, preds, error, words):
    for evaluate in (sandglass.evaluate_voc, sandglass.evaluate_coco):
        if words == "read_voc" and evaluate is sandglass.evaluate_coco:
            continue
        with pytest.raises(error, match=words):
            evaluate(target, preds)


def test_a_threshold_out_of_range():
    with pytest.raises(ValueError, match="2"):
        sandglass.evaluate_voc([], [], iou=2.0)


def test_coco_is_what_pycocotools_says(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    target, preds = random_set(7, 50)
    images, annotations, results = [], [], []
    for number, (objects, found) in enumerate(zip(target, preds)):
        images.append({"id": number, "width": 500, "height": 500})
        for (x1, y1, x2, y2), label, crowd in zip(*(np.asarray(objects[k]).tolist() for k in ("boxes", "labels", "iscrowd"))):
            box = [x1, y1, x2 - x1, y2 - y1]
            more = {"area": box[2] * box[3], "iscrowd": int(crowd), "id": len(annotations) + 1}
            annotations.append({"image_id": number, "category_id": label, "bbox": box, **more})
        for (x1, y1, x2, y2), label, score in zip(*(np.asarray(found[k]).tolist() for k in ("boxes", "labels", "scores"))):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": number, "category_id": label, "bbox": box, "score": score})
    truth = {"images": images, "annotations": annotations, "categories": [{"id": i, "name": str(i)} for i in range(1, 5)]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(results))
    theirs = coco.COCO(tmp_path / "truth.json")
    evaluation = COCOeval(theirs, theirs.loadRes(str(tmp_path / "found.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = "ap ap_50 ap_75 ap_small ap_medium ap_large ar_1 ar_10 ar_100 ar_small ar_medium ar_large".split()
    for ours in (
        sandglass.evaluate_coco(target, preds),
        sandglass.evaluate_coco(tmp_path / "truth.json", tmp_path / "found.json"),
    ):
        assert [ours[name] for name in names] == pytest.approx(evaluation.stats.tolist(), abs=1e-9)


def voc_tree(folder, demo):
    """A tree of one picture, and the detections of a detector that found the cat."""
    for name in ("Annotations", "ImageSets/Main", "JPEGImages", "found"):
        (folder / name).mkdir(parents=True)
    (folder / "JPEGImages/000001.jpg").write_bytes((demo / "chelsea.jpg").read_bytes())
    (folder / "ImageSets/Main/test.txt").write_text("000001\n")
    (folder / "Annotations/000001.xml").write_text(
        "<annotation><size><width>451</width><height>300</height><depth>3</depth></size><object><name>cat</name>"
        "<difficult>0</difficult><bndbox><xmin>6</xmin><ymin>1</ymin><xmax>420</xmax><ymax>300</ymax></bndbox></object>"
        "</annotation>"
    )
    (folder / "found/comp4_det_test_cat.txt").write_text("000001 0.9 7 2 419 298\n")
    return folder


def test_a_voc_tree(tmp_path, demo, detector):
    tree = voc_tree(tmp_path, demo)
    report = sandglass.evaluate_voc(tree, tree / "found")
    assert report["map_11_point"] == pytest.approx(1) and report["images"] == 1
    (image,) = sandglass.read_voc(tree, classes=detector.classes)
    assert image["boxes"].tolist() == [[5, 0, 420, 300]] and image["names"] == ["cat"]
    found = detector.detect(image["path"])
    report = sandglass.evaluate_voc([image], [found.to_dict()], classes=detector.classes)
    assert report["per_class"]["cat"]["tp"] == 1
    with pytest.raises(ValueError, match="cat"):
        sandglass.read_voc(tree, classes=["background", "dog"])


def test_a_folder_of_ones_own(tmp_path, demo):
    tree = voc_tree(tmp_path / "tree", demo)
    own = tmp_path / "own"
    own.mkdir()
    (tree / "JPEGImages/000001.jpg").rename(own / "my cat.jpg")
    (tree / "Annotations/000001.xml").rename(own / "my cat.xml")
    (image,) = sandglass.read_voc(own)
    assert image["id"] == "my cat" and image["labels"].tolist() == [0] and image["path"].name == "my cat.jpg"


def test_known_answers(known_answers):
    expected = json.loads((known_answers / "coco-val2014-100" / "expected.json").read_text())
    report = sandglass.evaluate_coco(
        known_answers / "coco-val2014-100" / "gt.json", known_answers / "coco-val2014-100" / "dt.json"
    )
    assert report["ap"] is not None and any(
        abs(value - report["ap"]) < 1e-9 for value in _numbers(expected)
    ), "the AP is among the figures that are known"


def _numbers(tree):
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        return [number for branch in tree for number in _numbers(branch)]
    return [tree] if isinstance(tree, float) else []
