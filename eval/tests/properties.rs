//! What holds for every set, tried on many made by chance.

#[cfg(test)]
mod properties {
    use sandglass_eval::analysis::Matched;
    use sandglass_eval::coco;
    use sandglass_eval::partial::{Merged, Partial, Places, Shard};
    use sandglass_eval::scene::{Corners, Scene};
    use sandglass_eval::{Dataset, Detections, PixelBox, Report, evaluate, tide};

    const CLASSES: [&str; 3] = ["cat", "dog", "person"];
    const ROUNDS: u64 = 60;

    /// Xorshift: the same sets each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, count: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % count
        }

        fn bounds(&mut self) -> PixelBox {
            let (x, y) = (self.below(40) as f64, self.below(40) as f64);
            let (w, h) = (self.below(20) as f64, self.below(20) as f64);
            PixelBox { xmin: x, ymin: y, xmax: x + w, ymax: y + h }
        }
    }

    type Object = (&'static str, bool, PixelBox);
    type Claim = (&'static str, usize, f64, PixelBox);

    struct Case {
        images: Vec<Vec<Object>>,
        claims: Vec<Claim>,
    }

    impl Case {
        fn new(seed: u64) -> Self {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let images = 1 + dice.below(12) as usize;
            let class = |dice: &mut Dice| CLASSES[dice.below(3) as usize];
            let objects = |dice: &mut Dice| {
                (0..dice.below(5)).map(|_| (class(dice), dice.below(5) == 0, dice.bounds())).collect()
            };
            let images: Vec<Vec<Object>> = (0..images).map(|_| objects(&mut dice)).collect();
            let mut claims = Vec::new();
            for _ in 0..dice.below(60) {
                let image = dice.below(images.len() as u64) as usize;
                // Many near an object, some with equal scores.
                let near = dice.below(3) > 0 && !images[image].is_empty();
                let (class, bounds) = if near {
                    let (class, _, b) = images[image][dice.below(images[image].len() as u64) as usize];
                    (class, PixelBox { xmax: b.xmax + dice.below(4) as f64, ..b })
                } else {
                    (class(&mut dice), dice.bounds())
                };
                claims.push((class, image, dice.below(20) as f64 / 20.0, bounds));
            }
            Self { images, claims }
        }

        /// The set with its images in this order.
        fn truth(&self, order: impl Iterator<Item = usize>) -> Dataset {
            let mut set = Dataset::default();
            for image in order {
                set.add_image(&image.to_string(), self.images[image].iter().copied()).unwrap();
            }
            set
        }

        fn in_order(&self) -> Dataset {
            self.truth(0..self.images.len())
        }

        fn found(&self) -> Detections {
            let mut found = Detections::default();
            for (class, image, score, bounds) in &self.claims {
                found.push(class, &image.to_string(), *score, *bounds).unwrap();
            }
            found
        }

        fn report(&self) -> Report {
            evaluate(&self.in_order(), &self.found(), 0.5).unwrap()
        }
    }

    #[test]
    fn the_order_of_images_and_classes_changes_nothing() {
        for seed in 0..ROUNDS {
            let case = Case::new(seed);
            let backwards = case.truth((0..case.images.len()).rev());
            assert_eq!(evaluate(&backwards, &case.found(), 0.5).unwrap(), case.report());
            // Classes in another order; within a class the order of lines stays, for it decides ties.
            let mut by_class = Detections::default();
            for class in CLASSES.iter().rev() {
                for (_, image, score, bounds) in case.claims.iter().filter(|(of, ..)| of == class) {
                    by_class.push(class, &image.to_string(), *score, *bounds).unwrap();
                }
            }
            assert_eq!(evaluate(&case.in_order(), &by_class, 0.5).unwrap(), case.report());
        }
    }

    #[test]
    fn a_false_alarm_below_all_scores_never_helps() {
        for seed in 0..ROUNDS {
            let case = Case::new(seed);
            let before = case.report();
            let mut found = case.found();
            let far = PixelBox { xmin: 500.0, ymin: 500.0, xmax: 510.0, ymax: 510.0 };
            for class in CLASSES {
                found.push(class, "0", -1.0, far).unwrap();
            }
            let after = evaluate(&case.in_order(), &found, 0.5).unwrap();
            for class in CLASSES {
                let ap = |report: &Report| report.per_class.get(class).and_then(|c| c.ap_all_point);
                assert!(ap(&after) <= ap(&before).or(Some(0.0)), "{seed} {class}");
            }
        }
    }

    #[test]
    fn parts_merge_to_the_whole_to_the_last_bit() {
        for seed in 0..ROUNDS {
            let case = Case::new(seed);
            let (truth, found) = (case.in_order(), case.found());
            let of = 1 + (seed as usize % 4);
            let mut parts: Vec<Partial> = (1..=of)
                .map(|number| {
                    Partial::new(&truth, &found, Shard { number, of }, Places::Listed, vec![]).unwrap()
                })
                .collect();
            // Through JSON and in another order, as files come back from a cluster.
            parts.reverse();
            let text = serde_json::to_string(&parts).unwrap();
            let parts: Vec<Partial> = serde_json::from_str(&text).unwrap();
            let Merged { truth: merged, found: merged_found, .. } = Partial::merge(parts.clone()).unwrap();
            assert_eq!(evaluate(&merged, &merged_found, 0.5).unwrap(), case.report());
            let scene = |truth: &_, found: &_| Scene::new(truth, found, Corners::AsTheyStand).unwrap();
            let (whole, merged) = (scene(&truth, &found), scene(&merged, &merged_found));
            assert_eq!(coco::evaluate(&whole), coco::evaluate(&merged));
            assert_eq!(tide::analyse(&whole, 100), tide::analyse(&merged, 100));
            // One missing, or one twice, is refused.
            if of > 1 {
                assert!(Partial::merge(parts[1..].to_vec()).is_err());
                let twice = parts[1..].iter().chain(&parts[1..2]).cloned().collect();
                assert!(Partial::merge(twice).is_err());
            }
        }
    }

    #[test]
    fn bounds_of_ties_hold_every_order() {
        for seed in 0..ROUNDS {
            let case = Case::new(seed);
            let report = case.report();
            let mut dice = Dice(seed + 99);
            for _ in 0..10 {
                // Another order of lines, which is another order of equal scores.
                let mut claims = case.claims.clone();
                for at in (1..claims.len()).rev() {
                    claims.swap(at, dice.below(at as u64 + 1) as usize);
                }
                let shuffled = Case { images: case.images.clone(), claims }.report();
                let Some(ties) = report.ties else {
                    let close =
                        |a: Option<f64>, b: Option<f64>| (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-12;
                    assert!(close(shuffled.map_all_point, report.map_all_point), "{seed}");
                    continue;
                };
                let map = shuffled.map_all_point.unwrap();
                let (low, high) = (ties.ap_all_point.low - 1e-12, ties.ap_all_point.high + 1e-12);
                assert!((low..=high).contains(&map), "{seed}: {map} outside {low} to {high}");
            }
        }
    }

    #[test]
    fn matched_detections_give_the_same_curves() {
        for seed in 0..ROUNDS {
            let case = Case::new(seed);
            let matched = Matched::new(&case.in_order(), &case.found(), 0.5).unwrap();
            let report = case.report();
            for class in &matched.classes {
                let expected = report.per_class[&class.name].ap_all_point;
                assert_eq!((class.npos() > 0).then(|| class.curve().ap_all_point()), expected);
            }
        }
    }
}
