//! The devkit's rules on cases small enough to work out by hand.

#[cfg(test)]
mod rules {
    use sandglass_eval::matching::{ClassObject, ClassObjects, Outcome, match_class};
    use sandglass_eval::voc::Curve;
    use sandglass_eval::{ClassReport, Dataset, Detection, Detections, Error, PixelBox, Report, evaluate};

    /// 10 × 10 pixels, and 10 × 10 pixels far from it.
    const HERE: PixelBox = PixelBox { xmin: 1.0, ymin: 1.0, xmax: 10.0, ymax: 10.0 };
    const ELSEWHERE: PixelBox = PixelBox { xmin: 101.0, ymin: 101.0, xmax: 110.0, ymax: 110.0 };

    type Objects<'a> = &'a [(&'a str, bool, PixelBox)];

    fn score(images: &[(&str, Objects)], found: &[(&str, &str, f64, PixelBox)]) -> Report {
        let mut truth = Dataset::default();
        for (id, objects) in images {
            truth.add_image(id, objects.iter().copied()).unwrap();
        }
        let mut detections = Detections::default();
        for &(class, image, score, bounds) in found {
            detections.push(class, image, score, bounds).unwrap();
        }
        evaluate(&truth, &detections, 0.5).unwrap()
    }

    fn near(value: Option<f64>, expected: f64) {
        assert!((value.unwrap() - expected).abs() < 1e-12, "{value:?}, expected {expected}");
    }

    fn counts(class: &ClassReport) -> (usize, usize, usize, usize) {
        (class.npos, class.tp, class.fp, class.ignored)
    }

    #[test]
    fn one_hit() {
        let report = score(&[("1", &[("cat", false, HERE)])], &[("cat", "1", 0.9, HERE)]);
        near(report.map_11_point, 1.0);
        assert_eq!(report.map_all_point, Some(1.0));
        assert_eq!(counts(&report.per_class["cat"]), (1, 1, 0, 0));
    }

    #[test]
    fn a_duplicate_is_a_false_alarm() {
        let report = score(
            &[("1", &[("cat", false, HERE)]), ("2", &[("cat", false, HERE)])],
            &[("cat", "1", 0.9, HERE), ("cat", "1", 0.8, HERE), ("cat", "2", 0.7, HERE)],
        );
        assert_eq!(counts(&report.per_class["cat"]), (2, 2, 1, 0));
        // Recall 1/2 at precision 1, then recall 1 at 2/3: six levels and five.
        near(report.map_11_point, (6.0 + 5.0 * 2.0 / 3.0) / 11.0);
        near(report.map_all_point, 0.5 + 0.5 * 2.0 / 3.0);
    }

    #[test]
    fn an_overlap_of_exactly_the_threshold_is_a_hit() {
        let half = PixelBox { ymax: 5.0, ..HERE };
        let less = PixelBox { ymax: 4.999, ..HERE };
        for (bounds, hits) in [(half, 1), (less, 0)] {
            let report = score(&[("1", &[("cat", false, HERE)])], &[("cat", "1", 0.9, bounds)]);
            assert_eq!(report.per_class["cat"].tp, hits);
        }
    }

    #[test]
    fn difficult_objects_count_for_nothing() {
        let objects: Objects = &[("cat", true, HERE), ("cat", false, ELSEWHERE)];
        let report = score(
            &[("1", objects)],
            &[("cat", "1", 0.9, HERE), ("cat", "1", 0.8, HERE), ("cat", "1", 0.7, ELSEWHERE)],
        );
        assert_eq!(counts(&report.per_class["cat"]), (1, 1, 0, 2));
        near(report.map_11_point, 1.0);
        // Not found, it is not missed either.
        let report = score(&[("1", objects)], &[("cat", "1", 0.7, ELSEWHERE)]);
        assert_eq!(counts(&report.per_class["cat"]), (1, 1, 0, 0));
        assert_eq!(report.map_all_point, Some(1.0));
        // Every detection ignored: nothing found.
        let report = score(&[("1", objects)], &[("cat", "1", 0.9, HERE)]);
        assert_eq!((report.map_11_point, report.map_all_point), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn images_without_objects_belong_to_the_set() {
        let report = score(
            &[("1", &[]), ("2", &[("cat", false, HERE)])],
            &[("cat", "1", 0.9, HERE), ("cat", "2", 0.8, HERE)],
        );
        assert_eq!(counts(&report.per_class["cat"]), (1, 1, 1, 0));
        near(report.map_11_point, 0.5);
        assert_eq!(report.images, 2);
    }

    #[test]
    fn a_class_without_ground_truth_is_left_out_of_the_mean() {
        let report = score(
            &[("1", &[("cat", false, HERE), ("cow", true, HERE)])],
            &[("cat", "1", 0.9, HERE), ("dog", "1", 0.9, HERE), ("cow", "1", 0.9, HERE)],
        );
        for (class, fp, ignored) in [("dog", 1, 0), ("cow", 0, 1)] {
            let class = &report.per_class[class];
            assert_eq!(counts(class), (0, 0, fp, ignored));
            assert_eq!((class.ap_11_point, class.ap_all_point), (None, None));
        }
        near(report.map_11_point, 1.0);
    }

    #[test]
    fn a_class_without_detections_scores_0() {
        let report =
            score(&[("1", &[("cat", false, HERE), ("dog", false, ELSEWHERE)])], &[("cat", "1", 0.9, HERE)]);
        assert_eq!(report.per_class["dog"].ap_11_point, Some(0.0));
        assert_eq!(report.map_all_point, Some(0.5));
    }

    #[test]
    fn equal_scores_keep_their_order() {
        let truth: &[(&str, Objects)] = &[("1", &[("cat", false, HERE)]), ("2", &[])];
        let hit = ("cat", "1", 0.5, HERE);
        let miss = ("cat", "2", 0.5, HERE);
        near(score(truth, &[hit, miss]).map_all_point, 1.0);
        near(score(truth, &[miss, hit]).map_all_point, 0.5);
        // -0 and 0 are equal; a difference past f32 is none.
        near(score(truth, &[("cat", "2", -0.0, HERE), ("cat", "1", 0.0, HERE)]).map_all_point, 0.5);
        near(score(truth, &[("cat", "2", 0.5, HERE), ("cat", "1", 0.5 + 1e-12, HERE)]).map_all_point, 1.0);
    }

    #[test]
    fn equal_overlaps_take_the_first_object() {
        let found = &[("cat", "1", 0.9, HERE)];
        let first_difficult = score(&[("1", &[("cat", true, HERE), ("cat", false, HERE)])], found);
        assert_eq!(counts(&first_difficult.per_class["cat"]), (1, 0, 0, 1));
        let first_plain = score(&[("1", &[("cat", false, HERE), ("cat", true, HERE)])], found);
        assert_eq!(counts(&first_plain.per_class["cat"]), (1, 1, 0, 0));
    }

    #[test]
    fn no_detection_turns_to_its_second_best() {
        let larger = PixelBox { ymax: 13.0, ..HERE };
        let report = score(
            &[("1", &[("cat", false, HERE), ("cat", false, larger)])],
            &[("cat", "1", 0.9, HERE), ("cat", "1", 0.8, HERE)],
        );
        assert_eq!(counts(&report.per_class["cat"]), (2, 1, 1, 0));
    }

    #[test]
    fn nothing_at_all() {
        let report = score(&[], &[]);
        assert_eq!((report.map_11_point, report.map_all_point), (None, None));
        assert!(report.per_class.is_empty());
        let report = score(&[("1", &[])], &[]);
        assert_eq!((report.map_11_point, report.images), (None, 1));
        let objects_only = score(&[("1", &[("cat", false, HERE)])], &[]);
        assert_eq!(objects_only.map_11_point, Some(0.0));
    }

    #[test]
    fn recall_levels_are_products() {
        let hits = |n| Curve::new(std::iter::repeat_n(Outcome::TruePositive, n), 10).ap_11_point() * 11.0;
        // 3/10 stays below 3 * 0.1: three levels (0, 0.1, 0.2). 5/10 reaches 5 * 0.1: six.
        assert!((hits(3) - 3.0).abs() < 1e-12);
        assert!((hits(5) - 6.0).abs() < 1e-12);
        assert!((hits(6) - 6.0).abs() < 1e-12);
        assert!((hits(10) - 11.0).abs() < 1e-12);
    }

    #[test]
    fn curves_of_nothing() {
        assert_eq!(Curve::new([Outcome::FalsePositive], 0), Curve::default());
        let ignored = Curve::new([Outcome::Ignored], 4);
        assert_eq!((ignored.ap_11_point(), ignored.ap_all_point()), (0.0, 0.0));
    }

    #[test]
    fn matches_name_what_they_met() {
        let object = |image, bounds| ClassObject { image, bounds, difficult: false };
        let objects = ClassObjects::new(vec![object(3, ELSEWHERE), object(1, HERE), object(3, HERE)]);
        let found = |image, score| Detection { image, score, bounds: HERE };
        // Scores and boxes that no file could hold go through without a crash; 100 pixels of
        // infinitely many are an overlap of 0.
        let wild = PixelBox { xmin: f64::MIN, ymin: f64::MIN, xmax: f64::MAX, ymax: f64::MAX };
        let list = [
            found(7, 0.1),
            found(3, 0.2),
            found(1, 0.3),
            Detection { image: 1, score: f64::NAN, bounds: wild },
        ];
        let matches = match_class(&objects, &list, 0.5);
        let order: Vec<_> = matches.iter().map(|m| (m.detection, m.best.map(|(o, _)| o))).collect();
        assert_eq!(order, [(3, Some(0)), (2, Some(0)), (1, Some(2)), (0, None)]);
        assert_eq!(matches[2].outcome, Outcome::TruePositive);
        assert_eq!(objects.all()[2].bounds, HERE);
    }

    #[test]
    fn inverted_detections_find_nothing() {
        let inverted = PixelBox { xmin: 10.0, ymin: 10.0, xmax: 1.0, ymax: 1.0 };
        let report = score(&[("1", &[("cat", false, HERE)])], &[("cat", "1", 0.9, inverted)]);
        assert_eq!(counts(&report.per_class["cat"]), (1, 0, 1, 0));
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        let mut truth = Dataset::default();
        truth.add_image("1", [("cat", false, HERE)]).unwrap();
        let mut found = Detections::default();
        assert!(matches!(found.push("cat", "1", f64::NAN, HERE), Err(Error::Value { .. })));
        let endless = PixelBox { xmax: f64::INFINITY, ..HERE };
        assert!(matches!(found.push("cat", "1", 0.5, endless), Err(Error::Value { .. })));
        for iou in [f64::NAN, -0.1, 1.1] {
            assert!(matches!(evaluate(&truth, &found, iou), Err(Error::Threshold(_))));
        }
        found.push("cat", "2", 0.5, HERE).unwrap();
        match evaluate(&truth, &found, 0.5) {
            Err(Error::UnknownImage { class, image, images, .. }) => {
                assert_eq!((class.as_str(), image.as_str(), images), ("cat", "2", 1));
            }
            other => panic!("{other:?}"),
        }
        found.remove_images(&["2".to_owned()].into());
        assert!(found.is_empty() && evaluate(&truth, &found, 0.5).is_ok());
    }
}
