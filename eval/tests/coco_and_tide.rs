//! COCO's twelve numbers and TIDE's split, on cases whose figures are known. Skipped, with a word, where the
//! cases are not at hand.

#[cfg(test)]
mod figures {
    use std::path::{Path, PathBuf};

    use sandglass_eval::coco::{self, CocoTruth};
    use sandglass_eval::scene::{Corners, Scene};
    use sandglass_eval::tide::{self, Kind};
    use sandglass_eval::{Dataset, Detections, Policy, Skipped};
    use serde_json::Value;

    fn case(name: &str) -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/known-answers").join(name);
        if path.exists() {
            return Some(path);
        }
        eprintln!("skipped: {} is not here", path.display());
        None
    }

    fn expected(folder: &Path) -> Value {
        let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn close(what: &str, ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() < 1e-9, "{what}: {ours} instead of {theirs}");
    }

    fn twelve(scene: &Scene, expected: &Value) {
        let report = coco::evaluate(scene);
        for (name, ours) in report.numbers() {
            let theirs = expected[name.replace(' ', "_")].as_f64().unwrap();
            close(name, ours.unwrap_or(-1.0), theirs);
        }
    }

    fn coco_scene(folder: &Path, truth: &str, found: &str) -> Scene {
        let truth = CocoTruth::read(&folder.join(truth)).unwrap();
        truth.read_results(&folder.join(found), &mut Skipped::new(Policy::Strict)).unwrap().1
    }

    #[test]
    fn cocoapis_own_example() {
        let Some(folder) = case("coco-val2014-100") else { return };
        let scene = coco_scene(&folder, "gt.json", "dt.json");
        let expected = expected(&folder);
        twelve(&scene, &expected["coco"]);
        let report = coco::evaluate(&scene);
        for (name, class) in expected["per_class"].as_object().unwrap() {
            let Some(ours) = report.per_class.get(name) else {
                // pycocotools writes -1 where there is no object to find.
                assert!(class["AP"].as_f64().is_none_or(|ap| ap == -1.0), "{name}");
                continue;
            };
            close(name, ours.ap, class["AP"].as_f64().unwrap());
            close(name, ours.ap_50, class["AP50"].as_f64().unwrap());
            close(name, ours.ar_100, class["AR_100"].as_f64().unwrap());
        }
    }

    #[test]
    fn toy_cats_from_cocos_files_and_from_vocs() {
        let Some(folder) = case("toy-cats") else { return };
        let expected = expected(&folder);
        twelve(&coco_scene(&folder, "coco_gt.json", "coco_dt.json"), &expected["coco"]);
        let truth = Dataset::voc(&folder, "test").unwrap();
        let found = Detections::read_devkit(&folder.join("det"), "test").unwrap();
        twelve(&Scene::new(&truth, &found, Corners::AsTheyStand).unwrap(), &expected["coco"]);
        // VOC's own figures from COCO's files: IoU without the added pixel differs, yet not for these.
        let truth = CocoTruth::read(&folder.join("coco_gt.json")).unwrap();
        assert_eq!(truth.dataset().unwrap().images().len(), 10);
    }

    fn split(scene: &Scene, most: usize, expected: &Value) {
        let report = tide::analyse(scene, most);
        close("AP", report.ap * 100.0, expected["AP"].as_f64().unwrap());
        let names = ["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"];
        for (kind, name) in Kind::ALL.into_iter().zip(names) {
            let ours = report.errors[&kind];
            if let Some(count) = expected["error_counts"][name].as_u64() {
                assert_eq!(ours.count as u64, count, "{name}");
            }
            close(name, ours.d_ap * 100.0, expected["dAP"][name].as_f64().unwrap());
        }
        close(
            "FalsePos",
            report.false_positives * 100.0,
            expected["special_dAP"]["FalsePos"].as_f64().unwrap(),
        );
        close(
            "FalseNeg",
            report.false_negatives * 100.0,
            expected["special_dAP"]["FalseNeg"].as_f64().unwrap(),
        );
    }

    #[test]
    fn tide_on_voc_data() {
        for name in ["voc100", "random150"] {
            let Some(folder) = case(name) else { return };
            let truth = Dataset::voc(&folder, "test").unwrap();
            let found = Detections::read_devkit(&folder.join("det"), "test").unwrap();
            let scene = Scene::new(&truth, &found, Corners::AsTheyStand).unwrap();
            split(&scene, usize::MAX, &expected(&folder)["tide"]["difficult as ignore regions"]);
            let mut without = scene.clone();
            for image in &mut without.images {
                image.objects.retain(|object| !object.crowd);
            }
            let expected = &expected(&folder)["tide"]["difficult left out"];
            if expected.is_object() {
                split(&without, usize::MAX, expected);
            }
        }
    }

    #[test]
    fn tide_on_coco_data() {
        let Some(folder) = case("coco-val2014-100") else { return };
        let tide = &expected(&folder)["tide"];
        let scene = coco_scene(&folder, "gt.json", "dt.json");
        let key = tide.as_object().unwrap().keys().find(|key| key.contains("crowd")).cloned();
        split(&scene, 100, key.map_or(tide, |key| &tide[key]));
    }
}
