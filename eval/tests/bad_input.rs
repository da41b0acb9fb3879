//! Files that are not what they should be: an error that says where, never a crash.

#[cfg(test)]
mod bad_input {
    use std::fs;
    use std::path::Path;

    use sandglass_eval::{Dataset, Detections, Error, Format, Oddity, PixelBox, Policy, Skipped, evaluate};
    use tempfile::TempDir;

    const BOX: &str = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>";

    /// A VOC tree with a list and one annotation for image `a`.
    fn tree(list: &[u8], annotation: &[u8]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("ImageSets/Main")).unwrap();
        fs::create_dir_all(root.path().join("Annotations")).unwrap();
        fs::write(root.path().join("ImageSets/Main/test.txt"), list).unwrap();
        fs::write(root.path().join("Annotations/a.xml"), annotation).unwrap();
        root
    }

    fn refusal(list: &[u8], annotation: &[u8]) -> String {
        Dataset::voc(tree(list, annotation).path(), "test").unwrap_err().to_string()
    }

    fn files(files: &[(&str, &[u8])]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn read(folder: &TempDir) -> Result<Detections, Error> {
        Detections::read_devkit(folder.path(), "test")
    }

    #[test]
    fn lists() {
        let good = format!("<annotation><object><name>cat</name>{BOX}</object></annotation>");
        for list in ["a", "\u{feff}a\r\n\r\n", "  a  \n", "a  1\n", "a -1"] {
            let root = tree(list.as_bytes(), good.as_bytes());
            let set = Dataset::voc(root.path(), "test").unwrap();
            assert_eq!((set.images().len(), set.classes().len()), (1, 1), "{list:?}");
            assert_eq!(set.picture(0), None);
            fs::create_dir(root.path().join("JPEGImages")).unwrap();
            fs::write(root.path().join("JPEGImages/a.png"), "").unwrap();
            assert!(set.picture(0).is_some_and(|p| p.ends_with("JPEGImages/a.png")));
        }
        assert!(Dataset::voc(tree(b"", b"").path(), "test").unwrap().images().is_empty());
        for (list, says) in [
            ("a\n../a\n", "line 2"),
            ("/etc/passwd", "separator"),
            ("..", "plain file name"),
            ("x\\y", "separator"),
            ("a\0", "control"),
            ("a b", "one image"),
            ("a 1 1", "one image"),
            ("a\na\n", "second time"),
            ("missing", "missing.xml"),
        ] {
            let message = refusal(list.as_bytes(), good.as_bytes());
            assert!(message.contains(says), "{list:?}: {message}");
        }
        assert!(refusal(b"\xff\xfe", b"").contains("test.txt"));
        let root = tree(b"", b"");
        assert!(matches!(Dataset::voc(root.path(), "../Main/test"), Err(Error::Name { .. })));
        assert!(matches!(Dataset::voc(root.path(), "val"), Err(Error::Io { .. })));
        assert!(Dataset::voc(Path::new("/nowhere/at/all"), "test").is_err());
    }

    #[test]
    fn annotations() {
        let object =
            |inner: &str| format!("<annotation><object><name>cat</name>{inner}</object></annotation>");
        let deep = format!("<annotation>{}{}</annotation>", "<a>".repeat(30_000), "</a>".repeat(30_000));
        let mut bomb = "<!DOCTYPE annotation [<!ENTITY e0 \"ha\">".to_owned();
        for i in 1..30 {
            bomb += &format!("<!ENTITY e{i} \"&e{0};&e{0};\">", i - 1);
        }
        bomb += "]><annotation><object><name>&e29;</name></object></annotation>";
        for (text, says) in [
            (String::new(), "no <annotation>"),
            (object(""), "object 1 (cat)"),
            (object(&BOX.replace("<xmin>1", "<xmin>nan")), "object 1 (cat)"),
            (object(&BOX.replace("<xmin>1", "<xmin>9")), "inverted"),
            (object(&BOX.replace("<ymax>4", "<ymax>-inf")), "finite"),
            (object(BOX).replace("</object>", ""), "XML"),
            (deep, "nested more than"),
            (bomb, "&e29;"),
        ] {
            let message = refusal(b"a", text.as_bytes());
            assert!(message.contains("a.xml") && message.contains(says), "{says}: {message}");
        }
        assert!(refusal(b"a", b"<annotation>\xff</annotation>").contains("a.xml"));
        assert!(refusal(b"a", b"\0\0\0\0").contains("a.xml"));
        // Cut anywhere, an annotation is an error and no crash.
        let whole = object(BOX);
        for length in 0..whole.len() {
            refusal(b"a", &whole.as_bytes()[..length]);
        }
    }

    #[test]
    fn detection_files() {
        let good = files(&[
            ("comp4_det_test_cat.txt", b"a 0.5 1 1 4 4\r\n\r\na 0.25 1 1 4.5 4\n"),
            ("comp3_det_test_cow.txt", b""),
            ("dog.txt", b"\xef\xbb\xbfb 1 1 1 4 4"),
            ("comp4_det_val_cat.txt", b"not of this split"),
            ("comp1_cls_test_cat.txt", b"a 0.5"),
            ("README.md", b"no detections"),
        ]);
        let found = read(&good).unwrap();
        assert_eq!((found.classes().len(), found.len(), found.images().len()), (3, 3, 2));
        assert_eq!(found.of_class("cat")[1].bounds.xmax, 4.5);
        assert!(found.of_class("cow").is_empty() && found.of_class("horse").is_empty());
        for (content, says) in [
            (b"a 0.5 1 1 4 4\na 0.5 1 1 4\n".as_slice(), "line 2"),
            (b"a 0.5 1 1 4 4 5", "line 1"),
            (b"a high 1 1 4 4", "\"high\""),
            (b"a nan 1 1 4 4", "finite"),
            (b"a 0.5 1 1 inf 4", "finite"),
            (b"a 0.5 1 1 4 1e999", "finite"),
            (b"\xff\xff", "UTF-8"),
        ] {
            let message = read(&files(&[("cat.txt", content)])).unwrap_err().to_string();
            assert!(message.contains("cat.txt") && message.contains(says), "{says}: {message}");
        }
        let twice = files(&[("comp4_det_test_cat.txt", b""), ("cat.txt", b"")]);
        assert!(read(&twice).unwrap_err().to_string().contains("cat.txt and comp4_det_test_cat.txt"));
        assert!(matches!(read(&files(&[("x.md", b"")])), Err(Error::Folder { .. })));
        assert!(matches!(Detections::read_devkit(Path::new("/nowhere"), "test"), Err(Error::Io { .. })));
    }

    /// How often each kind was met and the first place of each.
    fn met(skipped: &Skipped) -> Vec<(Oddity, usize, String)> {
        skipped.kinds().map(|(kind, tally)| (kind, tally.count, tally.first[0].clone())).collect()
    }

    #[test]
    fn odd_detections_are_counted_or_refused() {
        let lines = b"a 0.5 1 1 4 4\na nan 1 1 4 4\na 0.5 1 1 inf 4\na 0.5 9 1 4 4\n";
        let folder = files(&[("cat.txt", lines)]);
        let mut skipped = Skipped::new(Policy::Lenient);
        let found = Detections::read(folder.path(), "test", &mut skipped).unwrap();
        assert_eq!(found.len(), 2);
        let met = met(&skipped);
        assert_eq!((met[0].0, met[0].1, met[1].0, met[1].1), {
            (Oddity::DetectionNotFinite, 2, Oddity::DetectionInverted, 1)
        });
        assert!(met[0].2.contains("cat.txt: line 2") && met[1].2.contains("cat.txt: line 4"), "{met:?}");
        // The same through the file alone, and as errors.
        let file = folder.path().join("cat.txt");
        assert_eq!(Format::of(&file).unwrap(), Format::DevkitFile);
        for (content, policy, says) in [
            (&lines[..], Policy::Complete, "line 2"),
            (b"a 0.5 1 1 4 4\n\na 0.5 9 1 4 4\n", Policy::Strict, "line 3"),
        ] {
            fs::write(&file, content).unwrap();
            let message = Detections::read(&file, "test", &mut Skipped::new(policy)).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn odd_objects_are_counted_or_refused() {
        let object =
            |from: &str, to: &str| format!("<object><name>cat</name>{}</object>", BOX.replace(from, to));
        let annotation = format!(
            "<annotation>{}{}{}{}</annotation>",
            object("", ""),
            object("<xmin>1", "<xmin>9"),
            object("<xmin>1", "<xmin>nan"),
            object("<xmin>1", "<xmin>-1.5"),
        );
        let root = tree(b"a", annotation.as_bytes());
        let mut skipped = Skipped::new(Policy::Lenient);
        let set = Dataset::voc_with(root.path(), "test", &mut skipped).unwrap();
        assert_eq!(set.images()[0].objects.len(), 2);
        let met = met(&skipped);
        assert_eq!(
            met.iter().map(|m| (m.0, m.1)).collect::<Vec<_>>(),
            [(Oddity::ObjectNotFinite, 1), (Oddity::ObjectInverted, 1), (Oddity::ObjectNegative, 1)]
        );
        assert!(met[0].2.contains("a.xml: object 3 (cat)"), "{met:?}");
        assert!(Dataset::voc(root.path(), "test").unwrap_err().to_string().contains("object 2 (cat)"));
        let negative = format!("<annotation>{}</annotation>", object("<xmin>1", "<xmin>-1.5"));
        let root = tree(b"a", negative.as_bytes());
        assert!(Dataset::voc(root.path(), "test").is_ok());
        assert!(Dataset::voc_with(root.path(), "test", &mut Skipped::new(Policy::Strict)).is_err());
    }

    #[test]
    fn unknown_images_are_named_with_file_and_line() {
        let mut truth = Dataset::default();
        truth.add_image("a", []).unwrap();
        let folder = files(&[
            ("cat.txt", b"a 0.5 1 1 4 4\n"),
            ("dog.txt", b"a 0.5 1 1 4 4\n\nz 0.5 1 1 4 4\ny 0.5 1 1 4 4\n"),
            ("owl.txt", b"y 0.5 1 1 4 4\n"),
        ]);
        let mut found = read(&folder).unwrap();
        let message = evaluate(&truth, &found, 0.5).unwrap_err().to_string();
        assert!(message.contains("dog.txt: line 3: ") && message.contains("\"z\""), "{message}");
        found.remove_images(&["z".to_owned()].into());
        let message = evaluate(&truth, &found, 0.5).unwrap_err().to_string();
        assert!(message.contains("dog.txt: line 4: "), "{message}");
        found.remove_images(&["y".to_owned()].into());
        assert!(evaluate(&truth, &found, 0.5).is_ok());
        // In a large file, past the first piece that a thread takes.
        let mut text = "a 0.5 1 1 4 4\n".repeat(100_000);
        text += "z 0.5 1 1 4 4\n";
        let found = read(&files(&[("cat.txt", text.as_bytes())])).unwrap();
        assert_eq!(found.len(), 100_001);
        let message = evaluate(&truth, &found, 0.5).unwrap_err().to_string();
        assert!(message.contains("cat.txt: line 100001: "), "{message}");
    }

    #[test]
    fn json_lines() {
        let line = |source: &str, more: &str| {
            format!(
                "{{\"source\":\"{source}\"{more},\"width\":9,\"detections\":[{{\"label\":\"cat\",\"class_id\":8,\
                 \"score\":0.5,\"box\":[0.0,0.0,4.5,4.0]}}],\"timing_ms\":{{}}}}\n"
            )
        };
        let text = line("x/a.jpg", "")
            + "\n"
            + &line("clip.mp4", ",\"frame\":3")
            + &line("clip.mp4", ",\"frame\":4");
        let folder = files(&[("found.json", text.as_bytes())]);
        let path = folder.path().join("found.json");
        assert_eq!(Format::of(&path).unwrap(), Format::JsonLines);
        let found = Detections::read_jsonl(&path).unwrap();
        assert_eq!(found.images(), ["a", "clip#3", "clip#4"]);
        assert_eq!(found.of_class("cat")[0].bounds, PixelBox::from_corners([1.0, 1.0, 4.5, 4.0]));
        assert_eq!(found.origin(2).unwrap().line, 4);
        for (text, says) in [
            (line("a.jpg", "") + &line("b/a.png", ""), "line 2: image \"a\" has a line already"),
            (line("a.jpg", "") + "{\"source\":1}", "line 2"),
            (line("a.jpg", "").replace("0.5", "NaN"), "line 1"),
            (line("a.jpg", "").replace("0.5", "1e999"), "line 1"),
            (line("a.jpg", "").replace("0.5", "null"), "not a finite"),
            (line("a.jpg", "").replace("4.5", "null"), "not a finite"),
            (line("a.jpg", "").replace(",4.0]", "]"), "line 1"),
            (line("..", ""), "names no file"),
            ("{".repeat(30_000), "line 1"),
            (format!("{{\"x\":{}", "[".repeat(30_000)), "line 1"),
        ] {
            fs::write(&path, &text).unwrap();
            let message = Detections::read_jsonl(&path).unwrap_err().to_string();
            assert!(message.contains("found.json") && message.contains(says), "{says}: {message}");
        }
        fs::write(&path, line("a.jpg", "").replace("0.5", "null")).unwrap();
        let mut skipped = Skipped::new(Policy::Lenient);
        assert!(Detections::read(&path, "test", &mut skipped).unwrap().is_empty());
        assert_eq!(met(&skipped)[0].0, Oddity::DetectionNotFinite);
        fs::write(&path, " [{\"image_id\": 1}]").unwrap();
        assert_eq!(Format::of(&path).unwrap(), Format::CocoResults);
    }

    #[test]
    fn names_that_are_no_files_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = PixelBox::from_corners([1.0, 1.0, 4.0, 0.1 + 0.2]);
        for (class, image, split) in
            [("../cat", "a", "test"), ("cat", "a b", "test"), ("cat", "", "test"), ("cat", "a", "a/b")]
        {
            let mut found = Detections::default();
            found.push(class, image, 0.5, bounds).unwrap();
            let refused = found.write_devkit(&folder.path().join("new"), split);
            assert!(matches!(refused, Err(Error::Name { .. })), "{class:?} {image:?} {split:?}");
            assert!(!folder.path().join("new").exists());
        }
        let mut found = Detections::default();
        found.push("traffic light", "a", 1e-300, bounds).unwrap();
        found.add_class("cat");
        found.write_devkit(&folder.path().join("new"), "test").unwrap();
        let again = Detections::read_devkit(&folder.path().join("new"), "test").unwrap();
        assert_eq!(again.of_class("traffic light"), found.of_class("traffic light"));
        assert_eq!(again.classes(), ["cat", "traffic light"]);
    }
}
