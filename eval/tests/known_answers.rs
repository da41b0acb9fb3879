//! Every VOC figure of the known answers: the devkit's own code and published scores.

#[cfg(test)]
mod cases {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use sandglass_eval::{Dataset, Detections, PixelBox, Report, evaluate};
    use serde_json::Value;

    /// The last digits depend on the order of the additions.
    const TOLERANCE: f64 = 1e-9;

    fn folder() -> Option<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/known-answers");
        if !folder.is_dir() {
            println!("skipped: ../shared is absent");
            return None;
        }
        Some(folder)
    }

    fn json(path: &Path) -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn near(found: Option<f64>, expected: &Value, what: &str) {
        match (found, expected.as_f64()) {
            (Some(found), Some(expected)) => {
                assert!((found - expected).abs() <= TOLERANCE, "{what}: {found}, expected {expected}");
            }
            (found, expected) => assert_eq!(found, expected, "{what}"),
        }
    }

    fn check(report: &Report, expected: &Value, case: &str) {
        near(report.map_11_point, &expected["map_11_point"], &format!("{case} 11-point"));
        near(report.map_all_point, &expected["map_all_point"], &format!("{case} all-point"));
        let classes = expected["per_class"].as_object().unwrap();
        let names: Vec<_> = report.per_class.keys().collect();
        let mut expected_names: Vec<_> = classes.keys().collect();
        expected_names.sort();
        assert_eq!(names, expected_names, "{case}");
        for (name, class) in &report.per_class {
            let expected = &classes[name];
            let what = format!("{case} {name}");
            near(class.ap_11_point, &expected["ap_11_point"], &what);
            near(class.ap_all_point, &expected["ap_all_point"], &what);
            for (count, key) in
                [(class.npos, "npos"), (class.tp, "tp"), (class.fp, "fp"), (class.ignored, "ignored")]
            {
                assert_eq!(Some(count as u64), expected[key].as_u64(), "{what} {key}");
            }
        }
    }

    /// A VOC tree with its detections at every threshold of its `expected.json`.
    fn tree(name: &str, thresholds: usize) {
        let Some(root) = folder().map(|f| f.join(name)) else { return };
        let truth = Dataset::voc(&root, "test").unwrap();
        let found = Detections::read_devkit(&root.join("det"), "test").unwrap();
        // Written and read again it must score the same.
        let copy = tempfile::tempdir().unwrap();
        found.write_devkit(copy.path(), "test").unwrap();
        let again = Detections::read_devkit(copy.path(), "test").unwrap();
        let expected = json(&root.join("expected.json"));
        let at = expected["at"].as_object().unwrap();
        assert_eq!(at.len(), thresholds);
        for (iou, expected) in at {
            let report = evaluate(&truth, &found, iou.parse().unwrap()).unwrap();
            check(&report, expected, &format!("{name} at {iou}"));
            assert_eq!(report, evaluate(&truth, &again, iou.parse().unwrap()).unwrap());
        }
    }

    #[test]
    fn odm_sample2() {
        tree("odm-sample2", 4);
    }

    #[test]
    fn toy_cats() {
        tree("toy-cats", 2);
    }

    #[test]
    fn voc100() {
        tree("voc100", 2);
    }

    #[test]
    fn random150() {
        tree("random150", 2);
    }

    /// The means as the table of the known answers prints them, apart from the files.
    #[test]
    fn published_means() {
        let Some(folder) = folder() else { return };
        for (name, iou, eleven, all) in [
            ("odm-sample2", 0.3, 0.2683982683982684, 0.24568668046928915),
            ("odm-sample2", 0.1, 0.33333333333333337, 0.33719806763285026),
            ("odm-sample2", 0.5, 0.0303030303030303, 0.02222222222222222),
            ("odm-sample2", 0.75, 0.0, 0.0),
            ("toy-cats", 0.5, 0.8863636363636366, 0.8958333333333334),
            ("toy-cats", 0.75, 0.4924242424242424, 0.5097222222222222),
            ("voc100", 0.5, 0.6075105147322852, 0.6138747922842811),
            ("voc100", 0.75, 0.3727554738674377, 0.3659194255129276),
            ("random150", 0.5, 0.4974861359741153, 0.4992076366727202),
            ("random150", 0.75, 0.2698102561911375, 0.2496461402445826),
        ] {
            let root = folder.join(name);
            let truth = Dataset::voc(&root, "test").unwrap();
            let found = Detections::read_devkit(&root.join("det"), "test").unwrap();
            let report = evaluate(&truth, &found, iou).unwrap();
            near(report.map_11_point, &eleven.into(), name);
            near(report.map_all_point, &all.into(), name);
        }
    }

    #[test]
    fn edge_cases() {
        let Some(folder) = folder() else { return };
        let file = json(&folder.join("edge-cases.json"));
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 28);
        for case in cases {
            let mut truth = Dataset::default();
            let images: BTreeMap<&str, &Value> =
                case["images"].as_object().unwrap().iter().map(|(id, o)| (id.as_str(), o)).collect();
            for (id, objects) in images {
                let objects = objects.as_array().unwrap().iter().map(|o| {
                    let bounds = [2, 3, 4, 5].map(|i| o[i].as_f64().unwrap());
                    (o[0].as_str().unwrap(), o[1] == 1, PixelBox::from_corners(bounds))
                });
                truth.add_image(id, objects).unwrap();
            }
            // Through files, as the format says they are lines of files.
            let det = tempfile::tempdir().unwrap();
            for (class, lines) in case["detections"].as_object().unwrap() {
                let lines: Vec<_> = lines.as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
                std::fs::write(det.path().join(format!("{class}.txt")), lines.join("\n")).unwrap();
            }
            let found = Detections::read_devkit(det.path(), "test").unwrap();
            let report = evaluate(&truth, &found, case["iou_threshold"].as_f64().unwrap()).unwrap();
            check(&report, &case["expected"], case["name"].as_str().unwrap());
        }
    }
}
